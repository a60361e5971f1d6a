package pieces

import (
	"fmt"
	"iter"

	"github.com/bits-and-blooms/bitset"
)

// Extent is a run of adjacent pieces, [First, End).
type Extent struct{ First, End int }

// Len returns the number of pieces.
func (e Extent) Len() int { return max(0, e.End-e.First) }

// Empty reports whether there is no piece in e.
func (e Extent) Empty() bool { return e.End <= e.First }

// Has reports whether piece i is in e.
func (e Extent) Has(i int) bool { return e.First <= i && i < e.End }

// Intersect returns the common part, possibly empty.
func (e Extent) Intersect(o Extent) Extent {
	r := Extent{max(e.First, o.First), min(e.End, o.End)}
	if r.Empty() {
		return Extent{}
	}
	return r
}

// All yields each piece of e in order.
func (e Extent) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := e.First; i < e.End; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func (e Extent) String() string { return fmt.Sprintf("[%d,%d)", e.First, e.End) }

// Set is a set of piece indexes. The zero value is empty and ready to use.
// It is not safe for concurrent use. Copy it with Clone, not by assignment.
type Set struct {
	bits  bitset.BitSet
	count int
}

// SetOf returns the set of the pieces of the given extents.
func SetOf(es ...Extent) *Set {
	s := &Set{}
	for _, e := range es {
		s.AddExtent(e)
	}
	return s
}

// Add puts i in the set and reports whether it was new. i must be ≥ 0.
func (s *Set) Add(i int) bool {
	if s.bits.Test(uint(i)) {
		return false
	}
	s.bits.Set(uint(i))
	s.count++
	return true
}

// AddExtent adds every piece of e and returns how many were new.
func (s *Set) AddExtent(e Extent) (added int) {
	for i := e.First; i < e.End; i++ {
		if s.Add(i) {
			added++
		}
	}
	return added
}

// Remove takes i out and reports whether it was in.
func (s *Set) Remove(i int) bool {
	if i < 0 || !s.bits.Test(uint(i)) {
		return false
	}
	s.bits.Clear(uint(i))
	s.count--
	return true
}

// RemoveExtent removes every piece of e and returns how many were in.
func (s *Set) RemoveExtent(e Extent) (removed int) {
	for i := e.First; i < e.End; i++ {
		if s.Remove(i) {
			removed++
		}
	}
	return removed
}

// Has reports whether i is in the set; false for negative i.
func (s *Set) Has(i int) bool { return i >= 0 && s.bits.Test(uint(i)) }

// HasExtent reports whether all of e is in the set.
func (s *Set) HasExtent(e Extent) bool {
	for i := e.First; i < e.End; i++ {
		if !s.Has(i) {
			return false
		}
	}
	return true
}

// Count returns the number of pieces in the set.
func (s *Set) Count() int { return s.count }

// Next returns the first piece ≥ i in the set.
func (s *Set) Next(i int) (int, bool) {
	n, ok := s.bits.NextSet(uint(max(i, 0)))
	return int(n), ok
}

// NextMissing returns the first piece ≥ i that is not in the set.
func (s *Set) NextMissing(i int) int {
	n, ok := s.bits.NextClear(uint(max(i, 0)))
	if !ok {
		return max(i, int(s.bits.Len()))
	}
	return int(n)
}

// Extents yields the set's maximal runs in order.
func (s *Set) Extents() iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		for i := 0; ; {
			first, ok := s.Next(i)
			if !ok {
				return
			}
			i = s.NextMissing(first)
			if !yield(Extent{first, i}) {
				return
			}
		}
	}
}

// Missing yields the maximal runs of e that are not in the set, in order.
func (s *Set) Missing(e Extent) iter.Seq[Extent] {
	return func(yield func(Extent) bool) {
		for i := e.First; i < e.End; {
			first := s.NextMissing(i)
			if first >= e.End {
				return
			}
			end := e.End
			if n, ok := s.Next(first); ok && n < end {
				end = n
			}
			if !yield(Extent{first, end}) {
				return
			}
			i = end
		}
	}
}

// List returns the set's maximal runs.
func (s *Set) List() []Extent {
	var es []Extent
	for e := range s.Extents() {
		es = append(es, e)
	}
	return es
}

// IntersectSet keeps only what is also in o.
func (s *Set) IntersectSet(o *Set) {
	s.bits.InPlaceIntersection(&o.bits)
	s.count = int(s.bits.Count())
}

// SubtractSet takes out whatever is in o.
func (s *Set) SubtractSet(o *Set) {
	s.bits.InPlaceDifference(&o.bits)
	s.count = int(s.bits.Count())
}

// Clone returns an independent copy.
func (s *Set) Clone() *Set { return &Set{bits: *s.bits.Clone(), count: s.count} }

func (s *Set) String() string { return fmt.Sprint(s.List()) }
