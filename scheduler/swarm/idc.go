package swarm

// Data centres. What crosses between them should be one copy each, so peers of one
// must know each other: where there are several, a part of the candidates for a
// child is drawn among the eligible of its own, since few of FilterParentLimit drawn
// from all would be. They lead by their score. What nobody there has, its wants
// bring to the scheduler, which names holders anywhere; what is asked of them is the
// picker's business (daemon/picker).

// localShare of the candidates are drawn in the child's data centre first.
const localShare = 1.0 / 3

// setLocal puts p in or out of the pool of its data centre.
func (v *version) setLocal(p *peer, in bool) {
	idc := ""
	if in {
		if h := v.host(p); h != nil {
			idc = h.IDC
		}
	}
	if idc == p.idc {
		return
	}
	if s := v.local[p.idc]; s != nil {
		s.remove(p)
		if s.len() == 0 {
			delete(v.local, p.idc)
		}
	}
	if p.idc = idc; idc == "" {
		return
	}
	s := v.local[idc]
	if s == nil {
		if v.local == nil {
			v.local = map[string]*pool{}
		}
		s = &pool{kind: inLocal}
		v.local[idc] = s
	}
	s.add(p)
}

// drawLocal adds eligible peers of child's data centre to out, if there are others.
func (v *version) drawLocal(child *peer, out []candidate) []candidate {
	h := v.host(child)
	if h == nil || len(v.local) < 2 {
		return out
	}
	s := v.local[h.IDC]
	if s == nil {
		return out
	}
	most := int(localShare * float64(v.t.opts().FilterParentLimit))
	for drawn := 0; drawn < min(s.len(), maxDraws) && len(out) < most; drawn++ {
		if p := s.draw(drawn, v.t.rand.IntN); v.mayFollow(child, p) {
			out = append(out, candidate{p, v.score(p, child)})
		}
	}
	return out
}
