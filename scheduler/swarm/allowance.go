package swarm

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// allowance is a token bucket of bytes that may be read again though somebody
// holds them. It is full at first; an empty one is full again after RepeatWindow.
//
//	size = max(RepeatShare · content, RepeatFloor, one piece)
type allowance struct {
	spent float64
	at    time.Time
}

func (v *version) allowanceSize() float64 {
	o := v.t.opts()
	return max(o.RepeatShare*float64(v.facts.Size), float64(o.RepeatFloor), float64(v.geo.PieceSize))
}

// left returns the bytes that may be read again now.
func (v *version) left() float64 {
	a, now := &v.allowance, v.t.now
	size := v.allowanceSize()
	if a.spent > 0 {
		a.spent = max(0, a.spent-size*now.Sub(a.at).Seconds()/v.t.opts().RepeatWindow.Seconds())
	}
	a.at = now
	return size - a.spent
}

// affordable returns how much of e, from its start, p may read again now.
func (v *version) affordable(p *peer, e pieces.Extent) pieces.Extent {
	if v.exempt(p) {
		return e
	}
	left := v.left()
	end := e.First
	for i := range e.All() {
		if !v.gone(p, i) {
			if left -= float64(v.geo.Len(i)); left < 0 {
				break
			}
		}
		end = i + 1
	}
	return pieces.Extent{First: e.First, End: end}
}

// spend takes es off the allowance, and reports whether p may read them.
func (v *version) spend(p *peer, es []pieces.Extent) bool {
	if v.exempt(p) {
		return true
	}
	sum := 0.0
	for _, e := range es {
		for i := range e.All() {
			if !v.gone(p, i) {
				sum += float64(v.geo.Len(i))
			}
		}
	}
	// Content without ranges is read whole or not at all: a full allowance does.
	if left := v.left(); sum > left && (v.facts.Ranges || v.allowance.spent > 0) {
		return false
	}
	v.allowance.spent += sum
	return true
}

// exempt reports whether p's repeats are not bound by the allowance: it gets
// nothing from anybody. Classic has no allowance.
func (v *version) exempt(p *peer) bool {
	return v.classic() || v.t.now.Sub(p.fed) >= v.t.opts().RepeatAlone
}

// gone reports whether the holders of piece i are as good as gone, for p or for
// all.
func (v *version) gone(p *peer, i int) bool {
	s := &v.holders[i]
	if int(s.n) > int(s.known) {
		return false // so many are not
	}
	voices := min(v.t.opts().RepeatVoices, v.wanters.len())
	for _, at := range s.who[:s.known] {
		if q := v.seats.at[at]; len(q.failing) < voices && !slices.Contains(p.accused, q.id) {
			return false
		}
	}
	return true
}
