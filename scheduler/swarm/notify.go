package swarm

import (
	"slices"

	"damselfly/pieces"
)

// notify tells every wanter, once per Step, what this Step brought for it:
// digests that became known, pieces that became available, leases that began.
func (v *version) notify() {
	// What telling brings about (a repeated lease) is told in a next round.
	for range notifyRounds {
		fresh, recorded, started := v.fresh, v.recorded, v.started
		v.fresh, v.recorded, v.started = nil, nil, nil
		if len(fresh)+len(recorded)+len(started) == 0 {
			return
		}
		v.tellWanters(fresh, recorded, started)
	}
}

const notifyRounds = 4

func (v *version) tellWanters(fresh, recorded []int, started []*lease) {
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	slices.Sort(recorded)
	started = slices.DeleteFunc(started, func(l *lease) bool { return l.ended })
	v.eachWanter(func(p *peer) {
		v.sendSums(p, wantedOf(p, recorded))
		got := wantedOf(p, fresh)
		v.askedAnew(p, got)
		hs, stuck := v.chooseHolders(p, got)
		for _, l := range started {
			var es []pieces.Extent
			for i := range l.extent.All() {
				if p.wantsPiece(i) {
					es = appendPiece(es, i)
				}
			}
			hs = v.addFetching(p, es, []*lease{l}, hs)
		}
		v.sendHolders(p, hs)
		v.repeat(p, stuck)
	})
}

// wantedOf returns the runs of the sorted pieces that p wants.
func wantedOf(p *peer, sorted []int) []pieces.Extent {
	var es []pieces.Extent
	for _, i := range sorted {
		if p.wantsPiece(i) {
			es = appendPiece(es, i)
		}
	}
	return es
}
