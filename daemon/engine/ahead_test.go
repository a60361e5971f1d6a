package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/picker"
	"damselfly/pieces"
)

// A window is asked for when a read begins to wait, not when it has ended.
func TestAWindowIsAskedForBesideAWait(t *testing.T) {
	geo, err := pieces.GeometryOf(100 << 20)
	require.NoError(t, err)
	e := &Engine{}
	e.ahead.b.Size = 64 << 20
	c := &Content{
		e: e, geo: geo, held: &pieces.Set{}, pick: picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
		interests: map[*interest]struct{}{}, handles: 1,
	}
	for class := range c.asked {
		c.asked[class] = &pieces.Set{}
	}
	c.ahead = c.newAhead()
	h := &Handle{c: c}
	require.False(t, h.lookAhead(0, 1<<20, true), "one read is no stream")
	require.True(t, h.lookAhead(1<<20, 1<<20, true))
	require.Equal(t, 4, c.pick.WantCount(pieces.Window))
	require.True(t, h.lookAhead(2<<20, 1<<20, true))
	require.Equal(t, 16, c.pick.WantCount(pieces.Window), "each stall makes it four times as large")
	c.handles = 0
	require.False(t, h.lookAhead(3<<20, 1<<20, true))
}

func TestNothingIsLookedForAheadWhileReadsFail(t *testing.T) {
	c := &Content{}
	require.False(t, c.failing())
	c.failure = failure{err: pieces.Errorf(pieces.Origin, "down"), until: time.Now().Add(time.Minute)}
	require.True(t, c.failing())
	c.failure.until = time.Now()
	require.False(t, c.failing())
	c.rest.err = c.failure.err
	require.True(t, c.failing())
}
