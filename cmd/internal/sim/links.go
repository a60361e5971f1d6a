package sim

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// neighbour is another host of the swarm, as one host sees it.
type neighbour struct {
	host     *host
	parent   bool
	dialling bool
	wire     *wire // nil while there is no stream
}

// wire is a stream of two hosts, the same for both ends.
type wire struct{ closed bool }

// addNeighbour makes o a neighbour and dials it, unless it is blocked or there
// are too many.
func (h *host) addNeighbour(o *host, parent, dial bool) *neighbour {
	if o == h || h.isBlocked(o.ID) {
		return nil
	}
	n := h.byID[o.ID]
	if n == nil {
		if len(h.neighbours) >= maxNeighbours {
			h.w.tally.full++
			return nil
		}
		n = &neighbour{host: o}
		h.byID[o.ID] = n
		h.neighbours = append(h.neighbours, n)
	}
	if h.w.classic() && parent && !n.parent && n.wire != nil {
		h.w.clock.after(2*h.w.latency(h, o), func() { o.inventoryTo(h) })
	}
	n.parent = parent
	if parent || !h.w.classic() {
		h.pick.AddNeighbour(o.ID, parent, o.Type == pieces.SeedHost)
	}
	if dial && n.wire == nil && !n.dialling {
		n.dialling = true
		h.w.clock.after(3*h.w.latency(h, o), func() { o.dialled(h) })
	}
	return n
}

// dialled is h's call at this host: connection and greeting took three ways.
func (h *host) dialled(from *host) {
	back := h.w.latency(h, from)
	if h.dead {
		h.w.clock.after(joinTimeout-3*back, func() { from.cantReach(h) })
		return
	}
	n := h.byID[from.ID]
	if n == nil {
		if n = h.addNeighbour(from, false, false); n == nil {
			h.w.clock.after(back, func() { from.refusedBy(h) })
			return
		}
	}
	if n.wire == nil {
		n.wire = &wire{}
	}
	n.dialling = false
	s := n.wire
	h.w.clock.after(back, func() { from.connected(h, s) })
	h.inventoryTo(from)
}

// connected is the answer to a call of ours.
func (h *host) connected(o *host, s *wire) {
	n := h.byID[o.ID]
	if h.dead || n == nil || s.closed {
		o.leftBy(h, s)
		return
	}
	n.dialling, n.wire = false, s
	h.inventoryTo(o)
}

func (h *host) refusedBy(o *host) {
	if n := h.byID[o.ID]; n != nil && n.wire == nil && !h.dead {
		n.dialling = false
		h.removeNeighbour(n)
		h.schedule()
	}
}

func (h *host) cantReach(o *host) {
	if n := h.byID[o.ID]; n != nil && n.wire == nil && !h.dead {
		h.block(o)
		h.tellScheduler(failed(h, o))
		h.schedule()
	}
}

// removeNeighbour forgets a neighbour and ends its stream.
func (h *host) removeNeighbour(n *neighbour) {
	h.forget(n)
	if s := n.wire; s != nil {
		s.closed = true
		o := n.host
		h.w.clock.after(h.w.latency(h, o), func() { o.leftBy(h, s) })
	}
}

func (h *host) forget(n *neighbour) {
	delete(h.byID, n.host.ID)
	i := slices.Index(h.neighbours, n)
	h.neighbours = slices.Delete(h.neighbours, i, i+1)
	h.pick.RemoveNeighbour(n.host.ID)
	if h.seeding != nil {
		h.seeding.Gone(n.host.ID)
	}
}

// leftBy is the end of the stream s with o.
func (h *host) leftBy(o *host, s *wire) {
	if n := h.byID[o.ID]; n != nil && n.wire == s && !h.dead {
		s.closed = true
		h.forget(n)
		h.schedule()
	}
}

