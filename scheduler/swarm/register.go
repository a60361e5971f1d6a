package swarm

import (
	"damselfly/pieces"
)

func (t *Task) register(e Register) {
	r, v, p := t.admit(e)
	if p == nil {
		t.do(r)
		return
	}
	for _, run := range e.Sums {
		for x := range v.clip([]pieces.Extent{run.Extent()}) {
			if !v.record(p, run, x) {
				t.do(RegisterReply{Err: pieces.Errorf(pieces.Denied, "host %s contradicts the digests of task %s", e.Host.Short(), t.id.Short())})
				return
			}
		}
	}
	for es := range v.clip(e.Held) {
		v.hold(p, es)
	}
	if e.Resumed {
		v.resume(p, e.Leases)
	}
	if r.Scope == pieces.ScopeSmall {
		v.fillParents(p, 1)
	} else {
		v.fillParents(p, t.opts().CandidateParentLimit)
	}
	p.changed = false
	r.Parents = v.parentsOf(p)
	r.Order = t.orderFor(v)
	if r.Scope == pieces.ScopeSmall || r.Scope == pieces.ScopeTiny {
		r.Sums = v.digests.one(0)
	}
	t.do(r)
	if v.replaced && t.facts.facts != nil {
		v.send(p, NewFacts{*t.facts.facts})
	}
	v.due = true
}

// admit checks a registration. Without a peer the reply is all there is to say:
// an error, or content that needs no swarm.
func (t *Task) admit(e Register) (RegisterReply, *version, *peer) {
	refuse := func(k pieces.Kind, format string, args ...any) (RegisterReply, *version, *peer) {
		return RegisterReply{Err: pieces.Errorf(k, format, args...)}, nil, nil
	}
	h := t.view.Hosts.Get(e.Host)
	if h == nil {
		return refuse(pieces.Unavailable, "host %s is not announced here: announce it first", e.Host.Short())
	}
	facts, id, err := t.resolve(e)
	if err != nil {
		return RegisterReply{Err: err}, nil, nil
	}
	r := RegisterReply{
		Version: id, Facts: facts, Policy: t.opts().Policy,
		Scope: pieces.ScopeOf(facts.Size, t.public),
	}
	switch {
	case r.Scope == pieces.ScopeEmpty:
		return r, nil, nil
	case r.Scope == pieces.ScopeTiny && r.Version == t.facts.version && t.facts.tiny != nil:
		sum := t.facts.sum
		r.Tiny, r.Sums = t.facts.tiny, &sum
		return r, nil, nil
	case r.Scope == pieces.ScopeTiny:
		r.Scope = pieces.ScopeSmall
	}
	v := t.version(r.Version)
	if v == nil {
		if len(t.versions) >= t.opts().MaxVersions {
			return refuse(pieces.Full, "task %s has %d versions in use, as many as may be (max_versions)", t.id.Short(), len(t.versions))
		}
		if v, err = t.newVersion(facts); err != nil {
			return RegisterReply{Err: err}, nil, nil
		}
	}
	if err := v.inQuarantine(); err != nil {
		return RegisterReply{Err: err}, nil, nil
	}
	if _, bad := v.expelled[e.Host]; bad {
		return refuse(pieces.Denied, "host %s contradicted the digests of task %s", e.Host.Short(), t.id.Short())
	}
	if old := v.peers[e.Host]; old != nil {
		v.remove(old)
	} else if t.Peers() >= t.opts().MaxPeers {
		return refuse(pieces.Full, "task %s has %d peers, as many as may be (max_peers)", t.id.Short(), t.Peers())
	}
	p := v.join(h, e.Session, e.CanFetch)
	if v.wake.seed != "" && p.seed {
		v.wake = wake{}
	}
	return r, v, p
}

// resolve finds the facts of the Version a registration names.
func (t *Task) resolve(e Register) (pieces.Facts, pieces.VersionID, *pieces.Error) {
	f := &t.facts
	if e.Version == "" || e.Version == f.version {
		if f.facts != nil {
			return *f.facts, f.version, nil
		}
		if e.Version == "" && e.Facts == nil {
			return pieces.Facts{}, "", pieces.Errorf(pieces.Unavailable, "facts of task %s are not known here: stat it first", t.id.Short())
		}
	}
	if v := t.version(e.Version); v != nil {
		return v.facts, v.id, nil
	}
	var id pieces.VersionID
	if e.Facts != nil {
		id = e.Facts.VersionID()
	}
	if e.Facts == nil || (e.Version != "" && id != e.Version) {
		return pieces.Facts{}, "", pieces.Errorf(pieces.Changed, "version %.40s of task %s is not known here: stat it again", e.Version, t.id.Short())
	}
	if f.facts == nil {
		// A scheduler that lost its state learns from its peers, and has the
		// origin asked again soon.
		if err := t.learn(*e.Facts, zeroTime, nil, ""); err != nil {
			return pieces.Facts{}, "", err
		}
	} else if id != f.version {
		f.distrust()
	}
	return *e.Facts, id, nil
}

// resume adopts the leases a peer brought from another scheduler, and gives
// other peers the grace to tell what they hold before anything is leased.
func (v *version) resume(p *peer, running []RunningLease) {
	if v.grace.IsZero() {
		v.grace = v.t.now.Add(v.t.opts().Grace)
	}
	for _, r := range running {
		v.adopt(p, r)
	}
}

func (t *Task) orderFor(v *version) []pieces.Extent {
	if v.id != t.facts.version {
		return nil
	}
	return t.order.list()
}
