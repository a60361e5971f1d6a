package exchange

import "time"

// Batch says how long changes are gathered before they are told: Factor of the
// content's expected time (default 0.001), at least Min (default 5 ms) and at
// most Max (default 25 ms). The longer, the fewer messages; the later a
// neighbour learns of a piece.
type Batch struct {
	Min, Max time.Duration
	Factor   float64
}

func (b Batch) withDefaults() Batch {
	if b.Factor == 0 {
		b.Factor = 0.001
	}
	if b.Min == 0 {
		b.Min = 5 * time.Millisecond
	}
	if b.Max == 0 {
		b.Max = 25 * time.Millisecond
	}
	b.Max = max(b.Max, b.Min)
	return b
}

// of is the time for content that is expected to take so long.
func (b Batch) of(expected time.Duration) time.Duration {
	return min(max(time.Duration(float64(expected)*b.Factor), b.Min), b.Max)
}
