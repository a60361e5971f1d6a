package swarm

import (
	"slices"

	"damselfly/pieces"
)

// answer tells p what is known of the pieces it wants in es: digests (if asked
// for), holders, who is fetching them. What nobody has is put down as needed;
// what nobody that p can use has is leased again.
func (v *version) answer(p *peer, es []pieces.Extent, withSums bool) {
	var wanted, held []pieces.Extent
	for _, e := range es {
		for i := range e.All() {
			c, ok := p.wantClass(i)
			if !ok {
				continue
			}
			wanted = appendPiece(wanted, i)
			switch {
			case v.available(i):
				held = appendPiece(held, i)
			case !v.leased.Has(i):
				v.need[c].Add(i)
				v.due = true
			}
		}
	}
	if len(wanted) == 0 {
		return
	}
	if withSums {
		v.sendSums(p, wanted)
	}
	hs, stuck := v.chooseHolders(p, held)
	hs = v.addFetching(p, wanted, v.leases, hs)
	v.sendHolders(p, hs)
	v.repeat(p, stuck)
}

func (v *version) sendSums(p *peer, es []pieces.Extent) {
	for _, sums := range v.digests.pagesOf(es, v.t.opts().MaxSums) {
		v.send(p, Digests{Sums: sums})
	}
}

// named is a holder being put together for one message.
type named struct {
	peer           *peer
	held, fetching []pieces.Extent
}

// chooseHolders picks peers from which p can get the available pieces es, each
// at least from one: complete peers by score if there are any, else holders of
// each piece, few in all. stuck are the pieces all of whose holders p blocks.
func (v *version) chooseHolders(p *peer, es []pieces.Extent) (hs []*named, stuck []int) {
	if len(es) == 0 {
		return nil, nil
	}
	if v.classic() {
		return v.chooseParents(p, es)
	}
	for _, q := range v.completeFor(p) {
		hs = append(hs, &named{peer: q})
	}
	for _, e := range es {
		for i := range e.All() {
			if slices.ContainsFunc(hs, func(h *named) bool { return h.peer.held.Has(i) }) {
				continue
			}
			if q := v.holderFor(p, i); q != nil {
				hs = append(hs, &named{peer: q})
			} else {
				stuck = append(stuck, i)
			}
		}
	}
	for _, h := range hs {
		for _, e := range es {
			h.held = slices.AppendSeq(h.held, overlap(&h.peer.held, e))
		}
	}
	return hs, stuck
}

// completeFor samples complete peers that p can use, best first.
func (v *version) completeFor(p *peer) []*peer {
	o := v.t.opts()
	var cs []candidate
	for drawn := 0; drawn < min(v.completes.len(), maxDraws) && len(cs) < o.FilterParentLimit; drawn++ {
		if q := v.completes.draw(drawn, v.t.rand.IntN); v.usable(p, q) {
			cs = append(cs, candidate{q, v.score(q, p)})
		}
	}
	best(cs)
	var out []*peer
	for _, c := range cs[:min(len(cs), o.HoldersPerWant)] {
		out = append(out, c.peer)
	}
	return out
}

// usable reports whether p may be sent to q for bytes.
func (v *version) usable(p, q *peer) bool {
	return q != p && q.state == live && !p.blocks(q.id, v.t.now)
}

// holderFor picks one holder of piece i that p can use, or nil.
func (v *version) holderFor(p *peer, i int) *peer {
	s := &v.holders[i]
	if s.known > 0 {
		start := v.t.rand.IntN(int(s.known))
		for k := range int(s.known) {
			if q := v.seats.at[s.who[(start+k)%int(s.known)]]; v.usable(p, q) {
				return q
			}
		}
	}
	if int(s.n) == int(s.known) || v.blocksAll(p, i) {
		return nil
	}
	for _, q := range v.seats.at {
		if q != nil && q.held.Has(i) && v.usable(p, q) {
			return q
		}
	}
	return nil
}

// blocksAll reports whether p blocks every holder of piece i: it blocks few hosts
// (maxBlocked), and peers are many.
func (v *version) blocksAll(p *peer, i int) bool {
	n := 0
	for id := range p.blocked {
		if q := v.peers[id]; q != nil && q.held.Has(i) && p.blocks(id, v.t.now) {
			n++
		}
	}
	return n >= int(v.holders[i].n)
}

// addFetching adds who among these leases fetches pieces of es for p to wait at.
func (v *version) addFetching(p *peer, es []pieces.Extent, leases []*lease, hs []*named) []*named {
	for _, l := range leases {
		if l.peer == p || p.blocks(l.peer.id, v.t.now) || v.classic() && !slices.Contains(p.parents, l.peer) {
			continue
		}
		var parts []pieces.Extent
		for _, e := range es {
			for run := range l.missing(e) {
				parts = append(parts, run)
			}
		}
		if len(parts) == 0 {
			continue
		}
		k := slices.IndexFunc(hs, func(h *named) bool { return h.peer == l.peer })
		if k < 0 {
			k, hs = len(hs), append(hs, &named{peer: l.peer})
		}
		hs[k].fetching = append(hs[k].fetching, parts...)
	}
	return hs
}

// sendHolders names hs to p, in messages of at most MaxExtents extents.
func (v *version) sendHolders(p *peer, hs []*named) {
	limit := v.t.opts().MaxExtents
	var msg []pieces.Holder
	n := 0
	flush := func() {
		if len(msg) > 0 {
			v.send(p, Holders{msg})
			msg, n = nil, 0
		}
	}
	add := func(h pieces.Holder) {
		if size := len(h.Held) + len(h.Fetching); n+size > limit {
			flush()
			n = size
		} else {
			n += size
		}
		msg = append(msg, h)
	}
	for _, h := range hs {
		host := v.host(h.peer)
		if host == nil || len(h.held)+len(h.fetching) == 0 {
			continue
		}
		if p.named == nil {
			p.named = map[*peer]struct{}{}
		}
		p.named[h.peer] = struct{}{}
		h.peer.wasNamed = true
		if len(h.held)+len(h.fetching) <= limit {
			add(pieces.Holder{Host: host.Host, Held: h.held, Fetching: h.fetching})
			continue
		}
		for part := range chunks(h.held, limit) {
			add(pieces.Holder{Host: host.Host, Held: part})
		}
		for part := range chunks(h.fetching, limit) {
			add(pieces.Holder{Host: host.Host, Fetching: part})
		}
	}
	flush()
}
