package picker

import (
	"damselfly/pieces"
)

// neighbour is what is known of another Peer of the same content.
type neighbour struct {
	held, fetching words
	// holds is how many pieces are in held.
	holds int
	// parent: it may be waited for whatever it fetches. leased: it may be
	// waited for these pieces, since it reads them from the origin, or is just
	// being sent them by the seed that said so.
	parent bool
	leased words
	seed   bool
	// place is its data centre, far: another than ours.
	place string
	far   bool
	// requests in flight, of which orders are along an access order.
	requests, orders int
	// late counts its late requests since one that was not.
	late int
	// deferred are pieces that it holds but gives to others first; demand may
	// ask for them all the same, unless they are refused to it too.
	deferred, refused words
	// paused: it has no slot for us just now; pausedBulk: for none but demand.
	paused, pausedBulk bool
	// counted: what it holds and may be waited for is in the picker's counts.
	counted bool
	// rate is bytes per second of its finished requests, smoothed; 0 = none yet.
	rate float64
}

// AddNeighbour makes a Peer known, or changes whether it is a parent or a seed.
func (p *Picker) AddNeighbour(id pieces.HostID, parent, seed bool) {
	n := p.neighbours[id]
	if n == nil {
		k := p.geo.Count()
		n = &neighbour{
			held: newWords(k), fetching: newWords(k), leased: newWords(k),
			deferred: newWords(k), refused: newWords(k),
		}
		p.neighbours[id] = n
		p.order = append(p.order, id)
		p.turnStale = true
	}
	if n.seed != seed {
		n.seed = seed
		p.turnStale = true
	}
	if n.parent != parent {
		p.uncount(n)
		n.parent = parent
	}
	p.recount(n)
}

// ParentsOnly, when on, leaves all sources but DAG parents unused: the published
// Dragonfly rules, which know no exchange beside the graph.
func (p *Picker) ParentsOnly(on bool) {
	if p.parentsOnly == on {
		return
	}
	p.parentsOnly = on
	for _, n := range p.neighbours {
		p.recount(n)
	}
}

// usable reports whether anything is asked of n at all.
func (p *Picker) usable(n *neighbour) bool { return n.parent || !p.parentsOnly }

// RemoveNeighbour forgets a Peer; its requests still end with Done.
func (p *Picker) RemoveNeighbour(id pieces.HostID) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	p.uncount(n)
	delete(p.neighbours, id)
	p.turnStale = true
	if n.far {
		p.fars--
	}
	for i, o := range p.order {
		if o == id {
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
}

// NeighbourHeld says that a neighbour serves e.
func (p *Picker) NeighbourHeld(id pieces.HostID, e pieces.Extent) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for i := range e.Intersect(p.geo.All()).All() {
		p.setWaits(n, i, false, false)
		if n.held.add(i) {
			n.holds++
			if n.counted {
				p.supply.copy(i, 1)
			}
		}
	}
}

// NeighbourLost says that a neighbour no longer serves e.
func (p *Picker) NeighbourLost(id pieces.HostID, e pieces.Extent) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for i := range e.Intersect(p.geo.All()).All() {
		if n.held.remove(i) {
			n.holds--
			if n.counted {
				p.supply.copy(i, -1)
			}
		}
	}
}

// NeighbourFetching says that a neighbour is fetching e; leased: from the
// origin, on a lease, or from a seed that told this host to wait there.
func (p *Picker) NeighbourFetching(id pieces.HostID, e pieces.Extent, leased bool) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for i := range e.Intersect(p.geo.All()).All() {
		if !n.held.has(i) {
			p.setWaits(n, i, true, leased || n.leased.has(i))
		}
	}
}

// NeighbourStopped says that a neighbour no longer fetches e.
func (p *Picker) NeighbourStopped(id pieces.HostID, e pieces.Extent) {
	if n := p.neighbours[id]; n != nil {
		for i := range e.Intersect(p.geo.All()).All() {
			p.setWaits(n, i, false, false)
		}
	}
}

