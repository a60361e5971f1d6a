package picker

import (
	"math/bits"
	"time"

	"damselfly/pieces"
)

// News says how long changes are gathered before a neighbour is told of them.
// The longer, the fewer messages; the later the neighbour learns of a piece. One
// who has enough to choose from among what is here already loses nothing by
// that, so it is told after a quarter of the time that this would last it, were
// we its only source. Zero fields take their defaults.
type News struct {
	// Factor of the content's expected time is how long news are gathered for
	// who has nothing to choose from (default 0.001), at least Min (default
	// 5 ms), at most Max (default 25 ms).
	Factor   float64
	Min, Max time.Duration
	// Ample times as long is the most for others, and what those are told who
	// hold everything (default 8).
	Ample float64
}

// ampleFrom is the expected time from which on anybody waits longer: four children
// that live on each other's pieces were three times as slow for it where the
// content took a second.
const ampleFrom = 5 * time.Second

func (n News) withDefaults() News {
	if n.Factor == 0 {
		n.Factor = 0.001
	}
	if n.Min == 0 {
		n.Min = 5 * time.Millisecond
	}
	if n.Max == 0 {
		n.Max = 25 * time.Millisecond
	}
	if n.Ample == 0 {
		n.Ample = 8
	}
	n.Max, n.Ample = max(n.Max, n.Min), max(n.Ample, 1)
	return n
}

// of is the time for a neighbour that lacks choice of the pieces that are here,
// of a content of count pieces that comes in the expected time.
func (n News) of(expected time.Duration, choice, count int) time.Duration {
	least := min(max(time.Duration(float64(expected)*n.Factor), n.Min), n.Max)
	if expected < ampleFrom {
		return least
	}
	most := time.Duration(float64(least) * n.Ample)
	return min(max(time.Duration(float64(expected)*float64(choice)/float64(count)/4), least), most)
}

// Patience is how long news for a neighbour may be gathered, of a content that
// comes in the expected time; 0 = not known yet, it may be over soon.
func (p *Picker) Patience(id pieces.HostID, expected time.Duration) time.Duration {
	n, count := p.neighbours[id], p.geo.Count()
	switch {
	case n == nil, p.fars > 0 && !n.far:
		// Near ones must not fetch the same from far away.
		return p.cfg.News.of(expected, 0, count)
	case n.holds == count:
		return p.cfg.News.of(expected, count, count)
	}
	choice := 0
	for w, m := range p.held {
		choice += bits.OnesCount64(m &^ n.held[w])
	}
	return p.cfg.News.of(expected, choice, count)
}
