package swarm

import (
	"iter"
	"maps"
	"slices"

	"damselfly/pieces"
)

const pageSize = 256

// page holds the digests of pageSize pieces. Setter 0 = not recorded, else an
// index into digests.setters, from 1.
type page struct {
	sums   [pageSize]pieces.Sum
	setter [pageSize]uint16
}

// digests are the recorded digests of a Version's pieces.
type digests struct {
	pages   map[int]*page
	setters []pieces.HostID
	number  map[pieces.HostID]uint16
	// read are the pieces whose setter said itself what it had read; of the
	// others somebody else passed it on.
	read pieces.Set
}

func (d *digests) has(i int) bool {
	p := d.pages[i/pageSize]
	return p != nil && p.setter[i%pageSize] != 0
}

func (d *digests) get(i int) pieces.Sum { return d.pages[i/pageSize].sums[i%pageSize] }

// set records a digest; false if there are too many setters to tell apart.
func (d *digests) set(i int, sum pieces.Sum, by pieces.HostID) bool {
	k, ok := d.number[by]
	if !ok {
		if len(d.setters) >= 1<<16-1 {
			return false
		}
		d.setters = append(d.setters, by)
		k = uint16(len(d.setters))
		if d.number == nil {
			d.number, d.pages = map[pieces.HostID]uint16{}, map[int]*page{}
		}
		d.number[by] = k
	}
	p := d.pages[i/pageSize]
	if p == nil {
		p = &page{}
		d.pages[i/pageSize] = p
	}
	p.sums[i%pageSize], p.setter[i%pageSize] = sum, k
	return true
}

// setter returns who set the record of piece i, which has one.
func (d *digests) setter(i int) pieces.HostID {
	return d.setters[d.pages[i/pageSize].setter[i%pageSize]-1]
}

// reader returns who said itself that it had read piece i as recorded, if that
// is how it came to be recorded.
func (d *digests) reader(i int) (id pieces.HostID, ok bool) {
	if !d.has(i) || !d.read.Has(i) {
		return "", false
	}
	return d.setter(i), true
}

// strike forgets the record of piece i.
func (d *digests) strike(i int) {
	d.pages[i/pageSize].setter[i%pageSize] = 0
	d.read.Remove(i)
}

// one returns the record of piece i as a run, or nil.
func (d *digests) one(i int) *pieces.SumRun {
	for r := range d.runs([]pieces.Extent{{First: i, End: i + 1}}, 1) {
		return &r
	}
	return nil
}

// runs yields the records of es, at most limit pieces each.
func (d *digests) runs(es []pieces.Extent, limit int) iter.Seq[pieces.SumRun] {
	return func(yield func(pieces.SumRun) bool) {
		var run pieces.SumRun
		flush := func() bool {
			ok := len(run.Sums) == 0 || yield(run)
			run = pieces.SumRun{}
			return ok
		}
		for _, e := range es {
			for i := range e.All() {
				if !d.has(i) {
					continue
				}
				by := d.setter(i)
				if len(run.Sums) > 0 && (run.Extent().End != i || run.Setter != by || len(run.Sums) >= limit) && !flush() {
					return
				}
				if len(run.Sums) == 0 {
					run.First, run.Setter = i, by
				}
				run.Sums = append(run.Sums, d.get(i))
			}
		}
		flush()
	}
}

// pagesOf groups the records of es into messages of at most limit digests.
func (d *digests) pagesOf(es []pieces.Extent, limit int) [][]pieces.SumRun {
	var out [][]pieces.SumRun
	var msg []pieces.SumRun
	n := 0
	for r := range d.runs(es, limit) {
		if n > 0 && n+len(r.Sums) > limit {
			out, msg, n = append(out, msg), nil, 0
		}
		msg = append(msg, r)
		n += len(r.Sums)
	}
	if n > 0 {
		out = append(out, msg)
	}
	return out
}

// record notes the digests that p reports for the pieces of e, a part of run.
// Of a piece that is being read under a lease only those set the digest to whom
// it was ever lent. Otherwise the first record of a piece wins; a contradiction
// takes the conflict rule (dispute.go). record returns false if p is put out.
func (v *version) record(p *peer, run pieces.SumRun, e pieces.Extent) bool {
	by := run.Setter
	if by == "" {
		by = p.id
	}
	for i := range e.All() {
		sum := run.Sums[i-run.First]
		switch {
		case v.digests.has(i) && v.digests.get(i) == sum:
			v.agree(p, i, by)
		case v.digests.has(i):
			if !v.contradict(p, i, sum, by == p.id) {
				return false
			}
		case v.heldBack(p, i):
			v.remember(p, i, claim{sum: sum, read: by == p.id})
		default:
			v.establish(p, i, sum, by)
		}
	}
	return true
}

// heldBack reports whether p's word about the unrecorded piece i must wait: it
// is being read under a lease that p never had, or its record was struck out
// and p has not read it.
func (v *version) heldBack(p *peer, i int) bool {
	if p.lent.Has(i) {
		return false
	}
	if l := v.leaseOf(i); l != nil && l.peer != p {
		return true
	}
	return v.doubted.Has(i)
}

// establish takes p's word for what piece i is.
func (v *version) establish(p *peer, i int, sum pieces.Sum, by pieces.HostID) {
	delete(v.early[i], p.id)
	v.setDigest(i, sum, by, by == p.id)
	p.stale.Remove(i)
}

// setDigest makes sum the record of piece i, and tells who should know.
func (v *version) setDigest(i int, sum pieces.Sum, by pieces.HostID, read bool) {
	doubted := v.doubted.Remove(i)
	same := doubted && v.digests.pages[i/pageSize].sums[i%pageSize] == sum
	if !v.digests.set(i, sum, by) {
		return
	}
	if read {
		v.digests.read.Add(i)
	}
	if doubted && !same {
		v.correct(i)
	}
	v.recorded = append(v.recorded, i)
	if v.holders != nil && v.holders[i].n > 0 {
		v.appeared(i)
	}
	v.recall(i)
}

// maxEarly bounds the pieces of which early words are remembered.
const maxEarly = 4096

// remember keeps p's word about piece i until there is a record. Meanwhile p does
// not count as a holder of the piece.
func (v *version) remember(p *peer, i int, c claim) {
	p.stale.Add(i)
	if p.held.Has(i) {
		c.held = true
		v.vanish(p, []pieces.Extent{{First: i, End: i + 1}}, false)
	}
	cs := v.early[i]
	switch {
	case cs == nil && len(v.early) >= maxEarly || len(cs) >= maxClaims:
		return
	case v.early == nil:
		v.early = map[int]map[pieces.HostID]claim{}
	}
	if cs == nil {
		cs = map[pieces.HostID]claim{}
		v.early[i] = cs
	}
	cs[p.id] = c
}

// recall hears, now that piece i has a record, who spoke of it too early.
func (v *version) recall(i int) {
	cs := v.early[i]
	delete(v.early, i)
	for _, id := range slices.Sorted(maps.Keys(cs)) {
		c, q := cs[id], v.peers[id]
		switch {
		case q == nil || q.state != live || !q.stale.Has(i):
		case c.sum != v.digests.get(i):
			v.contradict(q, i, c.sum, c.read)
			v.markHeld(q, i, c.held)
		default:
			v.agree(q, i, v.digests.setter(i))
			if c.held {
				v.hold(q, pieces.Extent{First: i, End: i + 1})
			}
		}
	}
}
