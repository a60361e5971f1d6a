package picker

import (
	"damselfly/pieces"
)

// neighbour is what is known of another Peer of the same content.
type neighbour struct {
	held, fetching *pieces.Set
	// parent: it may be waited for whatever it fetches. leased: it may be
	// waited for these pieces, since it reads them from the origin.
	parent   bool
	leased   *pieces.Set
	seed     bool
	requests int
	// late counts its late requests since one that was not.
	late int
	// deferred are pieces that it holds but gives to others first; demand may
	// ask for them all the same.
	deferred *pieces.Set
	// paused: it has no slot for us just now.
	paused bool
	// rate is bytes per second of its finished requests, smoothed; 0 = none yet.
	rate float64
}

// AddNeighbour makes a Peer known, or changes whether it is a parent.
func (p *Picker) AddNeighbour(id pieces.HostID, parent, seed bool) {
	n := p.neighbours[id]
	if n == nil {
		n = &neighbour{held: &pieces.Set{}, fetching: &pieces.Set{}, leased: &pieces.Set{}, deferred: &pieces.Set{}}
		p.neighbours[id] = n
		p.order = append(p.order, id)
	}
	n.parent, n.seed = parent, seed
}

// RemoveNeighbour forgets a Peer; its requests still end with Done.
func (p *Picker) RemoveNeighbour(id pieces.HostID) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for e := range n.held.Extents() {
		p.count(e, -1)
	}
	delete(p.neighbours, id)
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
		if n.held.Add(i) {
			p.copies[i]++
		}
		n.fetching.Remove(i)
		n.leased.Remove(i)
	}
}

// Defer keeps e from being asked of a neighbour but by demand, or ends that.
func (p *Picker) Defer(id pieces.HostID, e pieces.Extent, on bool) {
	n := p.neighbours[id]
	switch {
	case n == nil:
	case on:
		n.deferred.AddExtent(e.Intersect(p.geo.All()))
	default:
		n.deferred.RemoveExtent(e)
	}
}

// gives reports whether n would give piece i to a request of class c.
func (n *neighbour) gives(i int, c pieces.Class) bool {
	return n.held.Has(i) && (c == pieces.Demand || !n.deferred.Has(i))
}

// Claims reports whether a neighbour is known to hold all of e.
func (p *Picker) Claims(id pieces.HostID, e pieces.Extent) bool {
	n := p.neighbours[id]
	return n != nil && n.held.HasExtent(e)
}

// NeighbourLost says that a neighbour no longer serves e.
func (p *Picker) NeighbourLost(id pieces.HostID, e pieces.Extent) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for i := range e.Intersect(p.geo.All()).All() {
		if n.held.Remove(i) {
			p.copies[i]--
		}
	}
}

// NeighbourFetching says that a neighbour is fetching e; leased: from the
// origin, on a lease.
func (p *Picker) NeighbourFetching(id pieces.HostID, e pieces.Extent, leased bool) {
	n := p.neighbours[id]
	if n == nil {
		return
	}
	for i := range e.Intersect(p.geo.All()).All() {
		if n.held.Has(i) {
			continue
		}
		n.fetching.Add(i)
		if leased {
			n.leased.Add(i)
		}
	}
}

// NeighbourStopped says that a neighbour no longer fetches e.
func (p *Picker) NeighbourStopped(id pieces.HostID, e pieces.Extent) {
	if n := p.neighbours[id]; n != nil {
		n.fetching.RemoveExtent(e)
		n.leased.RemoveExtent(e)
	}
}

// Pause keeps a neighbour from being asked, or lets it be asked again.
func (p *Picker) Pause(id pieces.HostID, on bool) {
	if n := p.neighbours[id]; n != nil {
		n.paused = on
	}
}

// HeldNearby reports whether a neighbour holds piece i.
func (p *Picker) HeldNearby(i int) bool { return p.copies[i] > 0 }

// Nearby reports whether piece i can be had from a neighbour, now or by
// waiting for it.
func (p *Picker) Nearby(i int) bool {
	if p.copies[i] > 0 {
		return true
	}
	for _, n := range p.neighbours {
		if n.mayWait(i) {
			return true
		}
	}
	return false
}

// Complete reports whether a neighbour holds every piece.
func (p *Picker) Complete(id pieces.HostID) bool {
	n := p.neighbours[id]
	return n != nil && n.held.Count() == p.geo.Count()
}

// free reports whether n can take one more request of class c.
func (p *Picker) free(n *neighbour, c pieces.Class) bool {
	return !n.paused && n.requests < p.slots(c)
}

// before reports whether n is asked rather than m, all else being equal.
func (n *neighbour) before(m *neighbour) bool {
	if (n.late > 0) != (m.late > 0) {
		return m.late > 0
	}
	if n.requests != m.requests {
		return n.requests < m.requests
	}
	return m.seed && !n.seed
}

func (n *neighbour) mayWait(i int) bool {
	return n.leased.Has(i) || n.parent && n.fetching.Has(i)
}

func (p *Picker) count(e pieces.Extent, d int) {
	for i := range e.All() {
		p.copies[i] = uint16(int(p.copies[i]) + d)
	}
}
