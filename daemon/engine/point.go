package engine

import (
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
)

// point is where a seed has sent a demand read: to the child that it gave the
// pieces first. The read waits there, and insists at the seed if they do not
// come in time.
type point struct {
	seed, holder pieces.HostID
	extent       pieces.Extent
	late         *time.Timer
}

// maxPoint bounds how long a read goes where it was sent; the seed says how long
// within that.
const maxPoint = 3 * time.Second

// point follows a seed's word that holder was given e first, for at most d. One
// that is no neighbour here becomes one; if that can't be, the seed has to give
// it. c.mu is held.
func (c *Content) point(seed *neighbour, e pieces.Extent, holder pieces.Host, d time.Duration) {
	if c.neighbours[holder.ID] == nil && holder.IP != "" && seed.host.Type == pieces.SeedHost {
		c.addNeighbour(holder, false, c.hasNews(true))
	}
	if c.neighbours[holder.ID] == nil || holder.ID == seed.host.ID {
		c.insist.AddExtent(e)
		return
	}
	p := &point{seed: seed.host.ID, holder: holder.ID, extent: e}
	c.points[p] = struct{}{}
	c.pick.Refuse(p.seed, e, true)
	c.pick.NeighbourFetching(p.holder, e, true)
	p.late = time.AfterFunc(min(max(d, 20*time.Millisecond), maxPoint), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, open := c.points[p]; open && !c.closed {
			c.unpoint(p)
			c.schedule()
		}
	})
}

// unpoint has the seed asked again, and not refuse, for what has not come. c.mu
// is held.
func (c *Content) unpoint(p *point) {
	p.late.Stop()
	delete(c.points, p)
	c.pick.Refuse(p.seed, p.extent, false)
	for m := range c.held.Missing(p.extent) {
		c.insist.AddExtent(m)
		if !c.pick.Claims(p.holder, m) {
			c.pick.NeighbourStopped(p.holder, m)
		}
	}
}

// unpointFrom ends what was pointed to the host of a failed request. c.mu is
// held.
func (c *Content) unpointFrom(r picker.Request) {
	for p := range c.points {
		if p.holder == r.Host && !p.extent.Intersect(r.Extent).Empty() {
			c.unpoint(p)
		}
	}
}
