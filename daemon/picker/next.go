package picker

import (
	"time"

	"damselfly/pieces"
)

// Next returns requests to start now, most urgent first. Their pieces count as
// in flight until Done.
func (p *Picker) Next() []Request {
	var out []Request
	p.rand.Shuffle(len(p.order), func(i, j int) { p.order[i], p.order[j] = p.order[j], p.order[i] })
	for c := pieces.Demand; c < pieces.Classes; c++ {
		if p.wanted[c].Count() == 0 {
			continue
		}
		todo := p.Missing(c)
		todo.IntersectSet(p.verifiable)
		if c == pieces.Fill {
			out = p.fill(out, todo)
		} else {
			out = p.inOrder(out, todo, c)
		}
		out = p.hedge(out, c)
	}
	return out
}

// scan bounds how many pieces without a free source one Next looks past.
const scan = 128

// inOrder serves the lowest pieces first, each from its least busy source.
func (p *Picker) inOrder(out []Request, todo *pieces.Set, c pieces.Class) []Request {
	past := 0
	for i, ok := todo.Next(0); ok && p.room(c) && past < scan; i, ok = todo.Next(i + 1) {
		id, n, wait := p.source(i, c)
		if n == nil {
			past++
			continue
		}
		e := p.run(n, todo, i, c, wait)
		out = append(out, p.start(id, n, e, c, wait))
		todo.RemoveExtent(e)
		i = e.End - 1
	}
	return out
}

// source chooses who is asked for piece i: a holder who was not late lately,
// with the fewest requests in flight, seeds after the others; else, for those
// who can't do without it, someone worth waiting for.
func (p *Picker) source(i int, c pieces.Class) (best pieces.HostID, bn *neighbour, wait bool) {
	better := func(n *neighbour) bool { return bn == nil || n.before(bn) }
	for _, id := range p.order {
		if n := p.neighbours[id]; n.gives(i, c) && p.free(n, c) && better(n) {
			best, bn = id, n
		}
	}
	if bn != nil || p.copies[i] > 0 || c > pieces.Window {
		return best, bn, false
	}
	for _, id := range p.order {
		if n := p.neighbours[id]; n.mayWait(i) && (c == pieces.Demand || !n.deferred.Has(i)) && p.free(n, c) && better(n) {
			best, bn = id, n
		}
	}
	return best, bn, true
}

// fill gives each neighbour with a free slot one request after the other.
func (p *Picker) fill(out []Request, todo *pieces.Set) []Request {
	for progress := true; progress && todo.Count() > 0; {
		progress = false
		for _, id := range p.order {
			n := p.neighbours[id]
			if !p.free(n, pieces.Fill) || !p.room(pieces.Fill) {
				continue
			}
			first, ok := p.choose(n, todo)
			if !ok {
				continue
			}
			e := p.run(n, todo, first, pieces.Fill, false)
			out = append(out, p.start(id, n, e, pieces.Fill, false))
			todo.RemoveExtent(e)
			progress = true
		}
	}
	return out
}

// choose returns the piece of todo to take next from n.
func (p *Picker) choose(n *neighbour, todo *pieces.Set) (int, bool) {
	have := todo.Clone()
	have.IntersectSet(n.held)
	have.SubtractSet(n.deferred)
	if have.Count() == 0 {
		return 0, false
	}
	if n.held.Count() < p.geo.Count() && !n.seed && p.rand.Float64() < p.cfg.InOrder {
		return have.Next(0)
	}
	return p.rarest(have), true
}

// rarest returns a random one of the pieces with the fewest copies nearby.
func (p *Picker) rarest(have *pieces.Set) int {
	best, ties := -1, 0
	for i, ok := have.Next(0); ok; i, ok = have.Next(i + 1) {
		switch {
		case best < 0 || p.copies[i] < p.copies[best]:
			best, ties = i, 1
		case p.copies[i] == p.copies[best]:
			if ties++; p.rand.IntN(ties) == 0 {
				best = i
			}
		}
	}
	return best
}

// run extends piece first to the adjacent pieces that n can give too, up to
// what fills RequestTime at its rate.
func (p *Picker) run(n *neighbour, todo *pieces.Set, first int, c pieces.Class, wait bool) pieces.Extent {
	e := pieces.Extent{First: first, End: first + 1}
	if wait {
		return e
	}
	budget := min(int64(n.rate*p.cfg.RequestTime.Seconds()), p.cfg.MaxRequestBytes)
	copies := p.copies[first]
	for e.End < p.geo.Count() && todo.Has(e.End) && n.gives(e.End, c) {
		if int64(e.Len()+1)*p.geo.PieceSize > budget || c == pieces.Fill && p.copies[e.End] > copies {
			break
		}
		e.End++
	}
	return e
}

func (p *Picker) start(id pieces.HostID, n *neighbour, e pieces.Extent, c pieces.Class, wait bool) Request {
	n.requests++
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
	if c == pieces.Demand {
		most *= 2
	}
	return p.flights.prompt() < most && len(p.flights.open) < 4*p.cfg.MaxRequests
}

func (p *Picker) slots(c pieces.Class) int {
	if c == pieces.Demand {
		return p.cfg.PerNeighbour + 1
	}
	return p.cfg.PerNeighbour
}
