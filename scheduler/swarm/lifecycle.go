package swarm

import (
	"cmp"
	"slices"
	"time"

	"damselfly/pieces"
)

// join adds a live peer of the host.
func (v *version) join(h *HostState, session uint64, canFetch bool) *peer {
	p := &peer{id: h.ID, host: hostNamed(h.ID), session: session, since: v.t.now, relinked: v.t.now, seed: h.Type == pieces.SeedHost, canFetch: canFetch}
	v.peers[p.id] = p
	v.seats.take(p)
	v.here.add(p)
	if session == 0 {
		v.detached++
	}
	if v.t.hosts[p.id]++; v.t.hosts[p.id] == 1 {
		v.t.do(Joined{p.id})
	}
	v.refresh(p)
	return p
}

// attach notes the session on which a registered peer is first heard, and
// tells what it may have missed.
func (v *version) attach(p *peer, session uint64) {
	p.session = session
	v.detached--
	v.change(p)
	v.due = true
	if v.id == v.t.facts.version && v.t.order.isNews(v.t.now) {
		v.send(p, AccessOrder{v.t.order.list()})
	}
}

// silence takes p out of everything but the list of peers: its session is gone.
func (v *version) silence(p *peer) {
	if p.state == silent {
		return
	}
	v.dropWants(p)
	for i := 0; i < len(v.leases); {
		if l := v.leases[i]; l.peer == p {
			v.endLease(l, "")
		} else {
			i++
		}
	}
	v.endRereadsOf(p)
	if p.session == 0 {
		v.detached--
	}
	p.state, p.since = silent, v.t.now
	v.cutAll(p)
	v.unhold(p)
	v.completes.remove(p)
	v.orphans.remove(p)
	v.eligible.remove(p)
	v.setLocal(p, false)
	v.bad.remove(p)
	v.here.remove(p)
	v.silent.add(p)
	v.due = true
}

// remove forgets p.
func (v *version) remove(p *peer) {
	v.silence(p)
	v.silent.remove(p)
	delete(v.peers, p.id)
	v.seats.leave(p)
	if v.t.hosts[p.id]--; v.t.hosts[p.id] == 0 {
		delete(v.t.hosts, p.id)
		v.t.do(Left{p.id})
	}
}

// expel puts a peer that contradicts the record out of the Version.
func (v *version) expel(p *peer, why string) {
	v.ban(p.id)
	v.t.count(Conflicts, 1)
	v.send(p, Rejected{Reason: why})
	v.remove(p)
}

// ban keeps a host from registering for TaskTTL.
func (v *version) ban(id pieces.HostID) {
	if v.expelled == nil {
		v.expelled = map[pieces.HostID]time.Time{}
	}
	v.expelled[id] = v.t.now.Add(v.t.opts().TaskTTL)
}

func (t *Task) leave(e Leave) {
	for _, v := range t.versions {
		if e.Version != "" && e.Version != v.id {
			continue
		}
		if p := v.peers[e.Host]; p != nil {
			v.remove(p)
		}
	}
	if e.Version == "" {
		t.dropFactsLease(e.Host)
	}
}

// putOut ends all that goes on in the Task. Who comes again begins anew.
func (t *Task) putOut(err *pieces.Error) {
	t.facts.lease = 0
	for _, w := range t.facts.waiters {
		t.do(StatReply{Call: w.call, Err: err})
	}
	t.facts.waiters = nil
	for _, v := range t.versions {
		peers := v.sorted()
		for _, p := range peers {
			v.send(p, Rejected{Reason: err.Error()})
			v.silence(p) // nobody is given to anybody meanwhile
		}
		for _, p := range peers {
			v.remove(p)
		}
	}
}

// sessionUp attaches the peers that registered before the host's session.
func (t *Task) sessionUp(e SessionUp) {
	for _, v := range t.versions {
		if p := v.peers[e.Host]; p != nil && p.state == live && p.session == 0 {
			v.attach(p, e.Session)
		}
	}
}

// sessionDown silences the peers that spoke on the session.
func (t *Task) sessionDown(e SessionDown) {
	for _, v := range t.versions {
		if p := v.peers[e.Host]; p != nil && p.session == e.Session {
			v.silence(p)
		}
	}
	t.dropFactsLease(e.Host)
}

// collect forgets peers that were silent, or never heard, for their TTL.
func (v *version) collect() {
	ttl := v.t.opts().PeerTTL
	if v.silent.len() > 0 || v.detached > 0 {
		for _, p := range v.sorted() {
			if (p.state == silent || p.session == 0) && v.t.now.Sub(p.since) >= ttl {
				v.remove(p)
			}
		}
	}
	for id, until := range v.expelled {
		if v.t.now.After(until) {
			delete(v.expelled, id)
		}
	}
}

// sorted returns the peers in an order that is the same in every run.
func (v *version) sorted() []*peer {
	ps := make([]*peer, 0, len(v.peers))
	for _, p := range v.peers {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *peer) int { return cmp.Compare(a.id, b.id) })
	return ps
}
