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
// that the origin is read once; a demand that no parent has served for
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
