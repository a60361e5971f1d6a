package picker

import (
	"math/bits"

	"damselfly/pieces"
)

// words is a set of the pieces of one content, 64 to a word. Sets of one picker
// are equally long, so that they are combined word by word: what is asked of
// 16,384 pieces costs 256 steps, whatever is in the sets.
type words []uint64

func newWords(n int) words { return make(words, (n+63)/64) }

func (s words) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }

// add and remove report whether they changed the set.
func (s words) add(i int) bool {
	w, m := &s[i>>6], uint64(1)<<(i&63)
	was := *w&m != 0
	*w |= m
	return !was
}

func (s words) remove(i int) bool {
	w, m := &s[i>>6], uint64(1)<<(i&63)
	was := *w&m != 0
	*w &^= m
	return was
}

// hasAll reports whether all of e is in s.
func (s words) hasAll(e pieces.Extent) bool {
	for i := e.First; i < e.End; i++ {
		if !s.has(i) {
			return false
		}
	}
	return true
}

// addExtent and removeExtent return how many pieces changed.
func (s words) addExtent(e pieces.Extent) (n int) {
	for w, m := range masks(e) {
		n += bits.OnesCount64(m &^ s[w])
		s[w] |= m
	}
	return n
}

func (s words) removeExtent(e pieces.Extent) (n int) {
	for w, m := range masks(e) {
		n += bits.OnesCount64(m & s[w])
		s[w] &^= m
	}
	return n
}

// addWords adds all of o.
func (s words) addWords(o words) {
	for w, m := range o {
		s[w] |= m
	}
}

// count returns the size of s.
func (s words) count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// masks yields each word that e touches, with the bits of e in it.
func masks(e pieces.Extent) func(yield func(int, uint64) bool) {
	return func(yield func(int, uint64) bool) {
		for i := e.First; i < e.End; {
			w := i >> 6
			end := min(e.End, (w+1)<<6)
			m := ^uint64(0) << (i & 63)
			if end&63 != 0 {
				m &= 1<<(end&63) - 1
			}
			if !yield(w, m) {
				return
			}
			i = end
		}
	}
}

// set returns the pieces that word yields for each of the n words.
func set(n int, word func(w int) uint64) *pieces.Set {
	s := &pieces.Set{}
	for w := range n {
		for m := word(w); m != 0; m &= m - 1 {
			s.Add(w<<6 + bits.TrailingZeros64(m))
		}
	}
	return s
}
