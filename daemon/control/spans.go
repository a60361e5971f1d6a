package control

import (
	"cmp"
	"slices"
)

// spans is a set of bytes: ranges in order that neither touch nor overlap.
type spans []Range

// add puts r in.
func (s *spans) add(r Range) {
	end := r.Off + r.N
	i, _ := slices.BinarySearchFunc(*s, r.Off, func(o Range, off int64) int { return cmp.Compare(o.Off+o.N, off) })
	j := i
	for ; j < len(*s) && (*s)[j].Off <= end; j++ {
		r.Off = min(r.Off, (*s)[j].Off)
		end = max(end, (*s)[j].Off+(*s)[j].N)
	}
	*s = slices.Replace(*s, i, j, Range{r.Off, end - r.Off})
}

// cover reports whether bytes [0, size) are all in.
func (s spans) cover(size int64) bool {
	return size == 0 || len(s) > 0 && s[0].Off <= 0 && s[0].Off+s[0].N >= size
}
