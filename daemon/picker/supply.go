package picker

import (
	"math/bits"
	"math/rand/v2"
)

// supply counts what the neighbours in use offer, kept up with every change of
// one piece at one neighbour.
type supply struct {
	pieces int
	// copies counts, per piece, the neighbours that hold it.
	copies []uint16
	// levels[k] are the pieces with k copies; a level is made when first needed,
	// and levels[0] is not kept. Invariant: sizes[k] = levels[k].count().
	levels []words
	sizes  []int
	// waits counts, per piece, the neighbours that may be waited for it; made
	// when first needed.
	waits []uint16
	// near are the pieces with copies or waits.
	near words
}

func newSupply(n int) supply {
	return supply{pieces: n, copies: make([]uint16, n), near: newWords(n)}
}

// copy notes that one neighbour more (d = 1) or less (d = −1) holds piece i.
func (s *supply) copy(i, d int) {
	k := int(s.copies[i])
	s.copies[i] = uint16(k + d)
	if k > 0 {
		s.levels[k].remove(i)
		s.sizes[k]--
	}
	if k += d; k > 0 {
		for len(s.levels) <= k {
			s.levels, s.sizes = append(s.levels, nil), append(s.sizes, 0)
		}
		if s.levels[k] == nil {
			s.levels[k] = newWords(s.pieces)
		}
		s.levels[k].add(i)
		s.sizes[k]++
	}
	s.update(i)
}

// wait notes that one neighbour more or less may be waited for piece i.
func (s *supply) wait(i int, more bool) {
	if s.waits == nil {
		s.waits = make([]uint16, s.pieces)
	}
	if more {
		s.waits[i]++
	} else {
		s.waits[i]--
	}
	s.update(i)
}

func (s *supply) update(i int) {
	put(s.near, i, s.copies[i] > 0 || s.waits != nil && s.waits[i] > 0)
}

// rarest returns a random one of the candidates, given by word, with the fewest
// copies.
func (s *supply) rarest(candidates func(w int) uint64, r *rand.Rand) (int, bool) {
	for k := 1; k < len(s.levels); k++ {
		if s.sizes[k] == 0 {
			continue
		}
		level, ties := s.levels[k], 0
		for w, l := range level {
			if l != 0 {
				ties += bits.OnesCount64(l & candidates(w))
			}
		}
		if ties > 0 {
			return nth(level, candidates, r.IntN(ties)), true
		}
	}
	return 0, false
}

// nth returns member number n of the candidates that are in level.
func nth(level words, candidates func(w int) uint64, n int) int {
	for w, l := range level {
		if l == 0 {
			continue
		}
		m := l & candidates(w)
		if k := bits.OnesCount64(m); n >= k {
			n -= k
			continue
		}
		for range n {
			m &= m - 1
		}
		return w<<6 + bits.TrailingZeros64(m)
	}
	panic("picker: fewer candidates than were counted")
}

// recount puts n in the counts, or takes it out, as it is usable now.
func (p *Picker) recount(n *neighbour) {
	if p.usable(n) == n.counted {
		return
	}
	if n.counted {
		p.uncount(n)
		return
	}
	n.counted = true
	p.add(n, 1)
}

func (p *Picker) uncount(n *neighbour) {
	if n.counted {
		n.counted = false
		p.add(n, -1)
	}
}

// add counts all that n offers, once more or once less.
func (p *Picker) add(n *neighbour, d int) {
	for w := range n.held {
		for m := n.held[w]; m != 0; m &= m - 1 {
			p.supply.copy(w<<6+bits.TrailingZeros64(m), d)
		}
		for m := n.waitsWord(w, 0); m != 0; m &= m - 1 {
			p.supply.wait(w<<6+bits.TrailingZeros64(m), d > 0)
		}
	}
}

// HeldNearby reports whether a neighbour in use holds piece i.
func (p *Picker) HeldNearby(i int) bool { return p.supply.copies[i] > 0 }

// Nearby reports whether piece i can be had from a neighbour, now or by
// waiting for it.
func (p *Picker) Nearby(i int) bool { return p.supply.near.has(i) }
