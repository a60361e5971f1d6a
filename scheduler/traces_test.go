package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

func span(n int) trace.Parent {
	return trace.Parse(fmt.Sprintf("00-%032x-%016x-01", n+1, n+1))
}

// What is kept of traced wants is bounded, however many there are and of
// however many extents.
func TestTracedWantsAreFew(t *testing.T) {
	many := make([]pieces.Extent, 5000)
	for i := range many {
		many[i] = pieces.Extent{First: 2 * i, End: 2*i + 1}
	}
	e, until := &entry{}, time.Now().Add(time.Hour)
	for n := range 3 * maxTraced {
		e.follow(traced{"v", many, span(n), until})
	}
	require.Len(t, e.traced, maxTraced)
	for _, x := range e.traced {
		require.Len(t, x.extents, maxTracedExtents)
		require.Less(t, cap(x.extents), 2*maxTracedExtents, "the others are let go")
	}
}

// An action is for the newest want of its pieces, as long as that may explain it.
func TestTheSpanOfAnAction(t *testing.T) {
	at := func(first int) pieces.Extent { return pieces.Extent{First: first, End: first + 1} }
	e, now := &entry{}, time.Now()
	require.False(t, e.spanFor("v").Valid())
	e.follow(traced{"v", []pieces.Extent{at(1)}, span(1), now.Add(-time.Second)})
	e.follow(traced{"v", []pieces.Extent{at(2), at(3)}, span(2), now.Add(time.Hour)})
	e.follow(traced{"v", []pieces.Extent{at(3)}, span(3), now.Add(time.Hour)})
	e.follow(traced{by: span(4), until: now.Add(time.Hour)})
	require.False(t, e.spanFor("v", at(1)).Valid(), "its time is over")
	require.Equal(t, span(2), e.spanFor("v", at(2)))
	require.Equal(t, span(3), e.spanFor("v", at(3)))
	require.Equal(t, span(3), e.spanFor("v"), "of anything of the Version")
	require.Equal(t, span(4), e.spanFor(""))
	require.False(t, e.spanFor("w", at(3)).Valid())
}
