package swarm

import "damselfly/pieces"

// knownHolders is how many holders of a piece are kept at hand; more are found
// by looking through the peers.
const knownHolders = 4

// holderSlot says who holds one piece. n counts all live holders; who[:known]
// are the seats of some of them. There is one for each piece of each Version:
// without pointers the garbage collector need not look at them.
type holderSlot struct {
	n     int32
	known int8
	who   [knownHolders]seat
}

func (s *holderSlot) add(p seat, rand func(int) int) {
	s.n++
	if int(s.known) < knownHolders {
		s.who[s.known] = p
		s.known++
		return
	}
	// Keep a fair sample, so that the same few are not named to everybody.
	if i := rand(int(s.n)); i < knownHolders {
		s.who[i] = p
	}
}

func (s *holderSlot) remove(p seat) {
	s.n--
	for i := range s.who[:s.known] {
		if s.who[i] == p {
			s.known--
			s.who[i] = s.who[s.known]
			return
		}
	}
}

// seat numbers a peer of a Version for as long as it is one.
type seat uint32

// seats finds peers by their number.
type seats struct {
	at   []*peer
	free []seat
}

func (s *seats) take(p *peer) {
	if n := len(s.free); n > 0 {
		p.seat = s.free[n-1]
		s.free = s.free[:n-1]
		s.at[p.seat] = p
		return
	}
	p.seat = seat(len(s.at))
	s.at = append(s.at, p)
}

func (s *seats) leave(p *peer) {
	s.at[p.seat] = nil
	s.free = append(s.free, p.seat)
}

// available reports whether somebody can be sent to fetch piece i: a live peer
// holds it and its digest is known.
func (v *version) available(i int) bool {
	return v.holders != nil && v.holders[i].n > 0 && v.digests.has(i)
}

// hold notes that p has the pieces of e, which is inside the content.
func (v *version) hold(p *peer, e pieces.Extent) {
	if v.holders == nil {
		v.holders = make([]holderSlot, v.n)
	}
	for i := range e.All() {
		if p.stale.Has(i) {
			v.holdStale(p, i)
			continue
		}
		if !p.held.Add(i) {
			continue
		}
		v.unwant(p, i)
		s := &v.holders[i]
		s.add(p.seat, v.t.rand.IntN)
		if s.n == 1 && v.digests.has(i) {
			v.appeared(i)
		}
	}
	if !p.complete && p.held.Count() == v.n {
		v.completed(p)
	}
}

// holdStale notes that p says to hold piece i, of which it said another digest
// than the record.
func (v *version) holdStale(p *peer, i int) {
	v.unwant(p, i)
	v.markHeld(p, i, true)
}

// markHeld notes whether p holds piece i, of which its word does not count yet.
func (v *version) markHeld(p *peer, i int, held bool) {
	cs := v.early[i]
	if d := v.disputes[i]; d != nil {
		cs = d.claims
	}
	if c, ok := cs[p.id]; ok {
		c.held = held
		cs[p.id] = c
	}
}

// appeared notes that piece i became available.
func (v *version) appeared(i int) {
	v.fresh = append(v.fresh, i)
	for c := range v.need {
		v.need[c].Remove(i)
	}
}

// completed makes p a root: it follows nobody any more.
func (v *version) completed(p *peer) {
	p.complete = true
	v.completes.add(p)
	if !p.seed {
		v.firstDone = true
	}
	v.dropParents(p)
	v.refresh(p)
}

// unhold takes all that p holds out of the index. p must be silent already.
func (v *version) unhold(p *peer) {
	v.vanish(p, p.held.List(), true)
}

// vanish removes p as a holder of es and looks after those who counted on it.
func (v *version) vanish(p *peer, es []pieces.Extent, leaving bool) {
	for _, e := range es {
		for i := range e.All() {
			if p.held.Remove(i) {
				v.holders[i].remove(p.seat)
			}
		}
		v.needAgain(e)
	}
	if p.complete && len(es) > 0 {
		p.complete = false
		v.completes.remove(p)
	}
	if !p.wasNamed {
		return // nobody counted on it: thousands need not be asked
	}
	v.eachWanter(func(w *peer) {
		if _, named := w.named[p]; !named || w == p {
			return
		}
		if leaving {
			delete(w.named, p)
		}
		var lost []pieces.Extent
		for _, e := range es {
			for i := range e.All() {
				if w.wantsPiece(i) {
					lost = appendPiece(lost, i)
				}
			}
		}
		v.answer(w, lost, false)
	})
}

func (v *version) onLost(p *peer, e Lost) {
	var es []pieces.Extent
	for x := range v.clip(e.Extents) {
		v.loseStale(p, x)
		for run := range overlap(&p.held, x) {
			es = append(es, run)
		}
	}
	v.vanish(p, es, false)
	v.refresh(p)
}

// loseStale notes that p does not hold what contradicts the record any more.
func (v *version) loseStale(p *peer, e pieces.Extent) {
	for run := range overlap(&p.stale, e) {
		for i := range run.All() {
			v.markHeld(p, i, false)
		}
	}
	p.stale.RemoveExtent(e)
}

// onHeld notes what p has verified. Digests count first: nobody is sent to a
// peer for pieces of which it contradicts the record.
func (v *version) onHeld(p *peer, e Held) {
	if e.Rate > 0 {
		p.rate = e.Rate
	}
	if v.inQuarantine() != nil || !v.hearSums(p, e) {
		return
	}
	for x := range v.clip(e.Extents) {
		v.hold(p, x)
		v.deliver(p, x)
	}
	if l := v.leaseByID(e.Lease); l != nil && l.peer == p {
		l.heard = v.t.now
	}
	v.onCosts(p, e.Costs)
	v.refresh(p)
	v.improve(p)
}

// hearSums takes the digests of a report; false if nothing more of it counts.
func (v *version) hearSums(p *peer, e Held) (goOn bool) {
	if r := v.rereadByID(e.Lease); r != nil && r.peer == p {
		return v.onReread(r, p, e)
	}
	for _, run := range e.Sums {
		for x := range v.clip([]pieces.Extent{run.Extent()}) {
			if !v.record(p, run, x) {
				return false
			}
		}
	}
	return true
}
