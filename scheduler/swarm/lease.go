package swarm

import (
	"iter"
	"slices"
	"time"

	"damselfly/pieces"
)

// lease is one peer's permission to read an extent from the origin.
//
// Invariant: while it runs, the pieces it still misses are in version.leased
// and in no other lease.
type lease struct {
	id     pieces.LeaseID
	peer   *peer
	extent pieces.Extent
	class  pieces.Class
	// left are the pieces not yet delivered, counted from extent.First.
	left  pieces.Set
	heard time.Time
	ended bool
}

// missing yields the runs of e that the lease has yet to deliver.
func (l *lease) missing(e pieces.Extent) iter.Seq[pieces.Extent] {
	return func(yield func(pieces.Extent) bool) {
		base := l.extent.First
		x := e.Intersect(l.extent)
		for run := range overlap(&l.left, pieces.Extent{First: x.First - base, End: x.End - base}) {
			if !yield(pieces.Extent{First: run.First + base, End: run.End + base}) {
				return
			}
		}
	}
}

func (v *version) leaseByID(id pieces.LeaseID) *lease {
	if id == 0 {
		return nil
	}
	i := slices.IndexFunc(v.leases, func(l *lease) bool { return l.id == id })
	if i < 0 {
		return nil
	}
	return v.leases[i]
}

// leaseOf returns the lease that still covers piece i, or nil.
func (v *version) leaseOf(i int) *lease {
	if !v.leased.Has(i) {
		return nil
	}
	for _, l := range v.leases {
		if l.left.Has(i - l.extent.First) {
			return l
		}
	}
	return nil
}

// startLease lets p read e, for the sake of the pieces in parts, which lie in e
// and are in no lease.
func (v *version) startLease(p *peer, e pieces.Extent, parts []pieces.Extent, c pieces.Class) *lease {
	l := v.openLease(v.t.leaseID(), p, e, parts, c)
	v.started = append(v.started, l)
	v.t.count(LeasesGranted, 1)
	for _, x := range parts {
		_, n := v.geo.Bytes(x)
		v.t.count(LeasedBytes, n)
	}
	v.send(p, Lease{ID: l.id, Extent: e, Class: c})
	return l
}

func (v *version) openLease(id pieces.LeaseID, p *peer, e pieces.Extent, parts []pieces.Extent, c pieces.Class) *lease {
	l := &lease{id: id, peer: p, extent: e, class: c, heard: v.t.now}
	for _, x := range parts {
		l.left.AddExtent(pieces.Extent{First: x.First - e.First, End: x.End - e.First})
		v.leased.AddExtent(x)
		p.lent.AddExtent(x)
		for k := range v.need {
			v.need[k].RemoveExtent(x)
		}
	}
	v.leases = append(v.leases, l)
	p.leases++
	v.refresh(p)
	return l
}

// endLease ends l; what it did not deliver is needed again. With a reason, its
// executor is told to stop.
func (v *version) endLease(l *lease, reason string) {
	l.ended = true
	v.leases = slices.DeleteFunc(v.leases, func(o *lease) bool { return o == l })
	l.peer.leases--
	if reason != "" {
		v.send(l.peer, LeaseEnd{l.id, reason})
	}
	if l.left.Count() > 0 {
		v.t.count(LeasesEnded, 1)
	}
	rest := slices.Collect(l.missing(l.extent))
	for _, e := range rest {
		v.leased.RemoveExtent(e)
		v.needAgain(e)
	}
	v.refresh(l.peer)
	v.due = true
	// What it read though others hold it (a repeated lease) may be had there.
	v.answer(l.peer, rest, false)
}

// needAgain puts down what is still wanted of e and nobody can deliver.
func (v *version) needAgain(e pieces.Extent) {
	for i := range e.All() {
		if v.available(i) || v.leased.Has(i) {
			continue
		}
		if c, ok := v.urgency(i); ok {
			v.need[c].Add(i)
		}
	}
}

// urgency returns the most urgent class at which anybody wants piece i.
func (v *version) urgency(i int) (best pieces.Class, wanted bool) {
	best = pieces.Classes
	for _, p := range v.wanters.list {
		if c, ok := p.wantClass(i); ok && c < best {
			if best = c; c == 0 {
				break
			}
		}
	}
	return best, best < pieces.Classes
}

// deliver takes the pieces of e, which p holds now, off the leases: p's own
// in any case, those of others as far as they are available, to the executor too
// if it reads them for itself. A lease that has nothing left ends.
func (v *version) deliver(p *peer, e pieces.Extent) {
	for _, l := range slices.Clone(v.leases) {
		before := l.left.Count()
		for run := range l.missing(e) {
			for i := range run.All() {
				v.deliverPiece(l, p, i)
			}
		}
		if l.left.Count() < before && l.peer == p {
			l.heard = v.t.now
			v.due = v.due || v.t.troubled()
			v.t.delivered()
			v.confirmed = false
		}
		if l.left.Count() == 0 && before > 0 {
			reason := ""
			if l.peer != p {
				reason = "held elsewhere"
			}
			v.endLease(l, reason)
		}
	}
}

func (v *version) deliverPiece(l *lease, p *peer, i int) {
	switch {
	case v.available(i) && (l.peer == p || !l.peer.wantsPiece(i) || v.holderFor(l.peer, i) != nil):
	case l.peer == p:
		// Held but without a digest: nobody can use it, so somebody must
		// read it again, and rather not this one at once.
		p.rest = v.t.now.Add(v.t.opts().LeaseRest)
	default:
		return
	}
	l.left.Remove(i - l.extent.First)
	v.leased.Remove(i)
	v.needAgain(pieces.Extent{First: i, End: i + 1})
}

func (v *version) onProgress(p *peer, e Progress) {
	if r := v.rereadByID(e.Lease); r != nil && r.peer == p {
		r.heard = v.t.now
		return
	}
	l := v.leaseByID(e.Lease)
	if l == nil || l.peer != p {
		v.send(p, LeaseEnd{e.Lease, "not running"})
		return
	}
	l.heard = v.t.now
}

// tickLeases ends leases whose executor was silent. Heartbeats without bytes
// are the origin's fault and move nothing.
func (v *version) tickLeases() {
	o := v.t.opts()
	for _, l := range slices.Clone(v.leases) {
		if v.t.now.Sub(l.heard) >= o.LeaseSilence {
			l.peer.rest = v.t.now.Add(o.LeaseRest)
			v.endLease(l, "no heartbeat")
		}
	}
}

// adopt takes over a lease that p runs since before it registered here, as far
// as its pieces are free.
func (v *version) adopt(p *peer, r RunningLease) {
	if r.ID == 0 || v.replaced || v.leaseByID(r.ID) != nil {
		return
	}
	var parts []pieces.Extent
	for e := range v.clip(r.Extents) {
		for i := range e.All() {
			if !v.available(i) && !v.leased.Has(i) && !p.held.Has(i) {
				parts = appendPiece(parts, i)
			}
		}
	}
	if len(parts) == 0 || p.leases >= v.t.opts().DemandLeases {
		v.send(p, LeaseEnd{r.ID, "others have these pieces"})
		return
	}
	e := pieces.Extent{First: parts[0].First, End: parts[0].End}
	for _, x := range parts {
		e = pieces.Extent{First: min(e.First, x.First), End: max(e.End, x.End)}
	}
	v.started = append(v.started, v.openLease(r.ID, p, e, parts, pieces.Fill))
}