// follow replaces the parents.
func (h *host) follow(parents []pieces.Parent) {
	now := make([]*host, len(parents))
	for i, p := range parents {
		now[i] = h.w.byID[p.Host.ID]
		if h.addNeighbour(now[i], true, true) != nil && p.Complete {
			h.pick.NeighbourHeld(p.Host.ID, h.w.geo.All())
		}
	}
	for _, n := range slices.Clone(h.neighbours) {
		if !n.parent || slices.Contains(now, n.host) {
			continue
		}
		n.parent = false
		if h.w.classic() {
			h.pick.RemoveNeighbour(n.host.ID)
		} else {
			h.pick.AddNeighbour(n.host.ID, false, n.host.Type == pieces.SeedHost)
		}
	}
}

// holder takes who holds or reads what, outside the DAG; under the classic policy
// nobody asks such a host.
func (h *host) holder(x pieces.Holder) {
	o := h.w.byID[x.Host.ID]
	n := h.byID[o.ID]
	if h.w.classic() && (n == nil || !n.parent) {
		return
	}
	if h.addNeighbour(o, n != nil && n.parent, true) == nil {
		return
	}
	for _, e := range x.Held {
		h.pick.NeighbourHeld(o.ID, e)
	}
	for _, e := range x.Fetching {
		h.pick.NeighbourFetching(o.ID, e, true)
	}
}

// changes are what the neighbours are told next.
type changes struct{ held, fetching, stopped []pieces.Extent }

func (h *host) tellHeld(i int) {
	e := pieces.Extent{First: i, End: i + 1}
	h.changes.held = append(h.changes.held, e)
	h.planFlush()
}

func (h *host) tellFetching(e pieces.Extent) {
	h.changes.fetching = append(h.changes.fetching, e)
	h.planFlush()
}

// tellStopped says which pieces of e are no longer coming.
func (h *host) tellStopped(e pieces.Extent) {
	for m := range h.held.Missing(e) {
		h.changes.stopped = append(h.changes.stopped, m)
		h.planFlush()
	}
}

// batch is how long changes are gathered: 0.001 of the expected time.
func batch(size int64) time.Duration {
	return min(max(expected(size)/1000, 5*time.Millisecond), 25*time.Millisecond)
}

func (h *host) planFlush() {
	if !h.flushing {
		h.flushing = true
		h.w.clock.after(batch(h.w.geo.Size), h.flushChanges)
	}
}

// flushChanges sends what gathered: one event for all who are near, one for
// those in other data centres.
func (h *host) flushChanges() {
	h.flushing = false
	c := h.changes
	h.changes = changes{}
	if h.dead {
		return
	}
	var near, far []*host
	for _, n := range h.neighbours {
		switch {
		case n.wire == nil:
		case n.host.idc == h.idc:
			near = append(near, n.host)
		default:
			far = append(far, n.host)
		}
	}
	for _, to := range [][]*host{near, far} {
		if len(to) > 0 {
			h.w.clock.after(h.w.latency(h, to[0]), func() {
				for _, o := range to {
					o.heard(h, c)
				}
			})
		}
	}
}

// inventoryTo tells o all that is here.
func (h *host) inventoryTo(o *host) {
	if h.dead {
		return
	}
	c := changes{held: h.held.List()}
	for _, r := range h.reads {
		c.fetching = append(c.fetching, r.extent)
	}
	h.w.clock.after(h.w.latency(h, o), func() { o.heard(h, c) })
}

// heard takes what a neighbour says. A host that is complete has no use for it
// but a seed, which counts copies.
func (h *host) heard(from *host, c changes) {
	if h.dead || h.done && h.seeding == nil || h.byID[from.ID] == nil {
		return
	}
	useful := false
	for _, e := range c.held {
		h.pick.NeighbourHeld(from.ID, e)
		useful = useful || !h.held.HasExtent(e)
	}
	for _, e := range c.fetching {
		h.pick.NeighbourFetching(from.ID, e, false)
	}
	for _, e := range c.stopped {
		h.pick.NeighbourStopped(from.ID, e)
	}
	if useful {
		h.schedule()
	}
}
