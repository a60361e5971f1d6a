package picker

import (
	"damselfly/pieces"
)

// flights are the requests and origin reads under way.
type flights struct {
	open map[uint64]*flight
	next uint64
	// late is how many of open are.
	late int
	// many counts, for pieces covered more than once, the further ones.
	// Invariant: its keys are in flying.
	many   map[int]int
	flying words
}

type flight struct {
	Request
	late bool
}

func newFlights(n int) flights {
	return flights{open: map[uint64]*flight{}, many: map[int]int{}, flying: newWords(n)}
}

// prompt is how many requests are under way that are not late.
func (f *flights) prompt() int { return len(f.open) - f.late }

func (f *flights) start(r Request) Request {
	f.next++
	r.ID = f.next
	f.open[r.ID] = &flight{Request: r}
	f.take(r.Extent)
	return r
}

// end reports whether the request had become late.
func (f *flights) end(r Request) (late bool) {
	o := f.open[r.ID]
	if o == nil {
		return false
	}
	delete(f.open, r.ID)
	if o.late {
		f.late--
	}
	f.land(r.Extent)
	return o.late
}

func (f *flights) take(e pieces.Extent) {
	for i := range e.All() {
		if !f.flying.add(i) {
			f.many[i]++
		}
	}
}

func (f *flights) land(e pieces.Extent) {
	for i := range e.All() {
		switch n := f.many[i]; n {
		case 0:
			f.flying.remove(i)
		case 1:
			delete(f.many, i)
		default:
			f.many[i] = n - 1
		}
	}
}

// Late says that request id waits longer than it should, and reports whether
// this is news.
func (p *Picker) Late(id uint64) bool {
	f := p.flights.open[id]
	if f == nil || f.late {
		return false
	}
	f.late = true
	p.flights.late++
	if n := p.neighbours[f.Host]; n != nil {
		n.late++
	}
	return true
}

// Overdue returns what is wanted at class and under way in late requests only.
func (p *Picker) Overdue(class pieces.Class) *pieces.Set {
	out := &pieces.Set{}
	if p.flights.late == 0 {
		return out
	}
	for _, f := range p.flights.open {
		if f.late {
			out.AddExtent(f.Extent)
		}
	}
	for i, ok := out.Next(0); ok; i, ok = out.Next(i + 1) {
		if !p.wanted[class].has(i) || p.lateFor(i) <= p.flights.many[i] {
			out.Remove(i) // someone else is at it, and not late
		}
	}
	return out
}

// lateFor counts the late requests that cover piece i.
func (p *Picker) lateFor(i int) (n int) {
	for _, f := range p.flights.open {
		if f.late && f.Extent.Has(i) {
			n++
		}
	}
	return n
}

// hedge asks others for overdue pieces, one by one, while the budget lasts.
func (p *Picker) hedge(out []Request, c pieces.Class) []Request {
	if p.flights.late == 0 {
		return out
	}
	due := p.Overdue(c)
	for i, ok := due.Next(0); ok && p.room(c) && p.spare >= p.geo.Len(i); i, ok = due.Next(i + 1) {
		id, n := p.other(i, c)
		if n == nil {
			continue
		}
		p.spare -= p.geo.Len(i)
		r := p.start(id, n, pieces.Extent{First: i, End: i + 1}, c, false)
		r.Hedge = true
		out = append(out, r)
	}
	return out
}

// other chooses a holder of piece i that is not asked for it yet.
func (p *Picker) other(i int, c pieces.Class) (best pieces.HostID, bn *neighbour) {
	for _, id := range p.order {
		n := p.neighbours[id]
		if p.hedges(n, c) && n.gives(i, c) && p.free(n, c) && !p.asked(id, i) && (bn == nil || n.before(bn)) {
			best, bn = id, n
		}
	}
	return best, bn
}

// hedges reports whether n may be asked for what another is late with: what comes
// from another data centre shares its way with much else, and crosses twice then.
// There a source that is dead, not late, is given up by its silence.
func (p *Picker) hedges(n *neighbour, c pieces.Class) bool {
	return !n.far || c == pieces.Demand || p.out.near == nil
}

func (p *Picker) asked(id pieces.HostID, i int) bool {
	for _, f := range p.flights.open {
		if f.Host == id && f.Extent.Has(i) {
			return true
		}
	}
	return false
}
