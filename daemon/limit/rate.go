// Package limit bounds what the daemon uses: Rate is bytes per second, Budget
// is bytes of memory held at once. A Budget serves its waiters strictly in order
// of arrival; a Rate serves the more urgent class first (WithClass), each in
// order of arrival, and now and then whoever has waited longest. So none
// starves. Both let a waiter go when its context ends.
//
// A nil *Rate and a nil *Budget limit nothing.
package limit

import (
	"context"
	"sync"
	"time"

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
	// turns admits one waiter at a time.
	turns  turns
	bucket *rate.Limiter

	mu      sync.Mutex
	perSec  int64         // 0 = unlimited
	changed chan struct{} // closed and replaced by SetRate
}

// NewRate returns a Rate of perSec bytes per second; 0 or less means unlimited.
func NewRate(perSec int64) *Rate {
	r := &Rate{
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
	me, err := r.turns.take(ctx, classOf(ctx))
	if err != nil {
		return ended(err, "waiting for the rate limit")
	}
	for {
		took, err := r.take(ctx, n)
		if n -= took; n <= 0 || err != nil {
			r.turns.pass()
			return err
		}
		if r.turns.yields(me) {
			r.turns.pass()
			if err := r.turns.retake(ctx, me); err != nil {
				return ended(err, "waiting for the rate limit")
			}
		}
	}
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
