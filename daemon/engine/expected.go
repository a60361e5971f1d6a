package engine

import (
	"sync/atomic"
	"time"
)

// assumedRate is that of hosts that have not measured theirs: 100 Mbit/s.
const assumedRate = 100e6 / 8

// expectation is how long a content takes to come here: its size by the best
// 1-s mean rate so far, else by the download limit, else by assumedRate; at
// least 1 s (DESIGN §1).
type expectation struct {
	// is in nanoseconds, best the rate in bytes per second, 0 until measured; set
	// by measure alone.
	is, best atomic.Int64
	// seen are the bytes that had come by the last measure, at that time. The
	// engine's ticks have them for themselves.
	seen int64
	at   time.Time
}

func newExpectation(size, limit int64) *expectation {
	x := &expectation{}
	rate := float64(assumedRate)
	if limit > 0 {
		rate = float64(limit)
	}
	x.set(size, rate)
	return x
}

func (x *expectation) set(size int64, rate float64) { x.is.Store(int64(expectedAt(size, rate))) }

// expectedAt is how long size bytes take at rate bytes per second: 1 s to 1e9 s.
func expectedAt(size int64, rate float64) time.Duration {
	return time.Duration(max(1, min(float64(size)/rate, 1e9)) * float64(time.Second))
}

// measure takes that n bytes of size had come by now. It is called once a
// second, by one goroutine.
func (x *expectation) measure(now time.Time, n, size int64) {
	took := now.Sub(x.at).Seconds()
	if rate := float64(n-x.seen) / max(took, 1); !x.at.IsZero() && int64(rate) > x.best.Load() {
		x.best.Store(int64(rate))
		x.set(size, rate)
	}
	x.seen, x.at = n, now
}

// expected is how long the content takes to come here, as far as is known. It
// never blocks.
func (c *Content) expected() time.Duration { return time.Duration(c.expects.is.Load()) }
