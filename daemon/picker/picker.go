// Package picker decides which pieces one Peer asks from whom, and when. It is
// pure: it is told what is wanted, held, verifiable and offered, and answers
// requests to start. Randomness is an argument; there is no clock, no
// goroutine, no lock. Callers serialise their calls.
//
// # Order
//
// Classes go by urgency: demand, window, order, fill (DESIGN §7). Demand and
// order are served lowest piece first, and so is the window of a reader that is
// alone. Fill takes, per request, the lowest piece with probability
// Config.InOrder and otherwise the rarest one among the neighbours; at a
// neighbour that holds everything it always takes the rarest, so that the
// children of one seed carry off different pieces. A window goes like fill while
// a neighbour lacks pieces too: readers in the same order have the same windows.
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
	"math/bits"
	"math/rand/v2"
	"time"

	"damselfly/pieces"
)

// Config holds the picker's limits; zero fields take their defaults.
type Config struct {
	// MaxRequests in flight over all neighbours (default 10: a fifth of a
	// request's time passes before its bytes flow); demand may use as many again.
	MaxRequests int
	// PerNeighbour requests in flight (default 2); demand may use one more.
	PerNeighbour int
	// MaxRequestBytes bounds one request (default 8 MiB).
	MaxRequestBytes int64
	// RequestTime is how long one request should take at the measured rate of
	// its neighbour (default 20 ms).
	RequestTime time.Duration
	// InOrder is the share of bulk requests taken in order (default 0.8).
	InOrder float64
	// HedgeShare of the bytes that arrive may be asked for twice (default
	// 0.02); HedgeBurst bytes more at the start, and at most this much saved
	// up (default 2 MiB, and at least two pieces).
	HedgeShare float64
	HedgeBurst int64
	// Self is this host, Place its data centre, if it names one: for the turns
	// within it (far.go) and of data centres (place.go).
	Self  pieces.HostID
	Place string
	// FarRequests under way in other data centres suffice for a host whose turn
	// it is not (default 2); FarPatience is how long it waits for what others
	// near it bring, with nothing on its way in time (default 500 ms), FarGrace how
	// long it leaves what is new outside to whose turn it is (default 50 ms).
	FarRequests int
	FarPatience time.Duration
	FarGrace    time.Duration
	// News is how long changes are gathered before neighbours are told.
	News News
}

