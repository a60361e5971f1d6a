package engine

import (
	"time"

	"damselfly/pieces"
)

// A demand read does not wait for the end of a long origin read: what it needs
// gets a request of its own, under the same lease. What was not asked for yet is
// taken out of the long read; what is on its way already comes twice, within a
// budget: closing the answer would throw more away. From then on the long read
// goes by short requests, for as long as such readers come: then nothing comes
// twice.

// longRequest is how long one request of an origin read takes at the rate so
// far, and longLeast the least it asks for; shortRequest and shortLeast are
// those of reads that were overtaken less than overtakeRest ago.
const (
	longRequest  = 2 * time.Second
	longLeast    = 8 << 20
	shortRequest = 250 * time.Millisecond
	shortLeast   = 512 << 10
	overtakeRest = 2 * time.Second
)

// twiceShare is how much of a content may come twice.
const twiceShare = 0.005

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
		part := firstRun(o.todo, e)
		coming := part.Empty() && o.class != pieces.Demand
		if coming {
			part = c.comingRun(o, e)
		}
		if part.Empty() || !c.isFar(o, part.First) || c.readsNow(part.First) {
			continue
		}
		c.hastened = time.Now()
		if coming {
			_, n := c.geo.Bytes(part)
			if float64(c.twice+n) > twiceShare*float64(c.facts.Size) {
				continue
			}
			c.twice += n
		}
		demands++
		o.todo.RemoveExtent(part)
		c.runOrigin(&originRead{lease: o.lease, extent: part, class: pieces.Demand, bytes: o.bytes})
	}
}

// comingRun returns the first run of e that o's running request will bring and
// that is missing here. c.mu is held.
func (c *Content) comingRun(o *originRead, e pieces.Extent) pieces.Extent {
	e = e.Intersect(pieces.Extent{First: o.at, End: o.until})
	if e.Empty() {
		return e
	}
	first := c.held.NextMissing(e.First)
	last := first
	for last < e.End && !c.held.Has(last) {
		last++
	}
	return pieces.Extent{First: first, End: max(first, last)}
}

// readsNow reports whether a demand read of piece i is under way. c.mu is held.
func (c *Content) readsNow(i int) bool {
	for o := range c.origins {
		if o.class == pieces.Demand && o.at <= i && i < o.extent.End {
			return true
		}
	}
	return false
}

// firstRun returns the first run of s within e.
func firstRun(s *pieces.Set, e pieces.Extent) pieces.Extent {
	first, ok := s.Next(e.First)
	if !ok || first >= e.End {
		return pieces.Extent{}
	}
	return pieces.Extent{First: first, End: min(e.End, s.NextMissing(first))}
}

// isFar reports whether o, as fast as it has been, will not have piece i soon.
func (c *Content) isFar(o *originRead, i int) bool {
	switch {
	case o.turn.waits:
		return true
	case i < o.at+2:
		return false
	}
	ahead := c.geo.Offset(i) - c.geo.Offset(o.at)
	if o.read == 0 {
		return ahead > shortLeast
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
	n := max(longLeast, int64(c.originRate*longRequest.Seconds()))
	if !c.hastened.IsZero() && time.Since(c.hastened) < overtakeRest {
		n = max(shortLeast, int64(c.originRate*shortRequest.Seconds()))
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
	if o.bulk() && c.nearlyOver(o) {
		c.passTurn()
	}
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
