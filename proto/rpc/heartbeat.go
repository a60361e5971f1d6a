package rpc

import (
	"context"
	"sync/atomic"
	"time"

	"damselfly/pieces"
)

// Defaults of a Heartbeat.
const (
	DefaultBeat   = time.Second
	DefaultMisses = 3
)

// Heartbeat watches over one stream: it says that we live, and notices when
// the other side no longer does. Transport keepalive can't do that: a stopped
// process still acknowledges TCP. The zero value has the default timing. Make
// one per stream; Seen may be called from any goroutine.
type Heartbeat struct {
	// Interval between beats; 0 is DefaultBeat.
	Interval time.Duration
	// Misses is after how many Intervals of silence the other side is dead;
	// 0 is DefaultMisses.
	Misses int

	seen atomic.Pointer[time.Time]
}

// Seen notes that something came from the other side: a beat or anything else.
func (h *Heartbeat) Seen() {
	now := time.Now()
	h.seen.Store(&now)
}

// Run calls beat every Interval, at once first, until ctx ends (nil), beat
// fails (its error), or nothing was Seen for Misses × Interval (Unavailable).
// beat must not block: put a message in the stream's queue. If this process
// itself stood still, the other side is given one more Interval.
func (h *Heartbeat) Run(ctx context.Context, beat func() error) error {
	interval, misses := h.timing()
	h.Seen()
	timer := time.NewTimer(0)
	defer timer.Stop()
	next, grace := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(next) > interval {
			grace = now.Add(interval)
		}
		dead := h.seen.Load().Add(time.Duration(misses) * interval)
		if grace.After(dead) {
			dead = grace
		}
		if !now.Before(dead) {
			return pieces.Errorf(pieces.Unavailable, "no heartbeat for %v", now.Sub(*h.seen.Load()).Round(time.Millisecond))
		}
		if !now.Before(next) {
			if err := beat(); err != nil {
				return err
			}
			next = now.Add(interval)
		}
		wake := next
		if dead.Before(wake) {
			wake = dead
		}
		timer.Reset(time.Until(wake))
	}
}

func (h *Heartbeat) timing() (interval time.Duration, misses int) {
	interval, misses = h.Interval, h.Misses
	if interval <= 0 {
		interval = DefaultBeat
	}
	if misses <= 0 {
		misses = DefaultMisses
	}
	return interval, misses
}
