package swarm

import (
	"cmp"
	"slices"

	"damselfly/pieces"
)

// How much work one Step may spend on choosing.
const (
	maxDraws   = 256 // eligible peers looked at for one child
	maxFeeding = 512 // orphans looked at in one Step
)

type candidate struct {
	peer  *peer
	score float64
}

// candidates draws eligible parents for child until FilterParentLimit pass the
// rules that depend on the child, and returns them best first.
func (v *version) candidates(child *peer) []candidate {
	if v.eligible.len() == 0 {
		return nil
	}
	v.markBelow(child)
	if v.classic() {
		return v.drawClassic(child)
	}
	o := v.t.opts()
	out := v.drawLocal(child, make([]candidate, 0, o.FilterParentLimit))
	nears := len(out)
	for drawn := 0; drawn < min(v.eligible.len(), maxDraws) && len(out) < o.FilterParentLimit; drawn++ {
		p := v.eligible.draw(drawn, v.t.rand.IntN)
		if v.mayFollow(child, p) && !slices.ContainsFunc(out[:nears], func(c candidate) bool { return c.peer == p }) {
			out = append(out, candidate{p, v.score(p, child)})
		}
	}
	best(out)
	return out
}

// mayFollow applies the rules that depend on the child, after markBelow(child):
// p is not the child itself nor below it, not blocked, not its parent already. A
// seed reads from the origin first: it waits for nobody but its like.
func (v *version) mayFollow(child, p *peer) bool {
	return p.mark != v.epoch && !child.blocks(p.id, v.t.now) && !slices.Contains(child.parents, p) &&
		(!child.seed || p.seed || p.complete)
}

// best sorts by falling score; equals stay as drawn.
func best(cs []candidate) {
	slices.SortStableFunc(cs, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
}

// fillParents gives child parents up to limit, best first.
func (v *version) fillParents(child *peer, limit int) {
	child.lacking = false
	if child.state != live || child.complete || v.quarantined != nil || len(child.parents) >= limit {
		return
	}
	v.linkBest(child, limit, v.candidates(child))
	if len(child.parents) < limit {
		v.linkBest(child, limit, v.lastResort(child))
	}
}

// linkBest gives child the first of cs, best first, up to limit parents.
func (v *version) linkBest(child *peer, limit int, cs []candidate) {
	for _, c := range cs {
		if len(child.parents) >= limit {
			return
		}
		v.link(c.peer, child)
	}
}

// lastResort draws bad nodes that child may follow: in a swarm that has run for a
// while everybody may be bad, and a bad parent is better than none. Classic has
// the published rules alone.
func (v *version) lastResort(child *peer) []candidate {
	if v.bad.len() == 0 || v.classic() {
		return nil
	}
	v.markBelow(child)
	o := v.t.opts()
	var out []candidate
	for drawn := 0; drawn < min(v.bad.len(), maxDraws) && len(out) < o.FilterParentLimit; drawn++ {
		p := v.bad.draw(drawn, v.t.rand.IntN)
		if fedPeer(p) && len(p.children) < v.slots(p) && v.mayFollow(child, p) {
			out = append(out, candidate{p, v.score(p, child)})
		}
	}
	best(out)
	return out
}

// improve replaces child's worst parent if another is clearly better, or adds
// one where there is room. It is called when the child reports, at most once
// per max(ReplaceMin, ReplaceShare × expected time).
func (v *version) improve(child *peer) {
	o := v.t.opts()
	if v.t.now.Before(child.replace) || child.complete || child.seed {
		return
	}
	pause := max(o.ReplaceMin, scale(child.expected(v.facts.Size, o), o.ReplaceShare))
	child.replace = v.t.now.Add(pause)
	if len(child.parents) < v.parentLimit() {
		v.fillParents(child, v.parentLimit())
		return
	}
	cs := v.candidates(child)
	if v.addParents(child, cs) {
		return
	}
	worst := v.worstParent(child)
	if worst.peer == nil || len(cs) == 0 || cs[0].score < worst.score*o.ReplaceGain || cs[0].score <= worst.score {
		return
	}
	v.cut(worst.peer, child)
	v.link(cs[0].peer, child)
	v.t.count(ParentsReplaced, 1)
}

// addParents gives child more parents, up to ParentLimit, and reports whether it
// got any. Those of other data centres would bring more bytes across.
func (v *version) addParents(child *peer, cs []candidate) (added bool) {
	if v.classic() || !v.normal() {
		return false
	}
	for _, c := range cs {
		if len(child.parents) >= v.t.opts().ParentLimit {
			break
		}
		if len(v.local) < 2 || v.near(child, c.peer) {
			v.link(c.peer, child)
			added = true
		}
	}
	return added
}

// near reports whether two peers are in one data centre.
func (v *version) near(p, q *peer) bool {
	a, b := v.host(p), v.host(q)
	return a != nil && b != nil && a.IDC == b.IDC
}

func (v *version) worstParent(child *peer) candidate {
	var worst candidate
	for _, p := range child.parents {
		s := v.score(p, child)
		if v.t.now.Before(p.badUntil) {
			s = 0
		}
		if worst.peer == nil || s < worst.score {
			worst = candidate{p, s}
		}
	}
	return worst
}

func (v *version) parentLimit() int {
	if !v.normal() {
		return 1
	}
	return v.t.opts().CandidateParentLimit
}

// normal reports whether v has more than one piece.
func (v *version) normal() bool {
	return pieces.ScopeOf(v.facts.Size, v.t.public) == pieces.ScopeNormal
}

// feed gives parents to peers that lost one in this Step, and, when someone
// became eligible, to those that have none.
func (v *version) feed() {
	for i := 0; i < len(v.touched); i++ {
		if p := v.touched[i]; p.lacking {
			v.fillParents(p, v.parentLimit())
		}
	}
	for work := 0; v.fed && v.eligible.len() > 0; {
		v.fed = false
		for _, p := range slices.Clone(v.orphans.list) {
			if work++; work > maxFeeding {
				v.unfed = true
				return
			}
			v.fillParents(p, v.parentLimit())
		}
	}
	v.unfed = false
}

// tellParents sends every changed list once.
func (v *version) tellParents() {
	for _, p := range v.touched {
		if p.changed && p.state == live && !p.complete {
			v.send(p, Parents{v.parentsOf(p)})
		}
		p.changed = false
	}
	v.touched = nil
}

// parentsOf returns p's parents as others may know them, best first.
func (v *version) parentsOf(p *peer) []pieces.Parent {
	cs := make([]candidate, len(p.parents))
	for i, q := range p.parents {
		cs[i] = candidate{q, v.score(q, p)}
	}
	best(cs)
	out := make([]pieces.Parent, 0, len(cs))
	for _, c := range cs {
		if h := v.host(c.peer); h != nil {
			out = append(out, pieces.Parent{Host: h.Host, Complete: c.peer.complete, BackToSource: c.peer.leases > 0})
		}
	}
	return out
}
