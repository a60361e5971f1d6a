package picker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// model is the picker's knowledge in its simplest form: everything is found by
// looking at all pieces and all neighbours.
type model struct {
	n                int
	held, verifiable map[int]bool
	interests        map[*Interest]bool
	flying           map[int]int
	neighbours       map[pieces.HostID]*modelNeighbour
	parentsOnly      bool
}

type modelNeighbour struct {
	held, fetching, leased, deferred, refused map[int]bool
	parent, paused                            bool
}

func newModel(n int) *model {
	return &model{
		n: n, held: map[int]bool{}, verifiable: map[int]bool{}, interests: map[*Interest]bool{},
		flying: map[int]int{}, neighbours: map[pieces.HostID]*modelNeighbour{},
	}
}

func (m *model) wanted(i int, c pieces.Class) bool {
	for in := range m.interests {
		if in.class == c && in.extent.Has(i) && !m.held[i] {
			return true
		}
	}
	return false
}

func (m *model) copies(i int) (n int) {
	for _, o := range m.neighbours {
		if o.held[i] && (o.parent || !m.parentsOnly) {
			n++
		}
	}
	return n
}

func (o *modelNeighbour) waits(i int) bool { return o.leased[i] || o.parent && o.fetching[i] }

func (m *model) near(i int) bool {
	for _, o := range m.neighbours {
		if (o.parent || !m.parentsOnly) && (o.held[i] || o.waits(i)) {
			return true
		}
	}
	return false
}

func (m *model) missing(c pieces.Class, unmet bool) *pieces.Set {
	s := &pieces.Set{}
	for i := range m.n {
		if m.wanted(i, c) && m.flying[i] == 0 && !(unmet && m.verifiable[i] && m.near(i)) {
			s.Add(i)
		}
	}
	return s
}

// lowest is the first piece that class c may ask of a neighbour, all of them
// being free unless paused.
func (m *model) lowest(c pieces.Class) (int, bool) {
	for i := range m.n {
		if !m.wanted(i, c) || m.flying[i] > 0 || !m.verifiable[i] {
			continue
		}
		gives, waits, given := false, false, false
		for _, o := range m.neighbours {
			if !o.parent && m.parentsOnly {
				continue
			}
			g := o.held[i] && !o.refused[i] && (c == pieces.Demand || !o.deferred[i])
			given = given || g || o.held[i] && c != pieces.Demand
			gives = gives || g && !o.paused
			waits = waits || !o.paused && o.waits(i) && (c == pieces.Demand || !o.deferred[i])
		}
		if gives || waits && !given && c <= pieces.Window {
			return i, true
		}
	}
	return 0, false
}

// The picker knows what the model knows, after any events.
func TestThePickerAgreesWithItsModel(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 1 + r.IntN(150)
		g, _ := pieces.GeometryOf(int64(n) * pieces.MinPieceSize)
		p := New(g, &pieces.Set{}, Config{MaxRequests: 1000, PerNeighbour: 1000}, r)
		m := newModel(n)
		var interests []*Interest
		var origins []pieces.Extent
		for range 120 {
			first := r.IntN(n)
			e := ext(first, min(n, first+1+r.IntN(40)))
			step(p, m, r, e, &interests, &origins)
			compare(t, p, m, seed)
		}
	}
}

// step makes one random event happen to the picker and to the model.
func step(p *Picker, m *model, r *rand.Rand, e pieces.Extent, interests *[]*Interest, origins *[]pieces.Extent) {
	id := host(byte(r.IntN(5)))
	o := m.neighbours[id]
	on := r.IntN(2) == 0
	mark := func(s map[int]bool, to bool) {
		for i := range e.All() {
			s[i] = to
		}
	}
	switch k := r.IntN(15); {
	case k == 0:
		in := p.Want(e, pieces.Class(r.IntN(pieces.Classes)))
		m.interests[in] = true
		*interests = append(*interests, in)
	case k == 1 && len(*interests) > 0:
		j := r.IntN(len(*interests))
		p.Drop((*interests)[j])
		delete(m.interests, (*interests)[j])
		*interests = slices.Delete(*interests, j, j+1)
	case k == 2:
		p.Held(e.First)
		m.held[e.First] = true
	case k == 3:
		p.Lost(e)
		mark(m.held, false)
	case k == 4:
		p.Verifiable(e)
		mark(m.verifiable, true)
	case k == 5:
		p.StartOrigin(e)
		*origins = append(*origins, e)
		for i := range e.All() {
			m.flying[i]++
		}
	case k == 6 && len(*origins) > 0:
		e = (*origins)[0]
		*origins = (*origins)[1:]
		p.EndOrigin(e)
		for i := range e.All() {
			m.flying[i]--
		}
	case k == 7:
		p.AddNeighbour(id, on, id == host(0))
		if o == nil {
			o = &modelNeighbour{map[int]bool{}, map[int]bool{}, map[int]bool{}, map[int]bool{}, map[int]bool{}, on, false}
			m.neighbours[id] = o
		}
		o.parent = on
	case k == 8 && r.IntN(4) == 0:
		p.RemoveNeighbour(id)
		delete(m.neighbours, id)
	case k == 9 && r.IntN(3) == 0:
		p.ParentsOnly(on)
		m.parentsOnly = on
	case o == nil:
	case k == 10:
		p.NeighbourHeld(id, e)
		mark(o.held, true)
		mark(o.fetching, false)
		mark(o.leased, false)
	case k == 11:
		p.NeighbourLost(id, e)
		mark(o.held, false)
	case k == 12:
		p.NeighbourFetching(id, e, on)
		for i := range e.All() {
			if !o.held[i] {
				o.fetching[i] = true
				o.leased[i] = o.leased[i] || on
			}
		}
	case k == 13:
		p.NeighbourStopped(id, e)
		mark(o.fetching, false)
		mark(o.leased, false)
	case k == 14 && r.IntN(3) == 0:
		p.Pause(id, pieces.Demand, on)
		o.paused = on
	case on:
		to := r.IntN(2) == 0
		p.Defer(id, e, to)
		mark(o.deferred, to)
	default:
		to := r.IntN(2) == 0
		p.Refuse(id, e, to)
		mark(o.refused, to)
	}
}

