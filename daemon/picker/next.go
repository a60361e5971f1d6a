package picker

import (
	"math/bits"
	"time"

	"damselfly/pieces"
)

// Next returns requests to start now, most urgent first. Their pieces count as
// in flight until Done.
func (p *Picker) Next(now time.Time) []Request {
	var out []Request
	p.lookOutside(now)
	p.rand.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	for c := pieces.Demand; c < pieces.Classes; c++ {
		if p.wants[c] == 0 {
			continue
		}
		if c == pieces.Fill || c == pieces.Window && p.inCrowd() {
			out = p.bulk(out, c)
		}
		if c != pieces.Fill {
			out = p.inOrder(out, c)
		}
		out = p.hedge(out, c)
	}
	return out
}

// inOrder serves the lowest pieces first, each from its least busy source.
func (p *Picker) inOrder(out []Request, c pieces.Class) []Request {
	for from := 0; p.room(c); {
		i, ok := p.lowest(c, from)
		if !ok {
			return out
		}
		id, n, wait := p.source(i, c)
		e := p.run(n, i, c, wait)
		out = append(out, p.start(id, n, e, c, wait))
		from = e.End
	}
	return out
}

// scan bounds how many pieces lowest looks at that can be waited for where they
// are fetched, but that a busy neighbour holds.
const scan = 128

