package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExpectedTime(t *testing.T) {
	require.Equal(t, 20*time.Second, expectedAt(250e6, assumedRate))
	require.Equal(t, time.Second, expectedAt(1000, assumedRate))
	require.Equal(t, 1e9*time.Second, expectedAt(1<<44, 1)) // as much as a Duration can say, nearly
}

func TestTheBestSecondCounts(t *testing.T) {
	const size = 250e6
	x, now := &speed{}, time.Unix(1000, 0)
	second := func(bytes int64, want time.Duration) {
		t.Helper()
		now = now.Add(time.Second)
		x.measure(now, bytes)
		require.Equal(t, want, x.expected(size))
	}
	second(10e6, 0) // when they came is not known
	second(35e6, 10*time.Second)
	second(36e6, 10*time.Second)
	require.EqualValues(t, 25e6, x.best.Load())
	second(136e6, 2500*time.Millisecond)
	now = now.Add(time.Millisecond)
	x.measure(now, 140e6)
	require.Equal(t, 2500*time.Millisecond, x.expected(size), "a moment is no second")
}
