package swarm

import (
	"maps"
	"slices"
	"time"

	"damselfly/pieces"
)

// The conflict rule. When a peer contradicts the record of a piece, somebody
// who has said nothing about it, the Task's seed if it can, reads the piece
// again (reread.go). What is read settles it:
//
//   - whoever said himself to have read something else leaves the Version;
//   - whoever passed on something else, having got it from others, is told the
//     right digest and drops his piece;
//   - if the record was wrong it is corrected, for all who have the piece, and
//     what else its setter read is struck out unless somebody read the same;
//   - who reads a third thing reads again, and if that differs the origin
//     contradicts itself: the Version is quarantined (quarantine.go).
//
// Until then the first record stands; it also stands when nobody can read the
// piece within DisputeFor, or there are too many disputes: then whoever
// contradicts it leaves. But where BadVoices hosts have read the same against
// the one who set it, his record is struck out and he leaves, as if they had got
// wrong bytes from him. Their word sets no digest: whoever is lent the piece next
// does, so that hosts that lie together can't make others drop what is right.

// dispute is about the digest of one piece.
type dispute struct {
	piece  int
	since  time.Time
	claims map[pieces.HostID]claim
	// reader read first, which nobody had said before; it has to do so again.
	reader pieces.HostID
	first  pieces.Sum
}

// claim is what one host says against the record.
type claim struct {
	sum  pieces.Sum
	read bool // by itself, from the origin
	held bool // it says that it holds the piece
}

// Bounds of what is remembered of disputes.
const (
	maxClaims = 16
	maxLosers = 1024
)

// agree notes that p says what is recorded of piece i.
func (v *version) agree(p *peer, i int, setter pieces.HostID) {
	p.stale.Remove(i)
	if setter == p.id && p.lent.Has(i) && v.digests.setter(i) != p.id {
		v.proven.Add(i)
	}
}

// contradict takes p's word against the record of piece i; false if p is put
// out for it. p does not count as a holder of the piece meanwhile.
func (v *version) contradict(p *peer, i int, sum pieces.Sum, read bool) (stays bool) {
	o := v.t.opts()
	p.stale.Add(i)
	if p.held.Has(i) {
		v.vanish(p, []pieces.Extent{{First: i, End: i + 1}}, false)
	}
	d := v.disputes[i]
	switch {
	case d != nil:
		if _, again := d.claims[p.id]; again || len(d.claims) < maxClaims {
			d.claims[p.id] = claim{sum: sum, read: read}
		}
		return true
	case v.proven.Has(i) && read:
		v.expel(p, "a digest contradicts what two have read")
		return false
	case v.proven.Has(i):
		return v.rectify(p, i)
	case o.DisputesPerHost > 0 && v.disputesOf(p.id) >= o.DisputesPerHost:
		return true // those that are open come first
	case o.DisputesPerHost <= 0 || len(v.disputes) >= o.MaxDisputes || v.noLeases() != nil:
		v.expel(p, "a digest contradicts the record")
		return false
	}
	v.open(p, i, claim{sum: sum, read: read})
	_, stays = v.peers[p.id]
	return stays
}

func (v *version) disputesOf(id pieces.HostID) (n int) {
	for _, d := range v.disputes {
		if _, ok := d.claims[id]; ok {
			n++
		}
	}
	return n
}

// open begins a dispute, unless nobody can settle it.
func (v *version) open(p *peer, i int, c claim) {
	d := &dispute{piece: i, since: v.t.now, claims: map[pieces.HostID]claim{p.id: c}}
	if v.disputes == nil {
		v.disputes = map[int]*dispute{}
	}
	v.disputes[i] = d
	v.doubted.Add(i)
	v.t.count(Disputes, 1)
	if _, why := v.readerFor(pieces.Extent{First: i, End: i + 1}); why == nobody {
		v.unsettled(d)
	}
	v.due = true
}

// disputant reports whether the host has a part in a dispute about a piece of e.
func (v *version) disputant(id pieces.HostID, e pieces.Extent) bool {
	for i := range e.All() {
		d := v.disputes[i]
		if d == nil {
			continue
		}
		if _, ok := d.claims[id]; ok || v.digests.setter(i) == id {
			return true
		}
	}
	return false
}

// unsettled ends a dispute that nobody can settle: the first record counts,
// unless it is outvoted.
func (v *version) unsettled(d *dispute) {
	v.close(d)
	if setter, read := v.digests.reader(d.piece); read && d.voices() >= max(2, v.t.opts().BadVoices) {
		v.putOut(setter, "several peers have read something else")
		v.strikeOut(setter)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(d.claims)) {
		v.putOut(id, "a digest contradicts the record")
	}
}

// voices returns how many hosts say to have read the same against the record.
func (d *dispute) voices() (most int) {
	same := map[pieces.Sum]int{}
	for _, c := range d.claims {
		if c.read {
			same[c.sum]++
			most = max(most, same[c.sum])
		}
	}
	return most
}

func (v *version) close(d *dispute) {
	delete(v.disputes, d.piece)
	v.doubted.Remove(d.piece)
}

// putOut puts out a host that was found wrong; what else it says against the
// record does not count any more.
func (v *version) putOut(id pieces.HostID, why string) {
	for _, i := range slices.Sorted(maps.Keys(v.disputes)) {
		d := v.disputes[i]
		if delete(d.claims, id); len(d.claims) == 0 {
			v.close(d)
		}
	}
	if p := v.peers[id]; p != nil {
		v.expel(p, why)
	} else {
		v.ban(id)
	}
}