// lowest returns the first piece from on that class c may ask of a neighbour
// with a free slot.
func (p *Picker) lowest(c pieces.Class, from int) (int, bool) {
	var buf [64]*neighbour
	free := buf[:0]
	for _, id := range p.order {
		if n := p.neighbours[id]; p.free(n, c) {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return 0, false
	}
	past := 0
	for w := from >> 6; w < len(p.held); w++ {
		todo := p.todo(c, w)
		if w == from>>6 {
			todo &= ^uint64(0) << (from & 63)
		}
		if todo == 0 {
			continue
		}
		var gives, waits uint64
		for _, n := range free {
			gives |= p.offers(n, w, c)
			waits |= n.waitsWord(w, c)
		}
		if c > pieces.Window {
			waits = 0
		}
		for m := todo & (gives | waits); m != 0; m &= m - 1 {
			i := w<<6 + bits.TrailingZeros64(m)
			if gives&m&-m != 0 || !p.given(i, c) {
				return i, true
			}
			if past++; past >= scan {
				return 0, false
			}
		}
	}
	return 0, false
}

// given reports whether somebody, busy or not, gives piece i: then nobody is
// waited for. Demand alone goes on when all who hold it refuse it.
func (p *Picker) given(i int, c pieces.Class) bool {
	if p.supply.copies[i] == 0 || c != pieces.Demand {
		return p.supply.copies[i] > 0
	}
	for _, n := range p.neighbours {
		if p.usable(n) && n.gives(i, c) {
			return true
		}
	}
	return false
}

// source chooses who is asked for piece i: a holder who was not late lately,
// with the fewest requests in flight, seeds after the others; else, for those
// who can't do without it, someone worth waiting for.
func (p *Picker) source(i int, c pieces.Class) (best pieces.HostID, bn *neighbour, wait bool) {
	better := func(n *neighbour) bool { return bn == nil || n.before(bn) }
	for _, id := range p.order {
		if n := p.neighbours[id]; p.offers(n, i>>6, c)&(1<<(i&63)) != 0 && p.free(n, c) && better(n) {
			best, bn = id, n
		}
	}
	if bn != nil {
		return best, bn, false
	}
	for _, id := range p.order {
		if n := p.neighbours[id]; n.waitsWord(i>>6, c)&(1<<(i&63)) != 0 && p.free(n, c) && better(n) {
			best, bn = id, n
		}
	}
	return best, bn, true
}

// inCrowd reports whether a neighbour lacks pieces, too. Then all fetch alike, and
// if all took the lowest pieces first, nobody would have anything for another.
func (p *Picker) inCrowd() bool {
	for _, n := range p.neighbours {
		if !n.seed && n.holds < p.geo.Count() && p.usable(n) {
			return true
		}
	}
	return false
}

// bulk gives each neighbour with a free slot one request after the other.
func (p *Picker) bulk(out []Request, c pieces.Class) []Request {
	for from := range distances {
		out = p.bulkFrom(out, from, c)
	}
	return out
}

// bulkFrom is bulk for the neighbours at one distance.
func (p *Picker) bulkFrom(out []Request, from int, c pieces.Class) []Request {
	for progress := true; progress; {
		progress = false
		for _, id := range p.order {
			n := p.neighbours[id]
			if p.distance(n) != from || !p.free(n, c) || !p.room(c) {
				continue
			}
			first, ok := p.choose(n, c)
			if !ok {
				continue
			}
			e := p.run(n, first, c, false)
			out = append(out, p.start(id, n, e, c, false))
			progress = true
		}
	}
	return out
}

// choose returns the piece to take next from n.
func (p *Picker) choose(n *neighbour, c pieces.Class) (int, bool) {
	have := func(w int) uint64 { return p.todo(c, w) & p.offers(n, w, c) }
	if n.far {
		return p.chooseFar(n, have)
	}
	if n.holds < p.geo.Count() && !n.seed && p.rand.Float64() < p.cfg.InOrder {
		for w := range p.held {
			if m := have(w); m != 0 {
				return w<<6 + bits.TrailingZeros64(m), true
			}
		}
		return 0, false
	}
	return p.supply.rarest(have, p.rand)
}

// run extends piece first to the adjacent pieces that n can give too, or that
// it may be waited for as well, up to what fills RequestTime at its rate.
func (p *Picker) run(n *neighbour, first int, c pieces.Class, wait bool) pieces.Extent {
	e := pieces.Extent{First: first, End: first + 1}
	budget := min(int64(n.rate*p.cfg.RequestTime.Seconds()), p.cfg.MaxRequestBytes)
	copies := p.supply.copies[first]
	for ; e.End < p.geo.Count() && int64(e.Len()+1)*p.geo.PieceSize <= budget; e.End++ {
		w, m := e.End>>6, uint64(1)<<(e.End&63)
		can := p.offers(n, w, c)
		if wait {
			can |= n.waitsWord(w, c)
		}
		if p.todo(c, w)&can&m == 0 || c == pieces.Fill && p.supply.copies[e.End] > copies {
			break
		}
	}
	return e
}

func (p *Picker) start(id pieces.HostID, n *neighbour, e pieces.Extent, c pieces.Class, wait bool) Request {
	n.requests++
	p.idle = time.Time{}
	if n.far {
		p.out.requests++
	}
	if c == pieces.Order {
		n.orders++
	}
	r := Request{Host: id, Extent: e, Class: c, Wait: wait}
	return p.flights.start(r)
}

// Done ends a request: n bytes arrived in took. What is still missing of its
// extent can be asked again.
func (p *Picker) Done(r Request, bytes int64, took time.Duration) {
	late := p.flights.end(r)
	p.spare = min(p.cfg.HedgeBurst, p.spare+int64(float64(bytes)*p.cfg.HedgeShare))
	n := p.neighbours[r.Host]
	if n == nil {
		return
	}
	n.requests = max(0, n.requests-1)
	if r.Class == pieces.Order {
		n.orders = max(0, n.orders-1)
	}
	if !late {
		n.late = 0
	}
	if bytes > 0 && took > 0 && !r.Wait {
		rate := float64(bytes) / took.Seconds()
		if n.rate == 0 {
			n.rate = rate
		}
		n.rate += 0.2 * (rate - n.rate)
	}
}

func (p *Picker) room(c pieces.Class) bool {
	most := p.cfg.MaxRequests
	switch c {
	case pieces.Demand:
		most *= 2
	case pieces.Order: // it leaves room for a window
		most = max(1, most-p.cfg.PerNeighbour)
	}
	return p.flights.prompt() < most && len(p.flights.open) < 4*p.cfg.MaxRequests
}

// slots is how many requests one neighbour may have for one more of class c to
// be started. Requests along an access order are small and apart, so a round
// trip each: where there are few neighbours, each takes more of them.
func (p *Picker) slots(c pieces.Class) int {
	switch c {
	case pieces.Demand:
		return p.cfg.PerNeighbour + 1
	case pieces.Order:
		return max(p.cfg.PerNeighbour, p.cfg.MaxRequests/max(1, len(p.order)))
	}
	return p.cfg.PerNeighbour
}
