package picker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// t0 is when tests play.
var t0 = time.Unix(1000, 0)

func ext(first, end int) pieces.Extent { return pieces.Extent{First: first, End: end} }

func host(b byte) pieces.HostID { return pieces.NewHostID([16]byte{b}) }

// fixture is a picker over n pieces of 256 KiB, none held, all verifiable.
func fixture(t *testing.T, n int, cfg Config) *Picker {
	t.Helper()
	g, err := pieces.GeometryOf(int64(n) * pieces.MinPieceSize)
	require.NoError(t, err)
	p := New(g, &pieces.Set{}, cfg, rand.New(rand.NewPCG(1, 2)))
	p.Verifiable(g.All())
	return p
}

func TestDemandGoesFirstAndInOrder(t *testing.T) {
	p := fixture(t, 100, Config{MaxRequests: 4, PerNeighbour: 4})
	p.AddNeighbour(host(1), false, false)
	p.NeighbourHeld(host(1), ext(0, 100))
	p.Want(ext(0, 100), pieces.Fill)
	p.Want(ext(50, 52), pieces.Demand)
	reqs := p.Next(t0)
	require.Len(t, reqs, 4)
	require.Equal(t, pieces.Demand, reqs[0].Class)
	require.Equal(t, ext(50, 51), reqs[0].Extent)
	require.Equal(t, ext(51, 52), reqs[1].Extent)
	require.Equal(t, pieces.Fill, reqs[2].Class)
	require.Empty(t, p.Next(t0), "all slots are taken")
}

// A window goes in order for a reader that is alone; in a crowd, whose windows are
// the same, a seed's children carry off different pieces.
func TestAWindowInACrowdIsShared(t *testing.T) {
	first := func(crowd bool) map[int]bool {
		drawn := map[int]bool{}
		for seed := range uint64(20) {
			g, err := pieces.GeometryOf(100 * pieces.MinPieceSize)
			require.NoError(t, err)
			p := New(g, &pieces.Set{}, Config{}, rand.New(rand.NewPCG(seed, 2)))
			p.Verifiable(g.All())
			p.AddNeighbour(host(1), true, true)
			p.NeighbourHeld(host(1), ext(0, 80))
			p.AddNeighbour(host(2), true, false)
			p.NeighbourHeld(host(2), g.All())
			p.Pause(host(2), pieces.Demand, true)
			if crowd {
				p.AddNeighbour(host(3), true, false)
			}
			p.Want(ext(20, 100), pieces.Window)
			reqs := p.Next(t0)
			require.Len(t, reqs, 2)
			require.Equal(t, pieces.Window, reqs[0].Class)
			drawn[reqs[0].Extent.First] = true
		}
		return drawn
	}
	require.Equal(t, map[int]bool{20: true}, first(false))
	require.Greater(t, len(first(true)), 10)
}

// What nobody gives is still waited for where it is fetched.
func TestAWindowInACrowdWaits(t *testing.T) {
	p := fixture(t, 10, Config{})
	p.AddNeighbour(host(1), true, false)
	p.NeighbourFetching(host(1), ext(0, 4), false)
	p.Want(ext(2, 3), pieces.Window)
	reqs := p.Next(t0)
	require.Len(t, reqs, 1)
	require.True(t, reqs[0].Wait)
}

func TestDemandHasASlotOfItsOwn(t *testing.T) {
	p := fixture(t, 10, Config{PerNeighbour: 2})
	p.AddNeighbour(host(1), false, false)
	p.NeighbourHeld(host(1), ext(0, 10))
	p.Want(ext(0, 10), pieces.Fill)
	require.Len(t, p.Next(t0), 2)
	in := p.Want(ext(0, 10), pieces.Demand)
	require.Len(t, p.Next(t0), 1)
	p.Drop(in)
	require.Empty(t, p.Next(t0))
}

