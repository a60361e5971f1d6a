package swarm

import (
	"slices"

	"damselfly/pieces"
)

// The repeat rule: a piece that a live peer holds is read from the origin again,
// by the peer that wants it, only if every holder failed for that peer, or its
// demand has stood for RepeatAfter though somebody holds it. On a machine that
// starves everybody is late for everybody, and each repeat makes the origin and
// the reader busier still; so repeats have an allowance (allowance.go). What may
// not be repeated now is stuck: it waits for a holder, for the allowance, or for
// its executor's rest to end, and the reader's own deadline ends it.

// repeatLate repeats, for p itself, pieces whose demand has stood for RepeatAfter
// though somebody holds them.
func (v *version) repeatLate(p *peer, es []pieces.Extent) {
	var late []int
	for _, e := range es {
		for i := range e.All() {
			if v.late(p, i) && v.available(i) {
				late = append(late, i)
			}
		}
	}
	v.repeat(p, late)
}

// late reports whether p's demand for piece i has stood for RepeatAfter.
func (v *version) late(p *peer, i int) bool {
	first, ok := p.asked[i]
	return ok && v.t.now.Sub(first) >= v.t.opts().RepeatAfter
}

// repeat leases to p itself available pieces that it can get from nobody, as far
// as it may read them now; the others are stuck. The bytes are counted.
func (v *version) repeat(p *peer, is []int) {
	var es []pieces.Extent
	for _, i := range is {
		c, wanted := p.wantClass(i)
		switch {
		case !wanted:
		case v.leased.Has(i): // for p or another one: that may come to nothing
			v.stick(p, []pieces.Extent{{First: i, End: i + 1}})
		case !v.available(i):
			v.need[c].Add(i)
			v.due = true
		default:
			es = appendPiece(es, i)
		}
	}
	if len(es) == 0 {
		return
	}
	if err := v.noLeases(); err != nil {
		v.wait(p, es, err)
		return
	}
	if !p.canFetch {
		v.wait(p, es, pieces.Errorf(pieces.Unavailable,
			"task %s: every holder failed and host %s can't read the origin", v.t.id.Short(), p.id.Short()))
		return
	}
	if !v.facts.Ranges {
		if v.mayLendAgain(p) && v.spend(p, es) {
			v.repeatLease(p, v.geo.All(), es)
		} else {
			v.stick(p, es)
		}
		return
	}
	unit := max(1, int(v.t.opts().LeaseUnit/v.geo.PieceSize))
	for _, e := range es {
		for e.First < e.End {
			x := pieces.Extent{First: e.First, End: min(e.First+unit, e.End)}
			if x = v.affordable(p, x); x.Empty() || !v.mayLendAgain(p) {
				v.stick(p, []pieces.Extent{e})
				break
			}
			v.spend(p, []pieces.Extent{x})
			v.repeatLease(p, x, []pieces.Extent{x})
			e.First = x.End
		}
	}
}

func (v *version) repeatLease(p *peer, e pieces.Extent, parts []pieces.Extent) {
	for _, x := range parts {
		_, n := v.geo.Bytes(x)
		v.t.count(RepeatBytes, n)
	}
	v.startLease(p, e, parts, pieces.Demand)
}

// mayLendAgain reports whether p may have one more lease just now.
func (v *version) mayLendAgain(p *peer) bool {
	t := v.t
	return !t.resting() && !t.now.Before(p.rest) && p.leases < t.opts().DemandLeases
}

// wait sticks what p, which can't read the origin, may get from a holder within
// Patience, and ends the rest in err.
func (v *version) wait(p *peer, es []pieces.Extent, err *pieces.Error) {
	var never []pieces.Extent
	for _, e := range es {
		for i := range e.All() {
			if v.freeSoon(p, i) {
				v.stick(p, []pieces.Extent{{First: i, End: i + 1}})
			} else {
				never = appendPiece(never, i)
			}
		}
	}
	v.failPeer(p, never, err)
}

// freeSoon reports whether p can use a holder of piece i, or can within
// Patience.
func (v *version) freeSoon(p *peer, i int) bool {
	if v.classic() {
		return false // only parents feed
	}
	then := v.t.now.Add(v.t.opts().Patience)
	s := &v.holders[i]
	for _, at := range s.who[:s.known] {
		if q := v.seats.at[at]; q != p && q.state == live && !p.blocks(q.id, then) {
			return true
		}
	}
	return int(s.n) > int(s.known)
}

// stick notes that p waits for es, which it wants.
func (v *version) stick(p *peer, es []pieces.Extent) {
	for _, e := range es {
		p.stuck.AddExtent(e)
	}
	v.stuck.add(p)
}

// maxLooks bounds the stuck pieces that one Tick looks at, but for the last
// peer's: a crowd can have millions, and they stay so for seconds.
const maxLooks = 1 << 14

// tickStuck looks again at what is stuck: at holders that p may be sent to by
// now, and at what may be read again. What a lease covers waits for its end. Who
// is not reached is first next time.
func (v *version) tickStuck() {
	ps := slices.Clone(v.stuck.list)
	looks, k := 0, 0
	for ; k < len(ps) && looks < maxLooks; k++ {
		p := ps[(v.stuckTurn+k)%len(ps)]
		looks += p.stuck.Count()
		v.lookAgain(p)
	}
	v.stuckTurn += k
	if k == len(ps) {
		v.stuckTurn = 0
	}
}

func (v *version) lookAgain(p *peer) {
	var free []pieces.Extent
	var again []int
	for _, e := range p.stuck.List() {
		for i := range e.All() {
			switch {
			case v.leased.Has(i):
			case v.available(i) && v.unheardOf(p, i):
				p.stuck.Remove(i)
				free = appendPiece(free, i)
			default:
				p.stuck.Remove(i)
				again = append(again, i)
			}
		}
	}
	v.answer(p, free, false)
	v.repeat(p, again)
	if p.stuck.Count() == 0 {
		v.stuck.remove(p)
	}
}

// unheardOf reports whether p can be sent to a holder of piece i that it was not
// told of, or that it still believes in.
func (v *version) unheardOf(p *peer, i int) bool {
	q := v.holderFor(p, i)
	if q == nil {
		return false
	}
	_, named := p.named[q]
	return !named || !p.canFetch || !v.late(p, i)
}

// failedFor notes that p failed for child; p may be nil.
func (p *peer) failedFor(child *peer) {
	if p == nil || len(p.failing) >= maxBlocked {
		return
	}
	if p.failing == nil {
		p.failing = map[pieces.HostID]struct{}{}
	}
	p.failing[child.id] = struct{}{}
}
