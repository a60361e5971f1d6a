package sim

import (
	"slices"

	"damselfly/pieces"
)

// neighbour is another host of the swarm, as one host sees it.
type neighbour struct {
	host     *host
	parent   bool
	dialling bool
	wire     *wire    // nil while there is no stream
	news     []change // since it was told
	flushing bool     // telling it is planned
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
	n.parent = parent
	h.pick.AddNeighbour(o.ID, parent, o.Type == pieces.SeedHost)
	h.pick.SetPlace(o.ID, idcName(o.idc))
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
		h.pick.AddNeighbour(n.host.ID, false, n.host.Type == pieces.SeedHost)
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

// change is something that neighbours are told.
type change struct {
	kind   changeKind
	extent pieces.Extent
}

type changeKind uint8

const (
	holds changeKind = iota
	fetches
	stopped
)

// tell tells the neighbours soon. What is being fetched matters only among data
// centres: at class fill nobody waits for it.
func (h *host) tell(k changeKind, e pieces.Extent) { h.tellSoon(k, e, false) }

// tellSoon is tell; urgent: those near hear of it at once.
func (h *host) tellSoon(k changeKind, e pieces.Extent, urgent bool) {
	if k != holds && h.w.sc.IDCs == 1 {
		return
	}
	for _, n := range h.neighbours {
		if n.wire == nil {
			continue
		}
		n.news = append(n.news, change{k, e})
		if urgent && n.host.idc == h.idc {
			h.flushNews(n)
			continue
		}
		if !n.flushing {
			n.flushing = true
			measured := seconds(float64(h.w.geo.Size) / h.w.sc.Down) // as the engine does, soon
			h.w.clock.after(h.pick.Patience(n.host.ID, measured), func() { h.flushNews(n) })
		}
	}
}

// flushNews sends n what gathered for it.
func (h *host) flushNews(n *neighbour) {
	n.flushing = false
	news := n.news
	n.news = nil
	if h.dead || n.wire == nil || n.wire.closed {
		return
	}
	h.w.clock.after(h.w.latency(h, n.host), func() { n.host.heard(h, news) })
}

// inventoryTo tells o all that is here.
func (h *host) inventoryTo(o *host) {
	if h.dead {
		return
	}
	var all []change
	for e := range h.held.Extents() {
		all = append(all, change{holds, e})
	}
	for _, f := range h.flights {
		if h.w.sc.IDCs > 1 {
			all = append(all, change{fetches, f.Extent})
		}
	}
	h.w.clock.after(h.w.latency(h, o), func() { o.heard(h, all) })
}

// heard takes what a neighbour says. A host that is complete has no use for it
// but a seed, which counts copies; who is no neighbour any more is not known to the
// picker.
func (h *host) heard(from *host, news []change) {
	if h.dead || h.done && h.seeding == nil {
		return
	}
	useful := false
	for _, c := range news {
		e := c.extent
		switch c.kind {
		case fetches:
			h.pick.NeighbourFetching(from.ID, e, false)
			continue
		case stopped:
			h.pick.NeighbourStopped(from.ID, e)
			continue
		}
		h.pick.NeighbourHeld(from.ID, e)
		for i := e.First; i < e.End && !useful; i++ {
			useful = !h.held.Has(i) && !h.pick.Flying(i)
		}
	}
	if useful {
		h.schedule()
	}
}
