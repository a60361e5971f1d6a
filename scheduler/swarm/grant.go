package swarm

import (
	"math/bits"

	"damselfly/pieces"
)

// verdict is what the search for an executor came to.
type verdict uint8

const (
	found   verdict = iota
	busy            // it runs enough leases: wait for one to end
	busyFor         // those who want this run are busy: others may not be
	waiting         // it was woken, or rests: wait a little
	nobody          // no one that is here may read this from the origin
)

// maxSkips bounds the runs passed over in one class and Step.
const maxSkips = 64

// pending reports whether something wanted waits for a lease.
func (v *version) pending() bool {
	if v.wanters.len() == 0 {
		return false
	}
	for c := range v.need {
		if v.need[c].Count() > 0 {
			return true
		}
	}
	return false
}

// grant hands out leases for what is needed, the most urgent class first.
func (v *version) grant() {
	if v.wanters.len() == 0 {
		v.need = [pieces.Classes]pieces.Set{}
	}
	if !v.pending() {
		v.starved = zeroTime
		return
	}
	if err := v.noLeases(); err != nil {
		v.failWants(err)
		return
	}
	t := v.t
	if t.resting() || t.now.Before(v.grace) {
		return
	}
	alone := false
	for c := range pieces.Classes {
		alone = v.grantClass(pieces.Class(c)) == nobody || alone
	}
	v.starve(alone)
}

func (v *version) grantClass(c pieces.Class) verdict {
	unit := v.unit(c)
	last := found
	for from, skips := 0, 0; skips <= maxSkips; {
		e, ok := v.nextRun(c, from, unit)
		if !ok {
			break
		}
		if !v.facts.Ranges && len(v.leases) > 0 {
			return busy // its executor reads everything anyway
		}
		if v.t.troubled() && len(v.leases) >= v.t.opts().Probes {
			return busy // a few find out whether the origin has recovered
		}
		p, why := v.executor(c, e)
		switch why {
		case found:
			v.lend(p, e, c)
		case busyFor:
			skips++
			from, last = e.End, busyFor
		default:
			return why
		}
	}
	return last
}

// lend starts a lease for the needed run e. Content without ranges is read
// whole, by one.
func (v *version) lend(p *peer, e pieces.Extent, c pieces.Class) {
	if v.facts.Ranges {
		v.startLease(p, e, []pieces.Extent{e}, c)
		return
	}
	var parts []pieces.Extent
	for i := range v.n {
		if !v.available(i) {
			parts = appendPiece(parts, i)
		}
	}
	v.startLease(p, v.geo.All(), parts, c)
}

// nextRun returns the first run at or after from that class c needs, within
// one aligned unit, and forgets what is not needed any more.
func (v *version) nextRun(c pieces.Class, from, unit int) (pieces.Extent, bool) {
	var e pieces.Extent
	for at := from; ; {
		i, ok := v.need[c].Next(at)
		if !ok || !e.Empty() && (i != e.End || i%unit == 0) {
			return e, !e.Empty()
		}
		at = i + 1
		if v.available(i) || v.leased.Has(i) || !v.wantedAt(i, c) {
			v.need[c].Remove(i)
			continue
		}
		if len(v.rereads) > 0 && v.rereading(i) {
			continue // its digest comes with that, or it is tried again
		}
		if e.Empty() {
			e = pieces.Extent{First: i, End: i}
		}
		e.End++
	}
}

// wantedAt reports whether anybody wants piece i at class c, or less urgently
// while nobody put it down there.
func (v *version) wantedAt(i int, c pieces.Class) bool {
	got, ok := v.urgency(i)
	if ok && got != c {
		v.need[got].Add(i)
	}
	return ok && got == c
}

// unit is how many pieces a lease of class c may cover: LeaseUnit for a seed;
// without seeds as little as lets every peer that can fetch have two of them,
// a power of two so that units stay aligned.
func (v *version) unit(c pieces.Class) int {
	o := v.t.opts()
	most := max(1, int(o.LeaseUnit/max(1, v.geo.PieceSize)))
	if v.t.seedsCanFetch && v.t.view.Hosts.haveSeeds() {
		return most
	}
	fetchers := 0
	for _, p := range v.wanters.list {
		if p.canFetch {
			fetchers++
		}
	}
	least := max(1, int(o.LeaseUnitMin/max(1, v.geo.PieceSize)))
	share := v.need[c].Count() / max(1, 2*fetchers)
	if share > 1 {
		share = 1 << (bits.Len(uint(share)) - 1)
	}
	return min(max(share, least), most)
}

// starve ends wants that nobody could read for NoSource.
func (v *version) starve(alone bool) {
	t := v.t
	switch {
	case !alone:
		v.starved = zeroTime
	case v.starved.IsZero():
		v.starved = t.now
	case t.now.Sub(v.starved) >= t.opts().NoSource:
		v.starved = zeroTime
		v.failWants(pieces.Errorf(pieces.Unavailable,
			"task %s: no host here can read it from the origin", t.id.Short()))
	}
}
