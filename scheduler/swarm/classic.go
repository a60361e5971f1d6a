package swarm

import (
	"slices"

	"damselfly/pieces"
)

// Policy classic is the baseline to measure against: the published rules of
// Dragonfly alone. Bytes flow along the DAG only, so nobody is named as a holder
// or a reader of a lease but a parent, and children learn from their parents
// what these hold. FilterParentLimit peers are drawn from all that are here
// before the rules are applied, not until as many have passed. Leases stay, so
// that the origin is read once; what no parent has served, or will, for
// RepeatAfter is read again.

func (v *version) classic() bool { return v.t.opts().Policy == pieces.PolicyClassic }

// drawClassic draws peers at random and returns those that pass the rules.
func (v *version) drawClassic(child *peer) (out []candidate) {
	for drawn := range min(v.here.len(), v.t.opts().FilterParentLimit) {
		p := v.here.draw(drawn, v.t.rand.IntN)
		if v.eligible.has(p) && v.mayFollow(child, p) {
			out = append(out, candidate{p, v.score(p, child)})
		}
	}
	best(out)
	return out
}

// chooseParents is chooseHolders for children that ask their parents only. What
// no parent holds yet comes later; stuck is what p can get from nobody at all.
func (v *version) chooseParents(p *peer, es []pieces.Extent) (hs []*named, stuck []int) {
	for _, q := range p.parents {
		if !v.usable(p, q) {
			continue
		}
		h := &named{peer: q}
		for _, e := range es {
			h.held = slices.AppendSeq(h.held, overlap(&q.held, e))
		}
		if len(h.held) > 0 {
			hs = append(hs, h)
		}
	}
	for _, e := range es {
		for i := range e.All() {
			if !slices.ContainsFunc(hs, func(h *named) bool { return h.peer.held.Has(i) }) && v.holderFor(p, i) == nil {
				stuck = append(stuck, i)
			}
		}
	}
	return hs, stuck
}

// tickClassic lends to peers themselves what no parent of theirs will bring
// though somebody holds it: RepeatAfter after their parents last changed.
func (v *version) tickClassic() {
	if !v.classic() {
		return
	}
	o := v.t.opts()
	v.eachWanter(func(p *peer) {
		if p.leases >= o.PeerLeases || v.t.now.Sub(p.relinked) < o.RepeatAfter {
			return
		}
		most := max(1, int(o.LeaseUnit/v.geo.PieceSize))
		var stuck []int
		for i := range v.n {
			if p.wantsPiece(i) && v.available(i) && !v.leased.Has(i) && !brought(p, i) {
				if stuck = append(stuck, i); len(stuck) == most {
					break
				}
			}
		}
		v.repeat(p, stuck)
	})
}

// brought reports whether a parent of p has piece i or wants it.
func brought(p *peer, i int) bool {
	return slices.ContainsFunc(p.parents, func(q *peer) bool { return q.held.Has(i) || q.wantsPiece(i) })
}
