package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestP95OfRecentWaits(t *testing.T) {
	var w waits
	for i := range 100 {
		w.add(time.Duration(i+1) * time.Millisecond)
	}
	// The last 64 are 37…100 ms; it is computed anew every eighth wait.
	require.InDelta(t, 97, w.p95().Milliseconds(), 5)
	for range 70 {
		w.add(time.Millisecond)
	}
	require.Equal(t, time.Millisecond, w.p95())
	var one waits
	one.add(time.Second)
	require.Equal(t, time.Second, one.p95())
}