// verdict takes what p read of piece i under a reread lease; false if nothing
// more of this report counts. asked: p was chosen to read it, having said nothing
// about it then; what it has said since takes nothing from that.
func (v *version) verdict(p *peer, i int, sum pieces.Sum, asked bool) (goOn bool) {
	d := v.disputes[i]
	switch {
	case d == nil && !v.digests.has(i):
		v.establish(p, i, sum, p.id)
		return true
	case d == nil && v.digests.get(i) == sum:
		v.agree(p, i, p.id)
		return true
	case d == nil:
		return v.contradict(p, i, sum, true)
	case !asked && v.disputant(p.id, pieces.Extent{First: i, End: i + 1}):
		return true // it read more than it was asked to: nobody judges himself
	case d.reader == p.id && d.first != sum:
		v.quarantine(i)
		return false
	case d.reader != "" && d.first == sum || v.digests.get(i) == sum || d.said(sum):
		v.settleDispute(d, p, sum)
		return true
	}
	d.reader, d.first = p.id, sum
	p.stale.Add(i)
	if p.held.Has(i) {
		v.vanish(p, []pieces.Extent{{First: i, End: i + 1}}, false)
	}
	return true
}

func (d *dispute) said(sum pieces.Sum) bool {
	for _, c := range d.claims {
		if c.sum == sum {
			return true
		}
	}
	return false
}

// settleDispute ends d: p read sum, so that is what the piece is.
func (v *version) settleDispute(d *dispute, p *peer, sum pieces.Sum) {
	i := d.piece
	v.close(d)
	wrong := v.digests.get(i) != sum
	setter, read := v.digests.reader(i)
	if wrong {
		v.digests.set(i, sum, p.id)
		v.digests.read.Add(i)
		v.correct(i)
	}
	v.proven.Add(i)
	p.stale.Remove(i)
	defer v.endSettled()
	for _, id := range slices.Sorted(maps.Keys(d.claims)) {
		c, q := d.claims[id], v.peers[id]
		switch {
		case c.sum != sum && c.read:
			v.putOut(id, "the origin does not say what it has read")
		case q == nil || q.state != live:
		case c.sum != sum:
			v.rectify(q, i)
		case c.held:
			q.stale.Remove(i)
			v.hold(q, pieces.Extent{First: i, End: i + 1})
		default:
			q.stale.Remove(i)
		}
	}
	if wrong && read {
		v.putOut(setter, "the origin does not say what it has read")
		v.strikeOut(setter)
	}
}

// rectify tells p, who passed on a wrong digest of piece i, the right one; who
// does so too often is put out, and then it returns false.
func (v *version) rectify(p *peer, i int) (stays bool) {
	if v.lostDisputes == nil {
		v.lostDisputes = map[pieces.HostID]int{}
	}
	n, known := v.lostDisputes[p.id]
	if n >= v.t.opts().DisputesPerHost || !known && len(v.lostDisputes) >= maxLosers {
		v.expel(p, "too many digests contradict the record")
		return false
	}
	v.lostDisputes[p.id] = n + 1
	v.send(p, Digests{Sums: []pieces.SumRun{*v.digests.one(i)}, Corrected: true})
	return true
}

// correct is called when the record of piece i has changed: who got it by the
// old one does not hold it any more. All peers are told, at the end of the Step.
func (v *version) correct(i int) {
	v.t.count(Corrections, 1)
	v.corrected = append(v.corrected, i)
	if v.holders == nil || v.holders[i].n == 0 {
		return
	}
	for _, q := range v.sorted() {
		if !q.held.Remove(i) {
			continue
		}
		q.stale.Add(i)
		if q.complete {
			q.complete = false
			v.completes.remove(q)
		}
		v.refresh(q)
	}
	v.holders[i] = holderSlot{}
	e := pieces.Extent{First: i, End: i + 1}
	v.needAgain(e)
	v.due = true
	v.eachWanter(func(w *peer) { v.answer(w, []pieces.Extent{e}, false) })
}

// strikeOut forgets what a host that was found wrong has read, but for what
// somebody else read alike. Pieces that peers got by it are read again.
func (v *version) strikeOut(id pieces.HostID) {
	for i := range v.n {
		if by, ok := v.digests.reader(i); !ok || by != id || v.proven.Has(i) {
			continue
		}
		if d := v.disputes[i]; d != nil {
			continue // will be settled
		}
		v.digests.strike(i)
		if v.holders != nil && v.holders[i].n > 0 {
			v.doubted.Add(i)
		}
		v.needAgain(pieces.Extent{First: i, End: i + 1})
	}
	v.due = true
}

// tellCorrected sends the records that were corrected in this Step to all.
func (v *version) tellCorrected() {
	if len(v.corrected) == 0 {
		return
	}
	slices.Sort(v.corrected)
	var es []pieces.Extent
	for _, i := range slices.Compact(v.corrected) {
		es = appendPiece(es, i)
	}
	v.corrected = nil
	msgs := v.digests.pagesOf(es, v.t.opts().MaxSums)
	for _, p := range v.sorted() {
		for _, m := range msgs {
			v.send(p, Digests{Sums: m, Corrected: true})
		}
	}
}
