package swarm

import (
	"maps"
	"slices"
	"time"

	"damselfly/pieces"
)

// reread is a lease to read pieces again though they may be held, to find out
// what their digests are. It is no lease like others: it covers nothing that
// anybody wants, and what it reads counts as the origin's word.
type reread struct {
	id     pieces.LeaseID
	peer   *peer
	extent pieces.Extent
	left   pieces.Set // not yet reported
	heard  time.Time
}

func (v *version) rereadByID(id pieces.LeaseID) *reread {
	for _, r := range v.rereads {
		if r.id == id && id != 0 {
			return r
		}
	}
	return nil
}

// rereading reports whether somebody reads piece i again now.
func (v *version) rereading(i int) bool {
	return slices.ContainsFunc(v.rereads, func(r *reread) bool { return r.left.Has(i) })
}

// grantRereads has doubted pieces read again, a few at once.
func (v *version) grantRereads() {
	o := v.t.opts()
	if v.doubted.Count() == 0 || v.t.resting() || v.t.now.Before(v.grace) || v.noLeases() != nil {
		return
	}
	most := o.Rereads
	if !v.facts.Ranges {
		most = 1 // reads everything
	}
	for from, skips := 0, 0; len(v.rereads) < most && skips <= maxSkips; {
		e, ok := v.nextDoubt(from)
		if !ok {
			return
		}
		p, why := v.readerFor(e)
		switch d := v.disputes[e.First]; {
		case why == found:
			v.startReread(p, e)
		case why == nobody && d != nil:
			v.unsettled(d)
		}
		from = e.End
		skips++
	}
}

// nextDoubt returns the next run at or after from that is to be read again: one
// disputed piece, or struck out ones that somebody holds.
func (v *version) nextDoubt(from int) (e pieces.Extent, ok bool) {
	unit := max(1, int(v.t.opts().LeaseUnit/v.geo.PieceSize))
	for at := from; ; at++ {
		i, more := v.doubted.Next(at)
		if !more || !e.Empty() && (i != e.End || e.Len() >= unit || v.disputes[i] != nil) {
			return e, !e.Empty()
		}
		at = i
		switch {
		case v.rereading(i):
		case v.disputes[i] != nil:
			return pieces.Extent{First: i, End: i + 1}, true
		case v.holders == nil || v.holders[i].n == 0:
			v.doubted.Remove(i)
		case v.leased.Has(i): // its digest comes with that
		case e.Empty():
			e = pieces.Extent{First: i, End: i + 1}
		default:
			e.End++
		}
	}
}

// readerFor finds who reads e again: who has begun to, else the Task's seed, else
// the least busy peer; never one who has a part in the dispute.
func (v *version) readerFor(e pieces.Extent) (p *peer, why verdict) {
	if d := v.disputes[e.First]; d != nil && d.reader != "" {
		q := v.peers[d.reader]
		if q != nil && q.state == live && q.session != 0 && q.canFetch {
			return q, found
		}
	}
	why = nobody
	v.t.view.Hosts.eachSeed(v.t.id, func(s Seed) (more bool) {
		if s.Host != "" && v.disputant(s.Host, e) {
			return true
		}
		p, why = v.trySeed(s, pieces.Demand)
		return why == nobody
	})
	if why != nobody {
		return p, why
	}
	others := slices.DeleteFunc(v.sorted(), func(q *peer) bool { return v.disputant(q.id, e) })
	return v.leastBusy(others, pieces.Demand)
}

func (v *version) startReread(p *peer, e pieces.Extent) {
	r := &reread{id: v.t.leaseID(), peer: p, extent: e, heard: v.t.now}
	r.left.AddExtent(e)
	class := pieces.Fill
	if v.disputes[e.First] != nil {
		class = pieces.Demand
	}
	if !v.facts.Ranges {
		r.extent = v.geo.All()
	}
	v.rereads = append(v.rereads, r)
	p.lent.AddExtent(r.extent)
	_, n := v.geo.Bytes(r.extent)
	v.t.count(RereadBytes, n)
	v.send(p, Lease{ID: r.id, Extent: r.extent, Class: class, Reread: true})
}

// onReread takes the digests that p read under r; false if nothing more of the
// report counts.
func (v *version) onReread(r *reread, p *peer, e Held) (goOn bool) {
	r.heard = v.t.now
	for _, run := range e.Sums {
		for x := range v.clip([]pieces.Extent{run.Extent()}) {
			for i := range x.All() {
				v.t.delivered()
				asked := r.left.Has(i)
				r.left.Remove(i)
				if goOn = v.verdict(p, i, run.Sums[i-run.First], asked); !goOn {
					return false
				}
			}
		}
	}
	if r.left.Count() == 0 {
		v.endReread(r, "")
	}
	return true
}

// endReread ends r; with a reason its reader is told to stop.
func (v *version) endReread(r *reread, reason string) {
	v.rereads = slices.DeleteFunc(v.rereads, func(o *reread) bool { return o == r })
	if reason != "" {
		v.send(r.peer, LeaseEnd{r.id, reason})
	}
	v.due = true
}

func (v *version) endRereadsOf(p *peer) {
	for _, r := range slices.Clone(v.rereads) {
		if r.peer == p {
			v.endReread(r, "")
		}
	}
}

// tickRereads moves what a silent reader had, and ends disputes that take too
// long.
func (v *version) tickRereads() {
	o := v.t.opts()
	for _, r := range slices.Clone(v.rereads) {
		if v.t.now.Sub(r.heard) >= o.LeaseSilence {
			r.peer.rest = v.t.now.Add(o.LeaseRest)
			v.endReread(r, "no heartbeat")
		}
	}
	for _, i := range slices.Sorted(maps.Keys(v.disputes)) {
		if d := v.disputes[i]; d != nil && v.t.now.Sub(d.since) >= o.DisputeFor {
			v.unsettled(d)
		}
	}
	v.endSettled()
}

// endSettled ends rereads of what is not in doubt any more.
func (v *version) endSettled() {
	for _, r := range slices.Clone(v.rereads) {
		if r.left.Count() > 0 && !slices.ContainsFunc(r.left.List(), func(e pieces.Extent) bool { return v.inDoubt(e) }) {
			v.endReread(r, "settled otherwise")
		}
	}
}

func (v *version) inDoubt(e pieces.Extent) bool {
	for range overlap(&v.doubted, e) {
		return true
	}
	return false
}

// dropDisputes ends all that is in doubt without a verdict.
func (v *version) dropDisputes(reason string) {
	for _, r := range slices.Clone(v.rereads) {
		v.endReread(r, reason)
	}
	v.disputes, v.doubted = nil, pieces.Set{}
}
