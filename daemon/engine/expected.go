package engine

import (
	"sync/atomic"
	"time"
)

// assumedRate is that of hosts that have not measured theirs: 100 Mbit/s.
const assumedRate = 100e6 / 8

// speed is the best 1-s mean rate at which a content came here so far.
type speed struct {
	// best is in bytes per second, 0 until measured.
	best atomic.Int64
	// seen are the bytes that had come by the last measure, at that time. The
	// engine's ticks have them for themselves.
	seen int64
	at   time.Time
}

// measure takes that n bytes had come by now. It is called once a second, by one
// goroutine.
func (s *speed) measure(now time.Time, n int64) {
	took := now.Sub(s.at).Seconds()
	if rate := int64(float64(n-s.seen) / max(took, 1)); !s.at.IsZero() && rate > s.best.Load() {
		s.best.Store(rate)
	}
	s.seen, s.at = n, now
}

// expected is how long size bytes take at the best rate, 0 if none was measured.
// It never blocks.
func (s *speed) expected(size int64) time.Duration {
	if best := s.best.Load(); best > 0 {
		return expectedAt(size, float64(best))
	}
	return 0
}

// expectedAt is how long size bytes take at rate bytes per second: 1 s to 1e9 s.
func expectedAt(size int64, rate float64) time.Duration {
	return time.Duration(max(1, min(float64(size)/rate, 1e9)) * float64(time.Second))
}
