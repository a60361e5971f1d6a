package picker

import (
	"time"

	"damselfly/pieces"
)

// # Data centres
//
// What crosses from one data centre to another shares a link with many, so each
// should take one copy of the content, whatever its number of hosts. A far
// neighbour, one in another data centre, is asked for a piece only if no near
// one holds it or is fetching it; neighbours tell both, so the first near host
// that asks for a piece outside brings it in for all. Near hosts that do so in
// the same moment would bring it twice: by rendezvous hashing of (host, piece)
// each piece is the turn of one of them. A host takes its own turns first, and
// those of others only while fewer than Config.FarRequests are under way outside.
//
// A seed holds everything, so near it nothing would ever be fetched outside. Its
// copy does not count where a far host that is no seed holds the piece: then the
// seed has sent it there first, and gives its uplink to others (Seeding). A far
// seed is asked last, and only for what no other neighbour holds.
//
// Demand goes anywhere. The other classes wait for a near host at most
// Config.FarPatience with nothing on its way in time.

// SetFar says whether a neighbour is in another data centre; new ones are not.
func (p *Picker) SetFar(id pieces.HostID, far bool) {
	n := p.neighbours[id]
	if n == nil || n.far == far {
		return
	}
	n.far = far
	p.turnStale = true
	if far {
		p.fars++
	} else {
		p.fars--
	}
}

// outside is what far neighbours are not asked for, by class but demand: at
// what others near will have it, and, of a seed, what others hold at all.
type outside struct {
	near, any words
	// requests are under way at far neighbours.
	requests int
}

// lookOutside notes for one Next what may be asked of far neighbours.
func (p *Picker) lookOutside(now time.Time) {
	p.out = outside{}
	if p.fars == 0 {
		return
	}
	idle := p.idleFor(now)
	if !p.choosy() {
		return
	}
	n := p.geo.Count()
	near, seeds, far := newWords(n), newWords(n), newWords(n)
	for _, o := range p.neighbours {
		if o.far {
			p.out.requests += o.requests
		}
		switch {
		case !p.usable(o):
		case !o.far:
			near.addWords(o.fetching)
			if o.seed {
				seeds.addWords(o.held)
			} else {
				near.addWords(o.held)
			}
		case !o.seed:
			far.addWords(o.held)
		}
	}
	if idle >= p.cfg.FarPatience {
		return
	}
	for w := range near {
		near[w] |= seeds[w] &^ far[w]
		far[w] |= near[w]
	}
	p.out.near, p.out.any = near, far
}

// choosy reports whether any request may be started now that does not go anywhere;
// with all places taken, as for most calls of Next, none may.
func (p *Picker) choosy() bool {
	for c := pieces.Demand + 1; c < pieces.Classes; c++ {
		if p.wants[c] > 0 && p.room(c) {
			return true
		}
	}
	return false
}

// idleFor is how long nothing has been on its way in time though something is
// wanted that does not go anywhere.
func (p *Picker) idleFor(now time.Time) time.Duration {
	wants := 0
	for _, n := range p.wants[pieces.Demand+1:] {
		wants += n
	}
	if wants == 0 {
		p.idle = time.Time{}
		return 0
	}
	if p.flights.prompt() > 0 || p.idle.IsZero() {
		p.idle = now
	}
	return now.Sub(p.idle)
}

// offers are the pieces of word w that n would give to a request of class c, and
// should be asked for.
func (p *Picker) offers(n *neighbour, w int, c pieces.Class) uint64 {
	m := n.givesWord(w, c)
	switch {
	case !n.far || c == pieces.Demand || p.out.near == nil:
	case n.seed:
		m &^= p.out.any[w]
	default:
		m &^= p.out.near[w]
	}
	return m
}

// chooseFar returns the piece to take next from a far neighbour, one of have.
func (p *Picker) chooseFar(have func(w int) uint64) (int, bool) {
	turn := p.turn()
	if i, ok := p.supply.rarest(func(w int) uint64 { return have(w) & turn[w] }, p.rand); ok {
		return i, true
	}
	if p.out.requests >= p.cfg.FarRequests {
		return 0, false
	}
	return p.supply.rarest(have, p.rand)
}

// turn are the pieces that are this host's to bring in.
func (p *Picker) turn() words {
	if !p.turnStale {
		return p.mine
	}
	p.turnStale = false
	self := hostHash(p.cfg.Self)
	var others []uint64
	for id, n := range p.neighbours {
		if !n.far && !n.seed {
			others = append(others, hostHash(id))
		}
	}
	p.mine = newWords(p.geo.Count())
pieces:
	for i := range p.geo.Count() {
		own := mix(self, i)
		for _, o := range others {
			if mix(o, i) > own {
				continue pieces
			}
		}
		p.mine.add(i)
	}
	return p.mine
}

// hostHash is FNV-1a.
func hostHash(id pieces.HostID) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	return h
}

// mix is the finalizer of SplitMix64 over a host's hash and a piece.
func mix(h uint64, i int) uint64 {
	h += uint64(i+1) * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// In which order bulk requests go to neighbours: those near, far ones, far
// seeds.
const (
	near = iota
	far
	farSeed
	distances
)

func (n *neighbour) distance() int {
	switch {
	case !n.far:
		return near
	case !n.seed:
		return far
	}
	return farSeed
}
