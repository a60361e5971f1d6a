package engine

import (
	"time"

	"damselfly/daemon/announce"
	"damselfly/pieces"
)

// follow replaces the parents. c.mu is held.
func (c *Content) follow(parents []pieces.Parent) {
	now := map[pieces.HostID]bool{}
	for _, p := range parents {
		now[p.Host.ID] = true
		if c.addNeighbour(p.Host, true, c.hasNews(p.Complete)) != nil && p.Complete {
			c.pick.NeighbourHeld(p.Host.ID, c.geo.All())
		}
	}
	for id, n := range c.neighbours {
		if n.parent && !now[id] {
			n.parent = false
			c.pick.AddNeighbour(id, false, n.host.Type == pieces.SeedHost)
		}
	}
}

// hasNews reports whether a neighbour, which holds something or not, will have
// anything to say: who holds the only piece has not, and needs no stream.
func (c *Content) hasNews(holds bool) bool { return !holds || c.geo.Count() > 1 }

// HandleEvent takes what the scheduler says (announce.Handler).
func (c *Content) HandleEvent(ev announce.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	switch ev := ev.(type) {
	case announce.Parents:
		c.follow(ev.Parents)
	case announce.Holders:
		for _, h := range ev.Holders {
			c.holder(h)
		}
	case announce.Digests:
		for _, r := range ev.Runs {
			c.learn(r)
		}
	case announce.Lease:
		c.startOrigin(ev.ID, ev.Extent, ev.Class, ev.Reread, ev.Trace)
	case announce.AccessOrder:
		c.takeOrder(ev.Order)
		c.wantOrder()
	case announce.LeaseEnd:
		c.endLease(ev.ID)
	case announce.FactsChanged:
		c.replaced = true
		c.wg.Go(func() { c.e.o.Replaced(c.key.Task, ev.Facts) })
	case announce.OriginError:
		c.originError(ev)
	case announce.SessionDown:
		c.downSince = ev.Since
		if p := c.peer; ev.Final && p != nil {
			c.peer, c.retryAt = nil, time.Now().Add(c.e.o.RegisterRetry)
			c.wg.Go(func() { p.Close(c.ctx) })
		}
	case announce.SessionUp:
		c.downSince = time.Time{}
		c.registered(ev.Registration)
	}
	c.schedule()
}

func (c *Content) holder(h pieces.Holder) {
	n := c.neighbours[h.Host.ID]
	parent := n != nil && n.parent
	if c.policy == pieces.PolicyClassic && !parent {
		return // what it has comes down the DAG
	}
	dial := c.hasNews(len(h.Held) > 0)
	if c.addNeighbour(h.Host, parent, dial) == nil {
		// A reader that waits for it is worth more than an idle stream.
		if !c.awaited(h) || !c.makePlace() || c.addNeighbour(h.Host, parent, dial) == nil {
			return
		}
	}
	for _, e := range h.Held {
		c.pick.NeighbourHeld(h.Host.ID, e)
	}
	for _, e := range h.Fetching {
		c.pick.NeighbourFetching(h.Host.ID, e, true)
	}
}

// awaited reports whether a reader waits for something that h holds or reads.
// c.mu is held.
func (c *Content) awaited(h pieces.Holder) bool {
	missing := c.pick.Missing(pieces.Demand)
	for _, es := range [][]pieces.Extent{h.Held, h.Fetching} {
		for _, e := range es {
			if i, ok := missing.Next(e.First); ok && i < e.End {
				return true
			}
		}
	}
	return false
}

// originError is the origin's answer to a want of ours. c.mu is held.
func (c *Content) originError(ev announce.OriginError) {
	if pieces.KindOf(ev.Err) == pieces.Changed {
		c.replaced = true
		c.wg.Go(func() { c.e.o.Replaced(c.key.Task, pieces.Facts{}) })
		// Perhaps the origin contradicts itself: then what it said last is no
		// better than what was held before.
		for _, e := range c.swapped.List() {
			c.discard(e)
		}
		c.swapped = pieces.Set{}
	}
	es := ev.Extents
	if len(es) == 0 {
		es = []pieces.Extent{c.geo.All()}
	}
	if pieces.KindOf(ev.Err) == pieces.Unavailable && !pieces.IsPermanent(ev.Err) {
		c.refused(es, ev.Err)
		return
	}
	for _, e := range es {
		for k := range c.asked {
			c.asked[k].RemoveExtent(e)
		}
		c.fail(e, ev.Err)
	}
}

// maxRefusals is how often a want is stated again that the scheduler could not
// answer just now.
const maxRefusals = 6

// refused is the scheduler's answer that nobody can give or read es just now,
// as while liars are being found out: interests have it asked a few more times,
// RestMin later, then after twice and four times as long. c.mu is held.
func (c *Content) refused(es []pieces.Extent, err error) {
	tries := 0
	for in := range c.interests {
		for _, e := range es {
			if !c.lacks(in.extent.Intersect(e)) {
				continue
			}
			if in.refusals++; in.refusals > maxRefusals {
				c.failInterest(in, err)
			} else {
				tries = max(tries, in.refusals)
			}
			break
		}
	}
	c.unask()
	if tries == 0 {
		return
	}
	time.AfterFunc(c.e.o.RestMin<<min(tries-1, 2), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range es {
			for k := range c.asked {
				c.asked[k].RemoveExtent(e)
			}
		}
		c.schedule()
	})
}
