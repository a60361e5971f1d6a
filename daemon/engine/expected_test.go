package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExpectedTime(t *testing.T) {
	const size = 250e6
	expects := func(x *expectation, want time.Duration) {
		t.Helper()
		require.Equal(t, want, time.Duration(x.is.Load()))
	}
	expects(newExpectation(size, 0), 20*time.Second)
	expects(newExpectation(size, 50e6), 5*time.Second)
	expects(newExpectation(1000, 0), time.Second)
	expects(newExpectation(1<<44, 1), 1e9*time.Second) // as much as a Duration can say, nearly

	x, now := newExpectation(size, 0), time.Unix(1000, 0)
	second := func(bytes int64) {
		now = now.Add(time.Second)
		x.measure(now, bytes, size)
	}
	second(10e6)
	expects(x, 20*time.Second) // when they came is not known
	require.Zero(t, x.best.Load())
	second(35e6)
	expects(x, 10*time.Second)
	second(36e6)
	expects(x, 10*time.Second) // the best counts
	require.EqualValues(t, 25e6, x.best.Load())
	second(136e6)
	expects(x, 2500*time.Millisecond)
	now = now.Add(time.Millisecond)
	x.measure(now, 140e6, size)
	expects(x, 2500*time.Millisecond) // a moment is no second
}