func compare(t *testing.T, p *Picker, m *model, seed uint64) {
	for c := range pieces.Class(pieces.Classes) {
		count := 0
		for i := range m.n {
			if m.wanted(i, c) {
				count++
			}
		}
		require.Equal(t, count, p.WantCount(c), "seed %d", seed)
		require.Equal(t, m.missing(c, false).List(), p.Missing(c).List(), "seed %d", seed)
		var unmet []pieces.Extent
		if s := p.Unmet(c); s != nil {
			unmet = s.List()
			require.NotEmpty(t, unmet)
		}
		require.Equal(t, m.missing(c, true).List(), unmet, "seed %d", seed)
		want, ok := m.lowest(c)
		got, gotOK := p.lowest(c, 0)
		require.Equal(t, ok, gotOK, "seed %d, class %v", seed, c)
		require.Equal(t, want, got, "seed %d, class %v", seed, c)
	}
	for i := range m.n {
		require.EqualValues(t, m.copies(i), p.supply.copies[i], "seed %d", seed)
		require.Equal(t, m.near(i), p.Nearby(i), "seed %d", seed)
		require.Equal(t, m.flying[i] > 0, p.Flying(i))
	}
	for id, n := range p.neighbours {
		rarestOf(t, p, m, m.neighbours[id], n)
	}
}

// rarestOf checks the choice of a fill request at one neighbour.
func rarestOf(t *testing.T, p *Picker, m *model, o *modelNeighbour, n *neighbour) {
	if !p.usable(n) {
		return
	}
	least, any := 0, false
	missing := m.missing(pieces.Fill, false)
	for i := range m.n {
		if missing.Has(i) && m.verifiable[i] && o.held[i] && !o.refused[i] && !o.deferred[i] {
			if c := m.copies(i); !any || c < least {
				least, any = c, true
			}
		}
	}
	i, ok := p.supply.rarest(func(w int) uint64 { return p.todo(pieces.Fill, w) & n.givesWord(w, pieces.Fill) }, p.rand)
	require.Equal(t, any, ok)
	if ok {
		require.Equal(t, least, m.copies(i), "piece %d is not among the rarest", i)
		require.True(t, o.held[i])
	}
}

// Each of the rarest pieces is as likely as the next.
func TestTheRarestIsDrawnEvenly(t *testing.T) {
	p := fixture(t, 200, Config{})
	p.AddNeighbour(host(1), false, true)
	p.NeighbourHeld(host(1), p.geo.All())
	// Three pieces behind a long gap, one far from them.
	p.Want(ext(0, 1), pieces.Fill)
	p.Want(ext(150, 153), pieces.Fill)
	drawn := map[int]int{}
	for range 4000 {
		i, ok := p.choose(p.neighbours[host(1)], pieces.Fill)
		require.True(t, ok)
		drawn[i]++
	}
	require.Len(t, drawn, 4)
	for i, n := range drawn {
		require.InDelta(t, 1000, n, 150, "piece %d", i)
	}
}

// BenchmarkDelivery is the picker's share of the cost of one piece: a seed and
// seven peers that are in the middle of the download too announce what they get,
// a piece arrives, and the next one is asked for. ns/op is per piece.
func BenchmarkDelivery(b *testing.B) {
	for _, n := range []int{1024, 16384} {
		b.Run(map[int]string{1024: "1k", 16384: "16k"}[n], func(b *testing.B) {
			for done := 0; done < b.N; done += n {
				deliverAll(b, n)
			}
		})
	}
}

func deliverAll(b *testing.B, n int) {
	b.StopTimer()
	r := rand.New(rand.NewPCG(1, 2))
	g, _ := pieces.GeometryOf(int64(n) * pieces.MinPieceSize)
	p := New(g, &pieces.Set{}, Config{}, r)
	p.Verifiable(g.All())
	p.AddNeighbour(host(0), true, true)
	p.NeighbourHeld(host(0), g.All())
	var peers [7][]int
	for k := range peers {
		p.AddNeighbour(host(byte(k+1)), false, false)
		peers[k] = r.Perm(n)
	}
	p.Want(g.All(), pieces.Fill)
	b.StartTimer()
	var open []Request
	for got := 0; got < n; {
		open = append(open, p.Next(t0)...)
		q := open[0]
		open = open[1:]
		for i := range q.Extent.All() {
			p.Held(i)
			for k := range peers {
				j := peers[k][got]
				p.NeighbourHeld(host(byte(k+1)), ext(j, j+1))
			}
			p.Unmet(pieces.Fill)
			got++
		}
		p.Done(q, g.PieceSize, time.Second)
	}
}
