package swarm

import (
	"fmt"
	"slices"

	"damselfly/pieces"
)

// check returns what is wrong inside the machine, or nil.
func check(t *Task, hosts *Hosts) error {
	for _, v := range t.versions {
		for _, p := range v.peers {
			if h := hosts.Get(p.id); h != nil && len(p.children) > h.UploadSlots {
				return fmt.Errorf("peer %s has %d children and %d slots", p.id, len(p.children), h.UploadSlots)
			}
		}
		for _, f := range []func(*version) error{checkGraph, checkPools, checkLeases, checkHoldings} {
			if err := f(v); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkGraph(v *version) error {
	for _, p := range v.peers {
		if p.state == silent && len(p.parents)+len(p.children)+p.leases+p.wants > 0 {
			return fmt.Errorf("silent peer %s has edges, leases or wants", p.id)
		}
		if p.complete && len(p.parents) > 0 {
			return fmt.Errorf("complete peer %s has parents", p.id)
		}
		for _, c := range p.children {
			if !slices.Contains(c.parents, p) || v.peers[c.id] != c {
				return fmt.Errorf("edge %s → %s is one-sided", p.id, c.id)
			}
		}
		for _, q := range p.parents {
			if !slices.Contains(q.children, p) || v.peers[q.id] != q {
				return fmt.Errorf("edge %s → %s is one-sided", q.id, p.id)
			}
		}
		v.markBelow(p)
		for _, q := range p.parents {
			if q.mark == v.epoch {
				return fmt.Errorf("peers %s and %s follow each other", p.id, q.id)
			}
		}
	}
	return nil
}

// checkPaths: after a Tick, every live peer has a path to a source or a lease,
// as far as anybody may feed it: where its parents end there is a complete peer,
// a seed, or one that reads the origin, or one that may follow nobody here.
func checkPaths(t *Task, view View) error {
	t.view, t.now = view, view.Now
	defer func() { t.view = View{} }()
	for _, v := range t.versions {
		for _, p := range v.peers {
			if p.state != live || fedPeer(p) || v.quarantined != nil || v.unfed {
				continue
			}
			v.markBelow(p)
			for _, q := range v.eligible.list {
				if !v.classic() && v.mayFollow(p, q) {
					return fmt.Errorf("peer %s has no parent, no lease, and could follow %s", p.id, q.id)
				}
			}
		}
	}
	return nil
}

func checkPools(v *version) error {
	for _, s := range []*pool{&v.eligible, &v.orphans, &v.wanters, &v.completes, &v.silent, &v.bad, &v.here, &v.stuck} {
		for i, p := range s.list {
			if p.pos[s.kind] != i+1 || v.peers[p.id] != p {
				return fmt.Errorf("pool %d holds peer %s wrongly", s.kind, p.id)
			}
			if (p.state == silent) != (s.kind == inSilent) {
				return fmt.Errorf("peer %s in state %d is in pool %d", p.id, p.state, s.kind)
			}
		}
	}
	for idc, s := range v.local {
		if s.len() == 0 || idc == "" {
			return fmt.Errorf("data centre %q has an empty pool", idc)
		}
		for i, p := range s.list {
			if p.pos[inLocal] != i+1 || p.idc != idc || !v.eligible.has(p) || v.peers[p.id] != p {
				return fmt.Errorf("data centre %q holds peer %s wrongly", idc, p.id)
			}
		}
	}
	for _, p := range v.peers {
		for i := range p.stuck.Extents() {
			for k := range i.All() {
				if !p.wantsPiece(k) || !v.stuck.has(p) {
					return fmt.Errorf("piece %d is stuck for peer %s, which does not want it or is not looked at", k, p.id)
				}
			}
		}
		if v.wanters.has(p) != (p.wants > 0) {
			return fmt.Errorf("peer %s wants %d pieces and is in the wrong pool", p.id, p.wants)
		}
		if p.state == live && v.completes.has(p) != (p.held.Count() == v.n) {
			return fmt.Errorf("peer %s holds %d of %d and is in the wrong pool", p.id, p.held.Count(), v.n)
		}
	}
	return nil
}

func checkLeases(v *version) error {
	covered := &pieces.Set{}
	running := map[*peer]int{}
	for _, l := range v.leases {
		running[l.peer]++
		if v.peers[l.peer.id] != l.peer || l.left.Count() == 0 {
			return fmt.Errorf("lease %d is over but runs", l.id)
		}
		for e := range l.missing(l.extent) {
			if covered.AddExtent(e) != e.Len() {
				return fmt.Errorf("pieces of lease %d are leased twice", l.id)
			}
		}
	}
	if covered.String() != v.leased.String() {
		return fmt.Errorf("leased %v, but leases cover %v", &v.leased, covered)
	}
	for _, p := range v.peers {
		if p.leases != running[p] {
			return fmt.Errorf("peer %s runs %d leases, not %d", p.id, running[p], p.leases)
		}
	}
	return nil
}

func checkHoldings(v *version) error {
	for i := range v.n {
		n := 0
		for _, p := range v.peers {
			if p.held.Has(i) {
				n++
				if p.stale.Has(i) {
					return fmt.Errorf("peer %s counts as holder of piece %d, of which it contradicts the record", p.id, i)
				}
				if p.wantsPiece(i) {
					return fmt.Errorf("peer %s wants piece %d, which it holds", p.id, i)
				}
			}
		}
		if v.holders == nil {
			if n > 0 {
				return fmt.Errorf("piece %d is held but not in the index", i)
			}
			continue
		}
		s := v.holders[i]
		if v.digests.has(i) && v.doubted.Has(i) && v.disputes[i] == nil {
			return fmt.Errorf("piece %d is recorded and doubted, but not in dispute", i)
		}
		if int(s.n) != n {
			return fmt.Errorf("piece %d has %d holders, the index says %d", i, n, s.n)
		}
		for _, at := range s.who[:s.known] {
			p := v.seats.at[at]
			if p == nil {
				return fmt.Errorf("an empty seat is in the index of piece %d", i)
			}
			if !p.held.Has(i) {
				return fmt.Errorf("peer %s is in the index of piece %d, which it lacks", p.id, i)
			}
		}
		if _, wanted := v.urgency(i); wanted && !v.available(i) && !v.leased.Has(i) && !v.needed(i) {
			return fmt.Errorf("piece %d is wanted, has no source, and nobody looks for one", i)
		}
	}
	return nil
}

func (v *version) needed(i int) bool {
	for c := range v.need {
		if v.need[c].Has(i) {
			return true
		}
	}
	return false
}