// setWaits notes whether n fetches piece i, and whether on a lease.
func (p *Picker) setWaits(n *neighbour, i int, fetching, leased bool) {
	before := n.mayWait(i)
	put(n.fetching, i, fetching)
	put(n.leased, i, leased)
	if after := n.mayWait(i); n.counted && before != after {
		p.supply.wait(i, after)
	}
}

func put(s words, i int, on bool) {
	if on {
		s.add(i)
	} else {
		s.remove(i)
	}
}

// Defer keeps e from being asked of a neighbour but by demand, or ends that.
func (p *Picker) Defer(id pieces.HostID, e pieces.Extent, on bool) {
	if n := p.neighbours[id]; n != nil {
		mark(n.deferred, e.Intersect(p.geo.All()), on)
	}
}

// Refuse keeps e from being asked of a neighbour by demand too, or ends that.
func (p *Picker) Refuse(id pieces.HostID, e pieces.Extent, on bool) {
	if n := p.neighbours[id]; n != nil {
		mark(n.refused, e.Intersect(p.geo.All()), on)
	}
}

func mark(s words, e pieces.Extent, on bool) {
	if on {
		s.addExtent(e)
	} else {
		s.removeExtent(e)
	}
}

// gives reports whether n would give piece i to a request of class c.
func (n *neighbour) gives(i int, c pieces.Class) bool {
	return n.givesWord(i>>6, c)&(1<<(i&63)) != 0
}

// givesWord is gives for the 64 pieces of word w.
func (n *neighbour) givesWord(w int, c pieces.Class) uint64 {
	m := n.held[w] &^ n.refused[w]
	if c != pieces.Demand {
		m &^= n.deferred[w]
	}
	return m
}

// mayWait reports whether n may be waited for piece i.
func (n *neighbour) mayWait(i int) bool {
	return n.leased.has(i) || n.parent && n.fetching.has(i)
}

// waitsWord is mayWait for the 64 pieces of word w, for a request of class c.
func (n *neighbour) waitsWord(w int, c pieces.Class) uint64 {
	m := n.leased[w]
	if n.parent {
		m |= n.fetching[w]
	}
	if c != pieces.Demand {
		m &^= n.deferred[w]
	}
	return m
}

// Claims reports whether a neighbour is known to hold all of e.
func (p *Picker) Claims(id pieces.HostID, e pieces.Extent) bool {
	n := p.neighbours[id]
	return n != nil && n.held.hasAll(e)
}

// Pause keeps a neighbour that refused a request of a class from being asked, or lets
// it be asked again. Who has no slot for a reader has none at all; readers have
// slots of their own.
func (p *Picker) Pause(id pieces.HostID, refused pieces.Class, on bool) {
	n := p.neighbours[id]
	switch {
	case n == nil:
	case refused == pieces.Demand:
		n.paused = on
	default:
		n.pausedBulk = on
	}
}

// Busy reports whether requests of ours are under way at a neighbour.
func (p *Picker) Busy(id pieces.HostID) bool {
	n := p.neighbours[id]
	return n != nil && n.requests > 0
}

// Complete reports whether a neighbour holds every piece.
func (p *Picker) Complete(id pieces.HostID) bool {
	n := p.neighbours[id]
	return n != nil && n.holds == p.geo.Count()
}

// free reports whether n can take one more request of class c.
func (p *Picker) free(n *neighbour, c pieces.Class) bool {
	busy := n.requests
	if c < pieces.Order {
		busy -= n.orders // it stands in nobody's way
	}
	return !n.paused && (!n.pausedBulk || c == pieces.Demand) && busy < p.slots(c) && p.usable(n)
}

// before reports whether n is asked rather than m, all else being equal.
func (n *neighbour) before(m *neighbour) bool {
	if (n.late > 0) != (m.late > 0) {
		return m.late > 0
	}
	if n.far != m.far {
		return m.far
	}
	if n.requests != m.requests {
		return n.requests < m.requests
	}
	return m.seed && !n.seed
}