func TestNothingWithoutADigest(t *testing.T) {
	g, _ := pieces.GeometryOf(4 * pieces.MinPieceSize)
	p := New(g, &pieces.Set{}, Config{}, rand.New(rand.NewPCG(1, 2)))
	p.AddNeighbour(host(1), true, false)
	p.NeighbourHeld(host(1), g.All())
	p.Want(g.All(), pieces.Demand)
	require.Empty(t, p.Next(t0))
	p.Verifiable(ext(2, 3))
	reqs := p.Next(t0)
	require.Len(t, reqs, 1)
	require.Equal(t, ext(2, 3), reqs[0].Extent)
}

// Waiting at somebody who may be waiting for us would never end.
func TestWaitsOnlyAtParentsAndLeaseHolders(t *testing.T) {
	p := fixture(t, 4, Config{})
	p.AddNeighbour(host(1), false, false)
	p.NeighbourFetching(host(1), ext(0, 4), false)
	p.Want(ext(0, 2), pieces.Demand)
	require.Empty(t, p.Next(t0))
	require.False(t, p.Nearby(0))

	p.NeighbourFetching(host(1), ext(0, 1), true)
	reqs := p.Next(t0)
	require.Len(t, reqs, 1)
	require.True(t, reqs[0].Wait)
	require.Equal(t, ext(0, 1), reqs[0].Extent)

	p.AddNeighbour(host(1), true, false)
	reqs = p.Next(t0)
	require.Len(t, reqs, 1)
	require.Equal(t, ext(1, 2), reqs[0].Extent)
	p.NeighbourStopped(host(1), ext(0, 4))
	require.False(t, p.Nearby(0))
}

func TestFillNeverWaits(t *testing.T) {
	p := fixture(t, 4, Config{})
	p.AddNeighbour(host(1), true, true)
	p.NeighbourFetching(host(1), ext(0, 4), true)
	p.Want(ext(0, 4), pieces.Fill)
	require.Empty(t, p.Next(t0))
	p.NeighbourHeld(host(1), ext(3, 4))
	require.Len(t, p.Next(t0), 1)
}

func TestRequestsGrowWithTheRate(t *testing.T) {
	p := fixture(t, 256, Config{MaxRequests: 1, PerNeighbour: 1})
	p.AddNeighbour(host(1), false, false)
	p.NeighbourHeld(host(1), ext(0, 200))
	p.Want(ext(0, 200), pieces.Window)
	r := p.Next(t0)[0]
	require.Equal(t, 1, r.Extent.Len(), "one piece while the rate is unknown")
	p.Held(r.Extent.First)
	// 100 MiB/s: 20 ms are 2 MiB, eight pieces.
	p.Done(r, 1<<20, 10*time.Millisecond)
	require.Equal(t, 8, p.Next(t0)[0].Extent.Len())
}

func TestSeedGivesDifferentChildrenDifferentPieces(t *testing.T) {
	firsts := map[int]bool{}
	for seed := range uint64(16) {
		g, _ := pieces.GeometryOf(1000 * pieces.MinPieceSize)
		p := New(g, &pieces.Set{}, Config{MaxRequests: 1}, rand.New(rand.NewPCG(seed, 1)))
		p.Verifiable(g.All())
		p.AddNeighbour(host(1), true, true)
		p.NeighbourHeld(host(1), g.All())
		p.Want(g.All(), pieces.Fill)
		firsts[p.Next(t0)[0].Extent.First] = true
	}
	require.Greater(t, len(firsts), 12)
}

func TestPausedAndRemovedNeighboursAreLeftAlone(t *testing.T) {
	p := fixture(t, 4, Config{})
	p.AddNeighbour(host(1), false, false)
	p.NeighbourHeld(host(1), ext(0, 4))
	p.Want(ext(0, 4), pieces.Fill)
	p.Pause(host(1), pieces.Fill, true)
	require.Empty(t, p.Next(t0))
	in := p.Want(ext(0, 1), pieces.Demand)
	require.Len(t, p.Next(t0), 1, "it may have a slot for a reader")
	p.Drop(in)
	p.Pause(host(1), pieces.Fill, false)
	reqs := p.Next(t0)
	require.NotEmpty(t, reqs)
	p.RemoveNeighbour(host(1))
	require.False(t, p.HeldNearby(0))
	for _, r := range reqs {
		p.Done(r, 0, 0)
	}
	require.Empty(t, p.Next(t0))
}