func (c Config) withDefaults() Config {
	if c.MaxRequests == 0 {
		c.MaxRequests = 10
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
	if c.FarRequests == 0 {
		c.FarRequests = 2
	}
	if c.FarPatience == 0 {
		c.FarPatience = 500 * time.Millisecond
	}
	if c.FarGrace == 0 {
		c.FarGrace = 50 * time.Millisecond
	}
	c.News = c.News.withDefaults()
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

	held, verifiable words
	flights          flights
	interests        [pieces.Classes]map[*Interest]struct{}
	// wanted per class, and how many that are. Invariant: none of them is held.
	wanted [pieces.Classes]words
	wants  [pieces.Classes]int
	// parentsOnly: neighbours that are no parents are not asked.
	parentsOnly bool
	neighbours  map[pieces.HostID]*neighbour
	// order is the neighbours' ids, shuffled at each Next.
	order  []pieces.HostID
	supply supply
	// spare is how many bytes may be asked for twice.
	spare int64
	// fars is how many neighbours are far.
	fars int
	// mine are the pieces that are this host's to bring from there, next those that
	// are its turn after another's; made anew when turnStale.
	mine, next words
	turnStale  bool
	// imports are the pieces that are its data centre's turn to bring out of those
	// of far seeds, seedPlaces; both as old as mine.
	imports    words
	seedPlaces map[string]bool
	// offered is what far neighbours have.
	offered sightings
	// out is of the Next under way. idle is since when nothing was on its way
	// in time though it was wanted, as the last Next saw it.
	out  outside
	idle time.Time
}

// New returns a picker for content of geometry g of which held is here.
func New(g pieces.Geometry, held *pieces.Set, cfg Config, r *rand.Rand) *Picker {
	n := g.Count()
	p := &Picker{
		cfg: cfg.withDefaults(), geo: g, rand: r,
		held: newWords(n), verifiable: newWords(n), flights: newFlights(n),
		neighbours: map[pieces.HostID]*neighbour{},
		supply:     newSupply(n),
	}
	for e := range held.Extents() {
		p.held.addExtent(e.Intersect(g.All()))
	}
	p.cfg.HedgeBurst = max(p.cfg.HedgeBurst, 2*g.PieceSize)
	p.spare = p.cfg.HedgeBurst
	for c := range p.wanted {
		p.wanted[c] = newWords(n)
		p.interests[c] = map[*Interest]struct{}{}
	}
	return p
}

// Want adds an interest in e.
func (p *Picker) Want(e pieces.Extent, class pieces.Class) *Interest {
	in := &Interest{e.Intersect(p.geo.All()), class}
	p.interests[class][in] = struct{}{}
	p.want(in.extent, class)
	return in
}

// want adds what is missing of e to the wanted pieces of a class.
func (p *Picker) want(e pieces.Extent, class pieces.Class) {
	for w, m := range masks(e) {
		p.setWanted(class, w, p.wanted[class][w]|m&^p.held[w])
	}
}

func (p *Picker) setWanted(class pieces.Class, w int, to uint64) {
	was := &p.wanted[class][w]
	p.wants[class] += bits.OnesCount64(to) - bits.OnesCount64(*was)
	*was = to
}

// Drop ends an interest. Requests under way go on.
func (p *Picker) Drop(in *Interest) {
	if _, ok := p.interests[in.class][in]; !ok {
		return
	}
	delete(p.interests[in.class], in)
	for w, m := range masks(in.extent) {
		p.setWanted(in.class, w, p.wanted[in.class][w]&^m)
	}
	for o := range p.interests[in.class] {
		p.want(o.extent.Intersect(in.extent), in.class)
	}
}

// Held says that piece i is here now.
func (p *Picker) Held(i int) {
	p.held.add(i)
	for c := range p.wanted {
		if p.wanted[c].remove(i) {
			p.wants[c]--
		}
	}
}

// Lost says that the pieces of e are no longer here.
func (p *Picker) Lost(e pieces.Extent) {
	e = e.Intersect(p.geo.All())
	p.held.removeExtent(e)
	for c := range p.interests {
		for in := range p.interests[c] {
			p.want(in.extent.Intersect(e), pieces.Class(c))
		}
	}
}

// Verifiable says that the digests of e are known.
func (p *Picker) Verifiable(e pieces.Extent) { p.verifiable.addExtent(e.Intersect(p.geo.All())) }

// Wanted reports whether any reader wants piece i, and how urgently at most.
func (p *Picker) Wanted(i int) (pieces.Class, bool) {
	for c := range p.wanted {
		if p.wanted[c].has(i) {
			return pieces.Class(c), true
		}
	}
	return 0, false
}

// todo returns, of the 64 pieces of word w, those that a request of class c may
// ask for: wanted, not under way, and with a known digest.
func (p *Picker) todo(c pieces.Class, w int) uint64 {
	return p.wanted[c][w] & p.verifiable[w] &^ p.flights.flying[w]
}

// Missing returns what is wanted at class and neither held nor being fetched.
func (p *Picker) Missing(class pieces.Class) *pieces.Set {
	return set(len(p.held), func(w int) uint64 { return p.wanted[class][w] &^ p.flights.flying[w] })
}

// Unmet returns what is Missing and can't be had from a neighbour: nobody near
// has it or may be waited for, or its digest is not known. Nil if there is
// nothing.
func (p *Picker) Unmet(class pieces.Class) *pieces.Set {
	if p.wants[class] == 0 {
		return nil
	}
	unmet := func(w int) uint64 {
		return p.wanted[class][w] &^ p.flights.flying[w] &^ (p.verifiable[w] & p.supply.near[w])
	}
	for w := range p.held {
		if unmet(w) != 0 {
			return set(len(p.held), unmet)
		}
	}
	return nil
}

// WantCount returns how many pieces are wanted at class.
func (p *Picker) WantCount(class pieces.Class) int { return p.wants[class] }

// Flying reports whether piece i is being fetched.
func (p *Picker) Flying(i int) bool { return p.flights.flying.has(i) }

// StartOrigin marks e as being fetched from the origin; EndOrigin undoes it.
func (p *Picker) StartOrigin(e pieces.Extent) { p.flights.take(e) }

// EndOrigin says that the origin read of e is over, for whatever reason.
func (p *Picker) EndOrigin(e pieces.Extent) { p.flights.land(e) }
