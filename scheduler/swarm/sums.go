package swarm

import (
	"iter"

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
				by := d.setters[d.pages[i/pageSize].setter[i%pageSize]-1]
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
// it was ever lent. Otherwise the first record of a piece wins; a peer that contradicts
// it is put out, and record returns false.
func (v *version) record(p *peer, run pieces.SumRun, e pieces.Extent) bool {
	by := run.Setter
	if by == "" {
		by = p.id
	}
	for i := range e.All() {
		sum := run.Sums[i-run.First]
		if v.digests.has(i) {
			if v.digests.get(i) != sum {
				v.expel(p, "a digest contradicts the record")
				return false
			}
			continue
		}
		if l := v.leaseOf(i); l != nil && l.peer != p && !p.lent.Has(i) {
			continue
		}
		if !v.digests.set(i, sum, by) {
			continue
		}
		v.recorded = append(v.recorded, i)
		if v.holders != nil && v.holders[i].n > 0 {
			v.appeared(i)
		}
	}
	return true
}
