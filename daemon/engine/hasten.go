package engine

import (
	"time"

	"damselfly/pieces"
)

// A demand read does not wait for the end of a long origin read: what it needs
// is taken out of it and gets a request of its own, under the same lease. Only
// pieces that were not asked for yet are taken: of a running answer that is
// closed, or skipped through, the origin has sent bytes for nothing. So a long
// read is a row of requests of requestTime each.

// requestTime is how long one request of an origin read takes at the rate so
// far, and so the longest a demand read waits behind it; leastRequest is the
// least it asks for.
const (
	requestTime  = 250 * time.Millisecond
	leastRequest = 512 << 10
)

// soon is how near a piece must be in a running read to be waited for there.
const soon = 50 * time.Millisecond

// hasten gives the pieces of e that origin reads will only reach later a read of
// their own. c.mu is held.
func (c *Content) hasten(e pieces.Extent) {
	if !c.facts.Ranges {
		return
	}
	demands := 0
	for o := range c.origins {
		if o.class == pieces.Demand {
			demands++
		}
	}
	for o := range c.origins {
		if o.reread || demands >= aloneDemand {
			continue
		}
		if part := firstRun(o.todo, e); !part.Empty() && c.isFar(o, part.First) {
			demands++
			o.todo.RemoveExtent(part)
			c.runOrigin(&originRead{lease: o.lease, extent: part, class: pieces.Demand, bytes: o.bytes})
		}
	}
}

// firstRun returns the first run of s within e.
func firstRun(s *pieces.Set, e pieces.Extent) pieces.Extent {
	first, ok := s.Next(e.First)
	if !ok || first >= e.End {
		return pieces.Extent{}
	}
	return pieces.Extent{First: first, End: min(e.End, s.NextMissing(first))}
}

// isFar reports whether o has not asked for piece i yet and, as fast as it has
// been, will not have it soon.
func (c *Content) isFar(o *originRead, i int) bool {
	if i < max(o.until, o.at+2) {
		return false
	}
	ahead := c.geo.Offset(i) - c.geo.Offset(o.at)
	if o.read == 0 {
		return ahead > leastRequest
	}
	return float64(ahead)/o.rate() > soon.Seconds()
}

// rate is o's mean so far, bytes per second. Content.mu is held; o.read > 0.
func (o *originRead) rate() float64 {
	return float64(o.read) / max(time.Since(o.since), time.Millisecond).Seconds()
}

// nextRun returns the pieces of o's next request; false: it is done.
func (c *Content) nextRun(o *originRead) (pieces.Extent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.reread {
		o.todo.SubtractSet(c.held)
	}
	e := firstRun(o.todo, o.extent)
	if e.Empty() {
		return e, false
	}
	n := int64(leastRequest)
	if o.read > 0 {
		n = max(n, int64(o.rate()*requestTime.Seconds()))
	}
	e.End = min(e.End, e.First+max(1, int(n/c.geo.PieceSize)))
	o.todo.RemoveExtent(e)
	o.at, o.until = e.First, e.End
	return e, true
}

// advance notes that o has read piece i.
func (c *Content) advance(o *originRead, i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.read += c.geo.Len(i)
	o.at = i + 1
}

// reads reports whether a read under a lease is running. c.mu is held.
func (c *Content) reads(id pieces.LeaseID) bool {
	for o := range c.origins {
		if o.lease == id {
			return true
		}
	}
	return false
}
