package swarm

import (
	"iter"

	"damselfly/pieces"
)

// appendPiece adds piece i, which is after all of es, joining runs.
func appendPiece(es []pieces.Extent, i int) []pieces.Extent {
	if n := len(es); n > 0 && es[n-1].End == i {
		es[n-1].End++
		return es
	}
	return append(es, pieces.Extent{First: i, End: i + 1})
}

// overlap yields the runs of e that are in s, in order.
func overlap(s *pieces.Set, e pieces.Extent) iter.Seq[pieces.Extent] {
	return func(yield func(pieces.Extent) bool) {
		for i := e.First; i < e.End; {
			first, ok := s.Next(i)
			if !ok || first >= e.End {
				return
			}
			end := min(s.NextMissing(first), e.End)
			if !yield(pieces.Extent{First: first, End: end}) {
				return
			}
			i = end
		}
	}
}

// chunks yields slices of at most n extents.
func chunks(es []pieces.Extent, n int) iter.Seq[[]pieces.Extent] {
	return func(yield func([]pieces.Extent) bool) {
		for len(es) > 0 {
			k := min(max(n, 1), len(es))
			if !yield(es[:k:k]) {
				return
			}
			es = es[k:]
		}
	}
}

// clip yields the non-empty parts of es inside the content.
func (v *version) clip(es []pieces.Extent) iter.Seq[pieces.Extent] {
	all := pieces.Extent{First: 0, End: v.n}
	return func(yield func(pieces.Extent) bool) {
		for _, e := range es {
			if e = e.Intersect(all); !e.Empty() && !yield(e) {
				return
			}
		}
	}
}
