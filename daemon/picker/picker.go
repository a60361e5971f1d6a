// Package picker decides which pieces one Peer asks from whom, and when. It is
// pure: it is told what is wanted, held, verifiable and offered, and answers
// requests to start. Randomness is an argument; there is no clock, no
// goroutine, no lock. Callers serialise their calls.
//
// # Order
//
// Classes go by urgency: demand, window, order, fill (DESIGN §7). Demand,
// window and order are served lowest piece first. Fill takes, per request, the
// lowest piece with probability Config.InOrder and otherwise the rarest one
// among the neighbours; at a neighbour that holds everything it always takes
// the rarest, so that the children of one seed carry off different pieces.
//
// # Sources
//
// Any neighbour that holds a piece may be asked for it. One that is still
// fetching it may be asked to wait only where waiting can't go round in
// circles: at a DAG parent, or at the holder of an origin lease. A piece
// without a known digest is asked from nobody.
//
// # Hedges
//
// A request that the caller calls late (it waits longer than pieces usually
// take) no longer stands in the way: it gives its place among MaxRequests
// back, and a piece that only late requests bring may be asked of one more
// neighbour, a hedge. Demand is hedged at once; other classes only when places
// are left over, which is the end of a download. Hedges spend a budget that
// grows with the bytes that arrive (Config.HedgeShare), so duplicates stay rare.
// A neighbour whose requests were late comes after those whose were not.
package picker

import (
	"math/rand/v2"
	"time"

	"damselfly/pieces"
)

// Config holds the picker's limits; zero fields take their defaults.
type Config struct {
	// MaxRequests in flight over all neighbours (default 8); demand may use
	// as many again.
	MaxRequests int
	// PerNeighbour requests in flight (default 2); demand may use one more.
	PerNeighbour int
	// MaxRequestBytes bounds one request (default 8 MiB).
	MaxRequestBytes int64
	// RequestTime is how long one request should take at the measured rate of
	// its neighbour (default 20 ms).
	RequestTime time.Duration
	// InOrder is the share of fill requests taken in order (default 0.8).
	InOrder float64
	// HedgeShare of the bytes that arrive may be asked for twice (default
	// 0.02); HedgeBurst bytes more at the start, and at most this much saved
	// up (default 2 MiB, and at least two pieces).
	HedgeShare float64
	HedgeBurst int64
}

func (c Config) withDefaults() Config {
	if c.MaxRequests == 0 {
		c.MaxRequests = 8
	}
	if c.PerNeighbour == 0 {
		c.PerNeighbour = 2
	}
	if c.MaxRequestBytes == 0 {
		c.MaxRequestBytes = 8 << 20
	}
	if c.RequestTime == 0 {
		c.RequestTime = 20 * time.Millisecond
	}
	if c.InOrder == 0 {
		c.InOrder = 0.8
	}
	if c.HedgeShare == 0 {
		c.HedgeShare = 0.02
	}
	if c.HedgeBurst == 0 {
		c.HedgeBurst = 2 << 20
	}
	return c
}

// Request is one data request to start. It ends with exactly one call of Done.
type Request struct {
	// ID tells the requests of one picker apart.
	ID     uint64
	Host   pieces.HostID
	Extent pieces.Extent
	Class  pieces.Class
	// Wait: the neighbour does not hold all of it yet, and may be waited for.
	Wait bool
	// Hedge: somebody else was asked for it before, and is late.
	Hedge bool
}

// Interest is one reader's want; it lasts until Drop.
type Interest struct {
	extent pieces.Extent
	class  pieces.Class
}

// Picker is the state of one Peer's download. Not safe for concurrent use.
type Picker struct {
	cfg  Config
	geo  pieces.Geometry
	rand *rand.Rand

	held, verifiable *pieces.Set
	flights          flights
	interests        [pieces.Classes]map[*Interest]struct{}
	// wanted per class; Invariant: no piece in it is held.
	wanted     [pieces.Classes]*pieces.Set
	neighbours map[pieces.HostID]*neighbour
	// order is the neighbours' ids, shuffled at each Next.
	order []pieces.HostID
	// copies counts, per piece, the neighbours that hold it.
	copies []uint16
	// spare is how many bytes may be asked for twice.
	spare int64
}

// New returns a picker for content of geometry g of which held is here.
func New(g pieces.Geometry, held *pieces.Set, cfg Config, r *rand.Rand) *Picker {
	p := &Picker{
		cfg: cfg.withDefaults(), geo: g, rand: r,
		held: held.Clone(), verifiable: &pieces.Set{}, flights: newFlights(),
		neighbours: map[pieces.HostID]*neighbour{},
		copies:     make([]uint16, g.Count()),
	}
	p.cfg.HedgeBurst = max(p.cfg.HedgeBurst, 2*g.PieceSize)
	p.spare = p.cfg.HedgeBurst
	for c := range p.wanted {
		p.wanted[c] = &pieces.Set{}
		p.interests[c] = map[*Interest]struct{}{}
	}
	return p
}

// Want adds an interest in e.
func (p *Picker) Want(e pieces.Extent, class pieces.Class) *Interest {
	in := &Interest{e.Intersect(p.geo.All()), class}
	p.interests[class][in] = struct{}{}
	for m := range p.held.Missing(in.extent) {
		p.wanted[class].AddExtent(m)
	}
	return in
}

// Drop ends an interest. Requests under way go on.
func (p *Picker) Drop(in *Interest) {
	if _, ok := p.interests[in.class][in]; !ok {
		return
	}
	delete(p.interests[in.class], in)
	p.rebuild(in.class)
}

func (p *Picker) rebuild(class pieces.Class) {
	w := &pieces.Set{}
	for in := range p.interests[class] {
		w.AddExtent(in.extent)
	}
	w.SubtractSet(p.held)
	p.wanted[class] = w
}

// Held says that piece i is here now.
func (p *Picker) Held(i int) {
	p.held.Add(i)
	for c := range p.wanted {
		p.wanted[c].Remove(i)
	}
}

// Lost says that the pieces of e are no longer here.
func (p *Picker) Lost(e pieces.Extent) {
	p.held.RemoveExtent(e)
	for c := range p.wanted {
		p.rebuild(pieces.Class(c))
	}
}

// Verifiable says that the digests of e are known.
func (p *Picker) Verifiable(e pieces.Extent) { p.verifiable.AddExtent(e.Intersect(p.geo.All())) }

// Wanted reports whether any reader wants piece i, and how urgently at most.
func (p *Picker) Wanted(i int) (pieces.Class, bool) {
	for c := range p.wanted {
		if p.wanted[c].Has(i) {
			return pieces.Class(c), true
		}
	}
	return 0, false
}

// Missing returns what is wanted at class and neither held nor being fetched.
func (p *Picker) Missing(class pieces.Class) *pieces.Set {
	m := p.wanted[class].Clone()
	m.SubtractSet(p.flights.flying)
	return m
}

// WantCount returns how many pieces are wanted at class.
func (p *Picker) WantCount(class pieces.Class) int { return p.wanted[class].Count() }

// Flying reports whether piece i is being fetched.
func (p *Picker) Flying(i int) bool { return p.flights.flying.Has(i) }

// StartOrigin marks e as being fetched from the origin; EndOrigin undoes it.
func (p *Picker) StartOrigin(e pieces.Extent) { p.flights.take(e) }

// EndOrigin says that the origin read of e is over, for whatever reason.
func (p *Picker) EndOrigin(e pieces.Extent) { p.flights.land(e) }
