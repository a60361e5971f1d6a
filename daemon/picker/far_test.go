package picker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// farFixture is a picker that wants n pieces, with neighbours that hold nothing:
// one near, one far.
type farFixture struct{ *Picker }

var (
	self, nearby, outer, seedHost = host(1), host(2), host(3), host(4)
)

func newFarFixture(n int) farFixture {
	g, _ := pieces.GeometryOf(int64(n) * pieces.MinPieceSize)
	p := New(g, &pieces.Set{}, Config{Self: self, Place: "a"}, rand.New(rand.NewPCG(1, 1)))
	p.Verifiable(g.All())
	p.Want(g.All(), pieces.Fill)
	for _, id := range []pieces.HostID{nearby, outer} {
		p.AddNeighbour(id, false, false)
	}
	p.SetPlace(outer, "b")
	return farFixture{p}
}

// asked returns how many pieces each host is asked for, now.
func (f farFixture) asked(now time.Time) map[pieces.HostID]int {
	m := map[pieces.HostID]int{}
	for _, r := range f.Next(now) {
		m[r.Host] += r.Extent.Len()
	}
	return m
}

func TestWhatANearHostHoldsIsNotAskedForOutside(t *testing.T) {
	f := newFarFixture(100)
	f.NeighbourHeld(nearby, ext(0, 100))
	f.NeighbourHeld(outer, ext(0, 100))
	require.Equal(t, map[pieces.HostID]int{nearby: 2}, f.asked(t0))
}

func TestWhatANearHostFetchesIsWaitedForALittle(t *testing.T) {
	f := newFarFixture(1)
	f.NeighbourHeld(outer, ext(0, 1))
	f.NeighbourFetching(nearby, ext(0, 1), false)
	require.Empty(t, f.asked(t0))
	require.Empty(t, f.asked(t0.Add(499*time.Millisecond)))
	require.Equal(t, map[pieces.HostID]int{outer: 1}, f.asked(t0.Add(500*time.Millisecond)))
}

// The patience begins anew when something was on its way.
func TestPatienceIsForBeingIdle(t *testing.T) {
	f := newFarFixture(2)
	f.NeighbourHeld(outer, ext(0, 1))
	f.NeighbourFetching(nearby, ext(0, 1), false)
	f.NeighbourHeld(nearby, ext(1, 2))
	rs := f.Next(t0)
	require.Len(t, rs, 1)
	require.Empty(t, f.asked(t0.Add(time.Minute)), "another piece is on its way")
	f.Held(1)
	f.Done(rs[0], f.geo.Len(1), time.Second)
	require.Empty(t, f.asked(t0.Add(time.Minute)))
	require.NotEmpty(t, f.asked(t0.Add(61*time.Second)))
}

// Who wanted nothing for long has not waited.
func TestPatienceBeginsWithAWant(t *testing.T) {
	f := newFarFixture(1)
	f.NeighbourHeld(outer, ext(0, 1))
	f.NeighbourFetching(nearby, ext(0, 1), false)
	require.Empty(t, f.asked(t0))
	f.Held(0)
	require.Empty(t, f.asked(t0.Add(time.Second)))
	f.Lost(ext(0, 1))
	require.Empty(t, f.asked(t0.Add(time.Minute)))
	require.NotEmpty(t, f.asked(t0.Add(time.Minute+500*time.Millisecond)))
}

func TestAReaderGoesAnywhere(t *testing.T) {
	f := newFarFixture(1)
	f.NeighbourHeld(outer, ext(0, 1))
	f.NeighbourFetching(nearby, ext(0, 1), false)
	f.Want(ext(0, 1), pieces.Demand)
	require.Equal(t, map[pieces.HostID]int{outer: 1}, f.asked(t0))
	for c := pieces.Window; c < pieces.Fill; c++ {
		f := newFarFixture(1)
		f.NeighbourHeld(outer, ext(0, 1))
		f.NeighbourFetching(nearby, ext(0, 1), false)
		f.Want(ext(0, 1), c)
		require.Empty(t, f.asked(t0), c)
	}
}

// A host alone in its data centre takes everything from outside, at once.
func TestNobodyNear(t *testing.T) {
	f := newFarFixture(100)
	f.RemoveNeighbour(nearby)
	f.NeighbourHeld(outer, ext(0, 100))
	f.AddNeighbour(seedHost, false, true)
	f.SetPlace(seedHost, "b")
	f.NeighbourHeld(seedHost, ext(0, 100))
	require.Equal(t, map[pieces.HostID]int{outer: 2}, f.asked(t0), "a far seed is not asked for what another one holds")
}

