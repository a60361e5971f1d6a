package engine

import (
	"context"
	"errors"
	"time"

	"damselfly/pieces"
)

// deliver takes a verified piece and one reference to its buffer.
func (c *Content) deliver(i int, b *buffer, sum pieces.Sum, from pieces.Hit, rep report) {
	c.mu.Lock()
	if f := rep.flight; f != nil {
		c.brought(f)
	}
	if rep.reread && !c.closed && c.held.Has(i) {
		if sum == c.sums[i] {
			c.tellHeld(i, rep)
			c.mu.Unlock()
			b.release()
			return
		}
		c.log.WithField("piece", i).Warn("the origin has other bytes than are held: replacing them")
		c.discard(pieces.Extent{First: i, End: i + 1})
		c.swapped.Add(i)
	}
	// The record may have changed since the piece was compared with it.
	if c.closed || c.held.Has(i) || from != pieces.HitOrigin && sum != c.sums[i] {
		c.mu.Unlock()
		b.release()
		return
	}
	if from == pieces.HitOrigin {
		c.rest, c.confirmed = rest{}, false
		c.record(pieces.SumRun{First: i, Sums: []pieces.Sum{sum}, Setter: c.e.o.Host.ID})
	}
	setter := c.setters[c.setter[i]]
	c.held.Add(i)
	b.from = from
	c.mem[i] = b
	c.pick.Held(i)
	for k := range c.asked {
		c.asked[k].Remove(i)
	}
	c.insist.Remove(i)
	c.progress = time.Now()
	c.traffic.add(from, int64(len(b.data)))
	c.e.traffic.add(from, int64(len(b.data)))
	c.overtaken(i, rep.flight)
	c.arrived(i)
	c.tellHeld(i, rep)
	complete := c.held.Count() == c.geo.Count()
	c.orderArrived(i)
	c.wantOrder()
	c.schedule()
	c.mu.Unlock()
	c.e.writes.put(c, i, b, sum, setter)
	if complete {
		c.checkWhole()
	}
}

// lost forgets pieces that are no longer here and tells the others.
func (c *Content) lost(es []pieces.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range es {
		c.forget(e)
	}
	c.schedule()
}

// forget is lost for one extent; c.mu is held.
func (c *Content) forget(e pieces.Extent) {
	if c.held.RemoveExtent(e) == 0 {
		return
	}
	c.losses++
	for i := range e.All() {
		if b := c.mem[i]; b != nil {
			delete(c.mem, i)
			b.release()
		}
	}
	for in := range c.counted {
		c.countMissing(in)
	}
	c.pick.Lost(e)
	c.tellLost(e)
}

// bad drops pieces whose stored bytes turned out wrong.
func (c *Content) bad(e pieces.Extent, err error) {
	c.log.WithError(err).WithField("pieces", e.String()).Warn("dropping bad cached bytes")
	c.lost([]pieces.Extent{e})
	if c.v != nil {
		if err := c.v.Drop(e); err != nil && !errors.Is(err, context.Canceled) {
			c.log.WithError(err).Warn("dropping bad cached bytes")
		}
	}
}
