package announce

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBestSecondCounts(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	for range 11 {
		m.add(now, 100) // the first came in unknown time
		now = now.Add(100 * time.Millisecond)
	}
	require.InDelta(t, 1000, m.best, 1e-6)
	now = now.Add(-100 * time.Millisecond)
	for range 10 {
		now = now.Add(100 * time.Millisecond)
		require.GreaterOrEqual(t, m.add(now, 10), 1000.0, "slower: the best stays")
	}
	require.InDelta(t, 1000, m.best, 1e-6)
	now = now.Add(time.Hour)
	require.InDelta(t, 1000, m.add(now, 1<<40), 1e-6, "after a pause nobody knows how long it took")
}

func TestNoRateBeforeASecond(t *testing.T) {
	var m meter
	now := time.Unix(1000, 0)
	require.Zero(t, m.add(now, 1<<20))
	require.Zero(t, m.add(now.Add(999*time.Millisecond), 1<<20))
}
