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
// those of others only while fewer than Config.FarRequests are under way outside,
// and only what was there for Config.FarGrace: whose turn it is has left it, then.
//
// A seed holds everything, so near it nothing would ever be fetched outside. Its
// copy does not count where a far host that is no seed holds the piece: then the
// seed has sent it there first, and gives its uplink to others (Seeding). A far
// seed is asked last, and only for what no other neighbour holds.
//
// All that others bring in comes out of the seed's data centre once at least, and
// its hosts have the same uplinks as any. So each piece is also the turn of one of
// the other data centres (place.go), and neighbours in the seed's are asked after
// those elsewhere: the rest find it there. What another data centre left for
// Config.FarGrace is taken one at a time.
//
// Demand goes anywhere. The other classes wait for a near host at most
// Config.FarPatience with nothing on its way in time.

// SetPlace names a neighbour's data centre; it is far if that is another than
// Config.Place. Empty names are near everything, as new neighbours are.
func (p *Picker) SetPlace(id pieces.HostID, place string) {
	n := p.neighbours[id]
	if n == nil || n.place == place {
		return
	}
	n.place = place
	p.turnStale = true
	far := place != "" && p.cfg.Place != "" && place != p.cfg.Place
	if far == n.far {
		return
	}
	n.far = far
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
	// left is what may be taken out of turn; nil = all.
	left words
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
	p.takeTurns()
	n := p.geo.Count()
	near, seeds, far, avail := newWords(n), newWords(n), newWords(n), newWords(n)
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
		case o.seed:
			avail.addWords(o.held)
		default:
			far.addWords(o.held)
		}
	}
	avail.addWords(far)
	p.out.left = p.offered.settled(now, avail, p.cfg.FarGrace)
	if idle >= p.cfg.FarPatience {
		p.out.left = nil
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

// chooseFar returns the piece to take next from a far neighbour, one of have: one
// that is the turn of this host and of its data centre; or, while little is under
// way outside, what others left; or, while nothing is, what other data centres left.
func (p *Picker) chooseFar(n *neighbour, have func(w int) uint64) (int, bool) {
	turn, ours, left := p.turn(), have, have
	if p.out.left != nil {
		left = func(w int) uint64 { return have(w) & p.out.left[w] }
	}
	if p.out.near != nil && p.atSeed(n) {
		ours = func(w int) uint64 { return have(w) & p.imports[w] }
	}
	if i, ok := p.supply.rarest(func(w int) uint64 { return ours(w) & turn[w] }, p.rand); ok {
		return i, true
	}
	if p.out.requests >= p.cfg.FarRequests {
		return 0, false
	}
	choices := []func(w int) uint64{
		func(w int) uint64 { return ours(w) & left(w) & p.next[w] },
		func(w int) uint64 { return ours(w) & left(w) },
	}
	if p.out.requests == 0 {
		choices = append(choices, left)
	}
	for _, some := range choices {
		if i, ok := p.supply.rarest(some, p.rand); ok {
			return i, true
		}
	}
	return 0, false
}

// sightings tell what was there a while ago, from what was there twice.
type sightings struct {
	at        time.Time
	last, old words
}

// settled returns what was there for grace to twice grace, given what is there now.
func (s *sightings) settled(now time.Time, there words, grace time.Duration) words {
	if s.last == nil {
		s.at, s.last, s.old = now, there, newWords(64*len(there))
	}
	if now.Sub(s.at) >= grace {
		s.at, s.last, s.old = now, there, s.last
	}
	return s.old
}

// turn are the pieces that are this host's to bring in.
func (p *Picker) turn() words {
	p.takeTurns()
	return p.mine
}

// takeTurns makes the turns of hosts and of data centres anew after a change.
func (p *Picker) takeTurns() {
	if !p.turnStale {
		return
	}
	p.turnStale = false
	p.imports = p.placeTurns()
	self := hostHash(p.cfg.Self)
	var others []uint64
	for id, n := range p.neighbours {
		if !n.far && !n.seed {
			others = append(others, hostHash(id))
		}
	}
	p.mine, p.next = newWords(p.geo.Count()), newWords(p.geo.Count())
	for i := range p.geo.Count() {
		own, before := mix(self, i), 0
		for _, o := range others {
			if mix(o, i) > own {
				before++
			}
		}
		switch before {
		case 0:
			p.mine.add(i)
		case 1:
			p.next.add(i)
		}
	}
}

// hostHash is FNV-1a.
func hostHash[S ~string](id S) uint64 {
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

// In which order bulk requests go to neighbours: those near, far ones, those in the
// data centre of a far seed, far seeds.
const (
	near = iota
	far
	farHome
	farSeed
	distances
)

func (p *Picker) distance(n *neighbour) int {
	switch {
	case !n.far:
		return near
	case n.seed:
		return farSeed
	case p.atSeed(n):
		return farHome
	}
	return far
}
