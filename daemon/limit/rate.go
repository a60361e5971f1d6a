// Package limit bounds what the daemon uses: Rate is bytes per second, Budget
// is bytes of memory held at once. Both serve their waiters strictly in order
// of arrival, so that none starves, and let a waiter go when its context ends.
//
// A nil *Rate and a nil *Budget limit nothing.
package limit

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"damselfly/pieces"
)

// A Rate may run ahead by burstTime of traffic, within these bounds of bytes.
const (
	burstTime = 50 * time.Millisecond
	minBurst  = 16 << 10
	maxBurst  = 4 << 20
)

// Rate is a token bucket of bytes per second, safe for concurrent use.
type Rate struct {
	// turn admits one waiter at a time, in order of arrival.
	turn   *semaphore.Weighted
	bucket *rate.Limiter

	mu      sync.Mutex
	perSec  int64         // 0 = unlimited
	changed chan struct{} // closed and replaced by SetRate
}

// NewRate returns a Rate of perSec bytes per second; 0 or less means unlimited.
func NewRate(perSec int64) *Rate {
	r := &Rate{
		turn:    semaphore.NewWeighted(1),
		bucket:  rate.NewLimiter(rate.Inf, 0),
		changed: make(chan struct{}),
	}
	r.SetRate(perSec)
	return r
}

// SetRate changes the rate; 0 or less means unlimited. Waiters go on under the
// new rate at once.
func (r *Rate) SetRate(perSec int64) {
	perSec = max(perSec, 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.perSec = perSec
	if perSec == 0 {
		r.bucket.SetLimit(rate.Inf)
	} else {
		r.bucket.SetBurst(burstOf(perSec))
		r.bucket.SetLimit(rate.Limit(perSec))
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// Rate returns the bytes per second, 0 for unlimited.
func (r *Rate) Rate() int64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.perSec
}

// WaitN takes n bytes, waiting until the rate allows them; n may be larger than
// any burst. It returns a Canceled or Timeout error if ctx ends first; bytes
// taken until then stay taken. A wait for no bytes returns at once.
func (r *Rate) WaitN(ctx context.Context, n int) error {
	if err := ctx.Err(); err != nil {
		return ended(err, "waiting for the rate limit")
	}
	if n <= 0 || r.Rate() == 0 {
		return nil
	}
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return ended(err, "waiting for the rate limit")
	}
	defer r.turn.Release(1)
	for n > 0 {
		took, err := r.take(ctx, n)
		if err != nil {
			return err
		}
		n -= took
	}
	return nil
}

// take waits for up to one burst of n bytes and returns how many it took, 0 if
// the rate changed meanwhile.
func (r *Rate) take(ctx context.Context, n int) (int, error) {
	r.mu.Lock()
	perSec, changed := r.perSec, r.changed
	r.mu.Unlock()
	if perSec == 0 {
		return n, nil
	}
	n = min(n, burstOf(perSec))
	now := time.Now()
	res := r.bucket.ReserveN(now, n)
	if !res.OK() { // the burst was lowered since perSec was read
		return 0, nil
	}
	delay := res.DelayFrom(now)
	if delay <= 0 {
		return n, nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return n, nil
	case <-changed:
		res.Cancel()
		return 0, nil
	case <-ctx.Done():
		res.Cancel()
		return 0, ended(ctx.Err(), "waiting for the rate limit")
	}
}

func burstOf(perSec int64) int {
	return int(min(max(perSec/int64(time.Second/burstTime), minBurst), maxBurst))
}

func ended(err error, doing string) error {
	return pieces.WithKind(pieces.KindOf(err), err, doing)
}