// TestRandomRuns drives pickers through random events and checks what must
// always hold: no piece is in flight twice but as a hedge, limits are kept, and everything
// wanted that somebody holds arrives in the end.
func TestRandomRuns(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		n := 1 + r.IntN(60)
		cfg := Config{MaxRequests: 1 + r.IntN(8), PerNeighbour: 1 + r.IntN(3)}
		g, _ := pieces.GeometryOf(int64(n)*pieces.MinPieceSize - int64(r.IntN(1000)))
		p := New(g, &pieces.Set{}, cfg, r)
		p.Verifiable(g.All())
		for h := range 1 + r.IntN(6) {
			p.AddNeighbour(host(byte(h)), r.IntN(2) == 0, h == 0)
		}
		p.NeighbourHeld(host(0), g.All())
		p.Want(g.All(), pieces.Class(r.IntN(pieces.Classes)))
		flying := map[Request]bool{}
		held := &pieces.Set{}
		for step := 0; held.Count() < n; step++ {
			require.Less(t, step, 100*n+1000, "seed %d: no progress", seed)
			for _, q := range p.Next(t0) {
				require.True(t, g.Contains(q.Extent))
				for f := range flying {
					if q.Hedge {
						require.False(t, f.Host == q.Host && f.Extent.Has(q.Extent.First), "seed %d: hedged at the same host", seed)
						continue
					}
					require.True(t, f.Extent.Intersect(q.Extent).Empty(), "seed %d: piece asked twice", seed)
				}
				for i := range q.Extent.All() {
					require.False(t, held.Has(i))
				}
				flying[q] = true
			}
			require.LessOrEqual(t, len(flying), 4*cfg.MaxRequests)
			require.LessOrEqual(t, p.flights.prompt(), 2*cfg.MaxRequests)
			id := host(byte(r.IntN(len(p.neighbours))))
			e := ext(r.IntN(n), n)
			switch r.IntN(7) {
			case 0:
				p.NeighbourHeld(id, e)
			case 1:
				if id != host(0) {
					p.NeighbourLost(id, e)
				}
			case 2:
				p.NeighbourFetching(id, e, r.IntN(2) == 0)
			case 3:
				for q := range flying {
					p.Late(q.ID)
					break
				}
			}
			for q := range flying {
				if r.IntN(2) == 0 {
					continue
				}
				delete(flying, q)
				var bytes int64
				if r.IntN(4) > 0 {
					for i := range q.Extent.All() {
						held.Add(i)
						p.Held(i)
						bytes += g.Len(i)
					}
				}
				p.Done(q, bytes, time.Millisecond)
			}
		}
		for q := range flying {
			p.Done(q, 0, 0)
		}
		require.Empty(t, p.flights.open)
		require.Zero(t, p.flights.flying.count())
	}
}

// Along an access order pieces lie apart, so each is a request of its own: one
// neighbour gets many at once, but demand and a window still find their places.
func TestOrderUsesOneNeighbourMoreAndStandsInNobodysWay(t *testing.T) {
	p := New(pieces.Geometry{Size: 64 << 20, PieceSize: 256 << 10}, &pieces.Set{}, Config{}, rand.New(rand.NewPCG(1, 1)))
	p.Verifiable(pieces.Extent{First: 0, End: 256})
	p.AddNeighbour("a", true, false)
	p.NeighbourHeld("a", pieces.Extent{First: 0, End: 256})
	for i := range 20 {
		p.Want(pieces.Extent{First: 100 + 2*i, End: 101 + 2*i}, pieces.Order)
	}
	require.Len(t, p.Next(t0), 8)
	p.Want(pieces.Extent{First: 0, End: 1}, pieces.Demand)
	p.Want(pieces.Extent{First: 10, End: 11}, pieces.Window)
	var got []pieces.Class
	for _, r := range p.Next(t0) {
		got = append(got, r.Class)
	}
	require.Equal(t, []pieces.Class{pieces.Demand, pieces.Window}, got)
}
