package engine

import (
	"time"

	"damselfly/pieces"
)

// A demand read does not wait for the end of a long origin read: what it needs
// is taken out of the running range and gets a request of its own, under the
// same lease; the running range ends, or skips, where that begins.

// skipBytes is how much of a running answer is thrown away rather than to close
// it and ask again: about what is under way on a connection that is closed.
const skipBytes = 1 << 20

// soon is how near a piece must be in a running range to be waited for there.
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

// isFar reports whether o, as fast as it has been, will not have piece i soon.
func (c *Content) isFar(o *originRead, i int) bool {
	if i < o.at+2 {
		return false
	}
	ahead := c.geo.Offset(i) - c.geo.Offset(o.at)
	if o.read == 0 {
		return ahead > skipBytes
	}
	rate := float64(o.read) / time.Since(o.since).Seconds()
	return float64(ahead)/rate > soon.Seconds()
}

// nextRun returns the next run that o is to read; false: it is done.
func (c *Content) nextRun(o *originRead) (pieces.Extent, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !o.reread {
		o.todo.SubtractSet(c.held)
	}
	e := firstRun(o.todo, o.extent)
	return e, !e.Empty()
}

// begin marks piece i, or the next one of e that is still o's, as begun and
// returns it; e.End if there is none.
func (c *Content) begin(o *originRead, i int, e pieces.Extent) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i > e.First {
		o.read += c.geo.Len(o.at)
	}
	next, ok := o.todo.Next(i)
	if !ok || next >= e.End {
		return e.End
	}
	o.todo.Remove(next)
	o.at = next
	return next
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
