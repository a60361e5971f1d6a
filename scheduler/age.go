package scheduler

import (
	"sync/atomic"
	"time"
)

// age is how long this scheduler has been at work without a break. Times are
// those of the monotonic clock since start.
type age struct {
	start      time.Time
	born, seen atomic.Int64 // time.Duration since start
}

// tick notes that the process runs at now. After a standstill of more than gap
// (SIGSTOP, a machine that slept) others have taken over, and it is young
// again.
func (a *age) tick(now time.Time, gap time.Duration) (stood bool) {
	at := int64(now.Sub(a.start))
	stood = at-a.seen.Load() > int64(gap)
	if stood {
		a.born.Store(at)
	}
	a.seen.Store(at)
	return stood
}

// under reports whether it has been at work for less than d at now, and at work
// at all in the last gap.
func (a *age) under(d time.Duration, now time.Time, gap time.Duration) bool {
	at := int64(now.Sub(a.start))
	return at-a.born.Load() < int64(d) || at-a.seen.Load() > int64(gap)
}