func TestAFarSeedGivesWhatNobodyElseHolds(t *testing.T) {
	f := newFarFixture(100)
	f.AddNeighbour(seedHost, true, true)
	f.SetPlace(seedHost, "b")
	f.NeighbourHeld(seedHost, ext(0, 100))
	f.NeighbourHeld(outer, ext(0, 99))
	rs := f.Next(t0)
	for _, r := range rs {
		if r.Host == seedHost {
			require.Equal(t, ext(99, 100), r.Extent)
		}
	}
}

// Near a seed, what a far host holds was sent there first.
func TestANearSeedGaveItAway(t *testing.T) {
	f := newFarFixture(1)
	f.AddNeighbour(seedHost, true, true)
	f.NeighbourHeld(seedHost, ext(0, 1))
	f.Pause(seedHost, pieces.Fill, true)
	require.Empty(t, f.asked(t0))
	f.NeighbourHeld(outer, ext(0, 1))
	f.asked(t0.Add(50 * time.Millisecond))
	require.Equal(t, map[pieces.HostID]int{outer: 1}, f.asked(t0.Add(100*time.Millisecond)))
}

// Of hosts that know each other each piece is the turn of exactly one, and the
// turns are shared about evenly.
func TestEachPieceIsOneHostsTurn(t *testing.T) {
	const n, hosts = 4096, 5
	g, _ := pieces.GeometryOf(n * pieces.MinPieceSize)
	turns := make([]int, n)
	for i := range byte(hosts) {
		p := New(g, &pieces.Set{}, Config{Self: host(i), Place: "a"}, rand.New(rand.NewPCG(1, 1)))
		for j := range byte(hosts + 1) {
			if i != j {
				p.AddNeighbour(host(j), false, false)
			}
		}
		p.SetPlace(host(hosts), "b")
		mine := p.turn()
		require.InDelta(t, n/hosts, mine.count(), n/hosts/5)
		for k := range n {
			if mine.has(k) {
				turns[k]++
			}
		}
	}
	for k := range n {
		require.Equal(t, 1, turns[k], k)
	}
}

// A seed has no turns: who becomes one leaves them to others.
func TestTurnsOfWhoBecomesASeed(t *testing.T) {
	f := newFarFixture(64)
	require.Less(t, f.turn().count(), 64)
	f.AddNeighbour(nearby, false, true)
	require.Equal(t, 64, f.turn().count())
}

// With all places taken, as mostly, Next does not look through what neighbours have.
func TestWhatIsOutsideIsLookedAtOnlyToAsk(t *testing.T) {
	f := newFarFixture(1024)
	f.NeighbourHeld(nearby, ext(0, 1024))
	f.NeighbourHeld(outer, ext(0, 1024))
	f.cfg.MaxRequests = 2
	require.NotEmpty(t, f.Next(t0))
	require.Zero(t, testing.AllocsPerRun(10, func() { f.Next(t0) }))
}

// Whose turn it is not asks for little outside.
func TestOutOfTurnLittleIsTaken(t *testing.T) {
	f := newFarFixture(64)
	for k := range byte(3) {
		f.AddNeighbour(host(10+k), false, false)
		f.SetPlace(host(10+k), "b")
	}
	f.turn()
	for i := range 64 {
		if !f.mine.has(i) {
			for k := range byte(3) {
				f.NeighbourHeld(host(10+k), ext(i, i+1))
			}
		}
	}
	total := 0
	for _, n := range f.asked(t0) {
		total += n
	}
	require.Zero(t, total, "it is left to whose turn it is")
	for _, n := range f.asked(t0.Add(50 * time.Millisecond)) {
		total += n
	}
	require.Equal(t, 2, total, "FarRequests")
}

// Of what is left by whose turn it is, a host takes what is its turn next.
func TestOutOfTurnTheNextComesFirst(t *testing.T) {
	f := newFarFixture(256)
	f.AddNeighbour(host(20), false, false)
	f.turn()
	for i := range 256 {
		if !f.mine.has(i) {
			f.NeighbourHeld(outer, ext(i, i+1))
		}
	}
	require.Empty(t, f.asked(t0))
	require.Empty(t, f.asked(t0.Add(49*time.Millisecond)))
	rs := f.Next(t0.Add(50 * time.Millisecond))
	require.Len(t, rs, 2)
	for _, r := range rs {
		require.True(t, f.next.has(r.Extent.First))
	}
}

