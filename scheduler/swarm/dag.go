package swarm

import (
	"slices"

	"damselfly/pieces"
)

// The DAG says who follows whom. Every edge goes from a peer that is fed to a
// child that waits for what it fetches; edges never form a cycle, so waiting
// ends.

// fedPeer reports whether bytes can reach p.
func fedPeer(p *peer) bool {
	return p.complete || p.seed || p.leases > 0 || len(p.parents) > 0
}

// refresh puts p in or out of the eligible set and the orphans after any change
// of state, badness, completeness, leases, parents or children.
func (v *version) refresh(p *peer) {
	up := p.state == live
	may := up && v.quarantined == nil && !v.t.now.Before(p.badUntil) && fedPeer(p) && len(p.children) < v.slots(p)
	if v.eligible.set(p, may) {
		v.fed = true
	}
	v.setLocal(p, may)
	if v.orphans.set(p, up && !p.complete && !p.seed && len(p.parents) == 0) {
		v.fed = true
	}
}

// slots is how many children p may have in this swarm.
func (v *version) slots(p *peer) int {
	if h := v.host(p); h != nil {
		if !v.classic() {
			return min(h.UploadSlots, v.t.opts().MaxChildren)
		}
		return h.UploadSlots
	}
	return 0
}

// heedChildren indexes anew who may become a parent when options say otherwise
// how many children a peer may have.
func (t *Task) heedChildren() {
	most := t.opts().MaxChildren
	if t.opts().Policy == pieces.PolicyClassic {
		most = 0 // as many as slots
	}
	if most == t.maxChildren {
		return
	}
	t.maxChildren = most
	for _, v := range t.versions {
		for _, p := range v.sorted() {
			v.refresh(p)
		}
	}
}

func (v *version) link(parent, child *peer) {
	parent.children = append(parent.children, child)
	child.parents = append(child.parents, parent)
	v.change(child)
	v.refresh(parent)
	v.refresh(child)
}

func (v *version) cut(parent, child *peer) {
	parent.children = without(parent.children, child)
	child.parents = without(child.parents, parent)
	v.change(child)
	v.refresh(parent)
	v.refresh(child)
}

// cutAll removes every edge of p; its children lack a parent until settle.
func (v *version) cutAll(p *peer) {
	v.dropParents(p)
	for len(p.children) > 0 {
		c := p.children[len(p.children)-1]
		v.cut(p, c)
		c.lacking = true
	}
}

// dropParents makes p a root.
func (v *version) dropParents(p *peer) {
	for len(p.parents) > 0 {
		v.cut(p.parents[len(p.parents)-1], p)
	}
}

// change notes that p's list of parents is not what it was told.
func (v *version) change(p *peer) {
	p.relinked = v.t.now
	if !p.changed {
		p.changed = true
		v.touched = append(v.touched, p)
	}
}

// markBelow marks p and all who follow it, directly or not, with a new epoch.
func (v *version) markBelow(p *peer) {
	v.epoch++
	p.mark = v.epoch
	for todo := []*peer{p}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, c := range at.children {
			if c.mark != v.epoch {
				c.mark = v.epoch
				todo = append(todo, c)
			}
		}
	}
}

func without(ps []*peer, p *peer) []*peer {
	if i := slices.Index(ps, p); i >= 0 {
		return slices.Delete(ps, i, i+1)
	}
	return ps
}
