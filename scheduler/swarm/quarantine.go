package swarm

import (
	"time"

	"damselfly/pieces"
)

// A Version of which one reader read two different things can't be told right
// from wrong: the origin contradicts itself. It is quarantined: nobody gets a
// lease, a parent or a holder, all peers are told that it has changed, and the
// next question has the facts read again. If they still name this Version, it
// begins anew after the quarantine, with nothing recorded.

// quarantine begins one, because of piece i.
func (v *version) quarantine(i int) {
	t := v.t
	err := pieces.Errorf(pieces.Changed, "the origin contradicts itself about piece %d of task %s", i, t.id.Short())
	v.quarantined, v.quarantineEnd = err, t.now.Add(t.opts().Quarantine)
	t.count(Quarantines, 1)
	v.dropDisputes("the origin contradicts itself")
	peers := v.sorted()
	for _, p := range peers {
		v.dropWants(p)
	}
	for len(v.leases) > 0 {
		v.endLease(v.leases[0], "the origin contradicts itself")
	}
	for _, p := range peers {
		v.forgetHoldings(p)
		v.cutAll(p)
		v.refresh(p)
		v.send(p, OriginError{err, []pieces.Extent{v.geo.All()}})
	}
	v.digests, v.holders, v.proven, v.early = digests{}, nil, pieces.Set{}, nil
	v.need = [pieces.Classes]pieces.Set{}
	v.fresh, v.recorded, v.corrected, v.started = nil, nil, nil, nil
	v.firstDone = false
	if v.id == t.facts.version {
		t.facts.doubted = true
		t.facts.distrust()
	}
}

// forgetHoldings makes p a holder of nothing; the index goes as a whole.
func (v *version) forgetHoldings(p *peer) {
	p.held, p.stale = pieces.Set{}, pieces.Set{}
	p.complete = false
	v.completes.remove(p)
}

// inQuarantine returns the error that answers whoever comes during a quarantine,
// and ends one whose time is over.
func (v *version) inQuarantine() *pieces.Error {
	if v.quarantined == nil {
		return nil
	}
	left := v.quarantineEnd.Sub(v.t.now)
	if left <= 0 {
		v.quarantined, v.quarantineEnd = nil, time.Time{}
		for _, p := range v.sorted() {
			v.refresh(p)
		}
		return nil
	}
	err := *v.quarantined
	err.RetryAfter = left
	return &err
}