// What is late from another data centre is not asked for a second time, but by a
// reader.
func TestWhatComesFromOutsideComesOnce(t *testing.T) {
	f := newFarFixture(1)
	f.AddNeighbour(host(20), false, false)
	f.SetPlace(host(20), "b")
	f.turn()
	f.mine.add(0)
	f.NeighbourHeld(outer, ext(0, 1))
	f.NeighbourHeld(host(20), ext(0, 1))
	rs := f.Next(t0)
	require.Len(t, rs, 1)
	require.True(t, f.Late(rs[0].ID))
	require.Empty(t, f.Next(t0))
	f.Want(ext(0, 1), pieces.Demand)
	again := f.Next(t0)
	require.Len(t, again, 1)
	require.True(t, again[0].Hedge)
}

// Whatever happens, nothing is asked of a far host by class fill that a near one
// holds or fetches, unless the host has idled.
func TestFarRequestsAreNeverNeedless(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		const n, hosts = 80, 8
		g, _ := pieces.GeometryOf(n * pieces.MinPieceSize)
		p := New(g, &pieces.Set{}, Config{Self: self, Place: "a", FarPatience: time.Hour}, r)
		p.Verifiable(g.All())
		p.Want(g.All(), pieces.Fill)
		home := map[int]map[int]bool{} // by host, if near
		var open []Request
		for range 300 {
			k, i := r.IntN(hosts), r.IntN(n)
			id := host(byte(100 + k))
			switch r.IntN(7) {
			case 0:
				far := r.IntN(2) == 0
				if p.neighbours[id] == nil {
					p.AddNeighbour(id, r.IntN(2) == 0, false)
					p.SetPlace(id, map[bool]string{true: "b", false: "a"}[far])
					if !far {
						home[k] = map[int]bool{}
					}
				} else if r.IntN(4) == 0 {
					p.RemoveNeighbour(id)
					delete(home, k)
				}
			case 1, 2:
				if p.neighbours[id] != nil {
					p.NeighbourHeld(id, ext(i, i+1))
					if home[k] != nil {
						home[k][i] = true
					}
				}
			case 3:
				if p.neighbours[id] != nil && home[k] != nil && !home[k][i] {
					p.NeighbourFetching(id, ext(i, i+1), false)
					home[k][i] = true
				}
			case 4:
				if len(open) > 0 {
					p.Done(open[0], 0, time.Second)
					open = open[1:]
				}
			default:
				for _, q := range p.Next(t0) {
					open = append(open, q)
					if !p.neighbours[q.Host].far {
						continue
					}
					for x := range q.Extent.All() {
						for k, h := range home {
							require.False(t, h[x], "piece %d was asked for outside, and host %d has it", x, k)
						}
					}
				}
			}
		}
		fars := 0
		for _, o := range p.neighbours {
			if o.far {
				fars++
			}
		}
		require.Equal(t, fars, p.fars)
	}
}

func TestASeedServesItsDataCentreFirst(t *testing.T) {
	f := newSeedFixture()
	ask := func(child byte, i int, far bool) Verdict {
		v, _ := f.Ask(f.now, host(child), ext(i, i+1), false, far, 10*time.Second, f.held.Has)
		return v
	}
	for i := range 4 {
		require.Equal(t, Granted, ask(1, i, false))
	}
	require.Equal(t, Later, ask(2, 10, true), "four answers keep the uplink busy")
	require.Equal(t, Granted, ask(3, 11, false))
	f.Sent(f.now, host(1), ext(0, 1))
	require.Equal(t, Later, ask(2, 10, true))
	f.Sent(f.now, host(1), ext(1, 2))
	require.Equal(t, Granted, ask(2, 10, true), "there is room for others")
	require.Equal(t, Later, ask(2, 12, true), "whoever is answered keeps it busy")
	f.now = f.now.Add(501 * time.Millisecond)
	require.Equal(t, Granted, ask(2, 12, true), "nobody nearby wants anything new")
	require.Equal(t, Granted, ask(1, 13, false))
	require.Equal(t, Later, ask(2, 14, true))
	f.now = f.now.Add(2 * time.Second)
	require.Equal(t, Granted, ask(1, 15, false))
	require.Equal(t, Granted, ask(2, 14, true), "what takes that long keeps nothing busy")
}

// An answer of which nothing was sent opens its pieces at once, and does not count.
func TestUnsentPiecesOpenAtOnce(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	require.False(t, f.ask(2, 0, 10, false))
	f.Unsent(host(1), ext(0, 10))
	require.Zero(t, f.total)
	require.True(t, f.ask(2, 0, 10, false))
}
