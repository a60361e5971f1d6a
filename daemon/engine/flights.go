package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"damselfly/daemon/limit"
	"damselfly/daemon/picker"
	"damselfly/pieces"
)

// flight is one data request under way. Content.mu guards it.
type flight struct {
	picker.Request
	cancel context.CancelFunc
	// late fires when the next piece takes too long; since is when it was
	// started or brought its last piece.
	late  *time.Timer
	since time.Time
	// bytes came so far, seen of them by the last tick; brisk: enough came
	// between the last two.
	bytes atomic.Int64
	seen  int64
	brisk bool
}

// launch starts the clock of a request. c.mu is held.
func (c *Content) launch(r picker.Request) (*flight, context.Context) {
	ctx, cancel := context.WithCancel(limit.WithClass(c.ctx, r.Class))
	f := &flight{Request: r, cancel: cancel, since: time.Now()}
	c.flights[f] = struct{}{}
	f.late = time.AfterFunc(c.patience(), func() { c.overdue(f) })
	return f, ctx
}

// land ends it. c.mu is held.
func (c *Content) land(f *flight) {
	f.late.Stop()
	f.cancel()
	delete(c.flights, f)
}

// overdue lets others be asked for what f was to bring.
func (c *Content) overdue(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, flying := c.flights[f]; flying && !c.closed && c.pick.Late(f.ID) {
		c.schedule()
	}
}

// brought notes that f delivered a piece, and how long that took. c.mu is held.
func (c *Content) brought(f *flight) {
	now := time.Now()
	c.waits.add(now.Sub(f.since))
	f.since = now
	f.late.Reset(c.patience())
}

// overtaken cancels the other requests that have nothing left to bring, now
// that piece i is here. c.mu is held.
func (c *Content) overtaken(i int, by *flight) {
	for f := range c.flights {
		if f != by && f.Extent.Has(i) && !c.lacks(f.Extent) {
			f.cancel()
		}
	}
}

// briskTime is how long a piece may take for its request to be worth waiting for
// whatever the time: a slow link is no reason to read the origin again.
const briskTime = 10 * time.Second

// pace finds out which requests are worth waiting for. c.mu is held.
func (c *Content) pace() {
	least := int64(float64(c.geo.PieceSize) * c.e.o.Tick.Seconds() / briskTime.Seconds())
	for f := range c.flights {
		n := f.bytes.Load()
		f.brisk = n-f.seen >= least
		f.seen = n
	}
}

// stuck returns the missing pieces of e that nothing brisk is bringing. c.mu is
// held.
func (c *Content) stuck(e pieces.Extent) *pieces.Set {
	s := &pieces.Set{}
	for m := range c.held.Missing(e) {
		s.AddExtent(m)
	}
	for f := range c.flights {
		if f.brisk {
			s.RemoveExtent(f.Extent)
		}
	}
	for o := range c.origins {
		s.RemoveExtent(o.extent)
	}
	return s
}

// abandon cancels what is under way from a host. c.mu is held.
func (c *Content) abandon(host pieces.HostID) {
	for f := range c.flights {
		if f.Host == host {
			f.cancel()
		}
	}
}

// patience is how long a piece may take before somebody else is asked: the
// 95th percentile of recent pieces, within bounds.
func (c *Content) patience() time.Duration {
	if c.waits.n < enoughWaits {
		return c.e.o.HedgeStart
	}
	return min(max(c.waits.p95(), c.e.o.HedgeMin), c.e.o.HedgeMax)
}

// waits are how long the most recent pieces took to come.
type waits struct {
	last [64]time.Duration
	n    int // all there ever were
	p    time.Duration
}

const enoughWaits = 8

func (w *waits) add(d time.Duration) {
	w.last[w.n%len(w.last)] = d
	w.n++
	if w.n < len(w.last) || w.n%8 == 0 {
		s := slices.Clone(w.last[:min(w.n, len(w.last))])
		slices.Sort(s)
		w.p = s[(len(s)*95-1)/100]
	}
}

func (w *waits) p95() time.Duration { return w.p }
