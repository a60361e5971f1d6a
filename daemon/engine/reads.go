package engine

import (
	"context"
	"sync/atomic"
	"time"

	"damselfly/pieces"
)

// Reads counts what Handle.ReadFrom was asked for since the daemon started.
type Reads struct {
	// Count is how many reads there were, by the farthest place that their
	// bytes came from; those that got none are under pieces.HitNone. Bytes is
	// what they got, by where each byte was.
	Count [pieces.Hits]int64
	Bytes pieces.HitBytes
	// Stalls is how many reads of any kind found a piece missing, Stalled how
	// long they waited, in sum.
	Stalls  int64
	Stalled time.Duration
	// Last is when the last one ended; zero: never.
	Last time.Time
}

// Total is how many reads there were.
func (r *Reads) Total() (n int64) {
	for _, k := range r.Count {
		n += k
	}
	return n
}

type reads struct {
	count, bytes          [pieces.Hits]atomic.Int64
	stalls, stalled, last atomic.Int64 // stalled and last in nanoseconds
}

func (r *reads) add(from *pieces.HitBytes, at time.Time) {
	r.count[from.Farthest()].Add(1)
	for h, n := range from {
		if n > 0 {
			r.bytes[h].Add(n)
		}
	}
	r.last.Store(at.UnixNano())
}

func (r *reads) stall(d time.Duration) {
	r.stalls.Add(1)
	r.stalled.Add(int64(d))
}

func (r *reads) get() Reads {
	out := Reads{Stalls: r.stalls.Load(), Stalled: time.Duration(r.stalled.Load())}
	for h := range r.count {
		out.Count[h], out.Bytes[h] = r.count[h].Load(), r.bytes[h].Load()
	}
	if at := r.last.Load(); at != 0 {
		out.Last = time.Unix(0, at)
	}
	return out
}

// Reads returns what was read of this content.
func (c *Content) Reads() Reads { return c.readBy.get() }

// Reads returns what was read of all contents.
func (e *Engine) Reads() Reads { return e.readBy.get() }

// stalled counts a read that has waited for pieces since began.
func (c *Content) stalled(began time.Time) {
	d := time.Since(began)
	c.readBy.stall(d)
	c.e.readBy.stall(d)
}

// ReadFrom is ReadAt for a program of this host: it is counted, and tells where
// the bytes came from.
func (h *Handle) ReadFrom(ctx context.Context, p []byte, off int64) (int, pieces.HitBytes, error) {
	var from pieces.HitBytes
	n, err := h.read(ctx, p, off, &from)
	now := time.Now()
	h.c.readBy.add(&from, now)
	h.c.e.readBy.add(&from, now)
	return n, from, err
}
