package swarm

import (
	"time"

	"damselfly/pieces"
)

// wake is a seed that was woken and has yet to register.
type wake struct {
	seed  string
	until time.Time
}

// limit is how many leases p may run for one more of class c.
func (v *version) limit(p *peer, c pieces.Class) int {
	o := v.t.opts()
	switch {
	case c == pieces.Demand:
		return o.DemandLeases
	case c == pieces.Order:
		return o.OrderLeases
	case p.seed:
		return o.SeedLeases
	}
	return o.PeerLeases
}

// executor finds who reads the run e: the Task's seed if one can, woken if it is
// no peer yet; else a peer that wants e; else any peer that can.
func (v *version) executor(c pieces.Class, e pieces.Extent) (*peer, verdict) {
	p, why := v.seedFor(c)
	if why != nobody {
		return p, why
	}
	var wanting []*peer
	for _, w := range v.wanters.list {
		if w.wantsPiece(e.First) {
			wanting = append(wanting, w)
		}
	}
	if p, why = v.leastBusy(wanting, c); why == busy {
		return nil, busyFor
	} else if why != nobody {
		return p, why
	}
	return v.leastBusy(v.sorted(), c)
}

// seedFor returns the first live seed on the Task's ring that can fetch.
func (v *version) seedFor(c pieces.Class) (p *peer, why verdict) {
	why = nobody
	v.t.view.Hosts.eachSeed(v.t.id, func(s Seed) (more bool) {
		p, why = v.trySeed(s, c)
		return why == nobody
	})
	return p, why
}

func (v *version) trySeed(s Seed, c pieces.Class) (*peer, verdict) {
	now := v.t.now
	p := v.peers[s.Host]
	if p != nil && p.state == live && p.session != 0 {
		if v.wake.seed == s.Key {
			v.wake = wake{}
		}
		switch {
		case !p.canFetch || now.Before(p.rest):
			return nil, nobody
		case p.leases >= v.limit(p, c):
			return nil, busy
		}
		return p, found
	}
	if p != nil && p.state == silent && now.Sub(p.since) < v.t.opts().SeedRest {
		return nil, nobody
	}
	if until, ok := v.tired[s.Key]; ok {
		if now.Before(until) {
			return nil, nobody
		}
		delete(v.tired, s.Key)
	}
	if _, bad := v.expelled[s.Host]; bad || !v.t.seedsCanFetch {
		return nil, nobody
	}
	switch {
	case v.wake.seed != s.Key:
		v.wake = wake{s.Key, now.Add(v.t.opts().SeedWake)}
		facts := v.facts
		v.t.do(Wake{s.Key, v.id, &facts})
		return nil, waiting
	case now.Before(v.wake.until):
		return nil, waiting
	}
	v.tire(s.Key)
	return nil, nobody
}

// tire passes over a seed that did not come when woken.
func (v *version) tire(seed string) {
	if v.tired == nil {
		v.tired = map[string]time.Time{}
	}
	v.tired[seed] = v.t.now.Add(v.t.opts().SeedRest)
	v.wake = wake{}
	v.due = true
}

func (t *Task) wakeFailed(e WakeFailed) {
	if e.Version == "" {
		t.seedRefused()
		return
	}
	if v := t.version(e.Version); v != nil && v.wake.seed == e.Seed {
		v.tire(e.Seed)
	}
}

// leastBusy returns the peer with the fewest leases that may have one more.
func (v *version) leastBusy(ps []*peer, c pieces.Class) (*peer, verdict) {
	var best *peer
	why := nobody
	for _, p := range ps {
		switch {
		case p.state != live || !p.canFetch:
		case p.session == 0 || v.t.now.Before(p.rest):
			if why == nobody {
				why = waiting
			}
		case p.leases >= v.limit(p, c):
			if why == nobody || why == waiting {
				why = busy
			}
		case best == nil || p.leases < best.leases:
			best = p
		}
	}
	if best != nil {
		return best, found
	}
	return nil, why
}
