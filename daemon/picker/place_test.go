package picker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// inPlace is a picker in a data centre that wants n pieces, far from a seed in "s"
// beside a host there, with hosts in two more data centres.
func inPlace(n int, place string) *Picker {
	g, _ := pieces.GeometryOf(int64(n) * pieces.MinPieceSize)
	p := New(g, &pieces.Set{}, Config{Self: self, Place: place, MaxRequests: n, PerNeighbour: n}, rand.New(rand.NewPCG(1, 1)))
	p.Verifiable(g.All())
	p.Want(g.All(), pieces.Fill)
	p.AddNeighbour(seedHost, true, true)
	p.SetPlace(seedHost, "s")
	for id, at := range map[pieces.HostID]string{host(10): "s", host(11): "a", host(12): "b", host(13): "c"} {
		if at != place { // it is alone in its own
			p.AddNeighbour(id, false, false)
			p.SetPlace(id, at)
		}
	}
	return p
}

// Each piece is brought out of the seed's data centre by exactly one of the others,
// which share them about evenly.
func TestEachPieceIsOneDataCentresTurn(t *testing.T) {
	const n = 3000
	took := make([]int, n)
	for _, place := range []string{"a", "b", "c"} {
		p := inPlace(n, place)
		p.NeighbourHeld(host(10), ext(0, n))
		count := 0
		for _, r := range p.Next(t0) {
			require.Equal(t, host(10), r.Host)
			for i := range r.Extent.All() {
				took[i]++
				count++
			}
		}
		require.InDelta(t, n/3, count, n/10)
	}
	for i := range took {
		require.Equal(t, 1, took[i], i)
	}
}

// What another data centre brought is taken there, whosever turn it was; a host at
// the seed's, and the seed, are asked for what is ours alone.
func TestWhatAnotherDataCentreHasIsTakenThere(t *testing.T) {
	const n = 300
	p := inPlace(n, "a")
	p.NeighbourHeld(seedHost, ext(0, n))
	p.NeighbourHeld(host(10), ext(0, n/2))
	p.NeighbourHeld(host(12), ext(0, n/3))
	p.takeTurns()
	ours := p.imports
	for _, r := range p.Next(t0) {
		for i := range r.Extent.All() {
			switch {
			case i < n/3:
				require.Equal(t, host(12), r.Host)
			case i < n/2:
				require.Equal(t, host(10), r.Host)
				require.True(t, ours.has(i))
			default:
				require.Equal(t, seedHost, r.Host)
				require.True(t, ours.has(i))
			}
		}
	}
}

// What a data centre does not bring is taken by others after a while, one by one, and
// by readers at once.
func TestADataCentreThatBringsNothingHoldsNobodyUp(t *testing.T) {
	const n = 30
	p := inPlace(n, "a")
	p.NeighbourHeld(host(10), ext(0, n))
	ours := p.placeTurns().count()
	require.Len(t, p.Next(t0), ours)
	require.Empty(t, p.Next(t0.Add(time.Hour)), "with much under way outside nothing is taken out of turn")
	p = inPlace(n, "a")
	for i := range n {
		if !p.placeTurns().has(i) {
			p.NeighbourHeld(host(10), ext(i, i+1))
		}
	}
	now := t0
	require.Empty(t, p.Next(now))
	for left := n - ours; left > 0; left-- {
		now = now.Add(50 * time.Millisecond)
		rs := p.Next(now)
		require.Len(t, rs, 1)
		p.Held(rs[0].Extent.First)
		p.Done(rs[0], p.geo.Len(0), time.Millisecond)
	}

	p = inPlace(n, "a")
	p.NeighbourHeld(host(10), ext(0, n))
	p.Want(ext(0, n), pieces.Demand)
	require.Len(t, p.Next(t0), n)
}

// Without a far seed there are no turns of data centres, nor for who names none.
func TestNoTurnsWithoutAFarSeed(t *testing.T) {
	p := inPlace(100, "a")
	p.RemoveNeighbour(seedHost)
	p.NeighbourHeld(host(10), ext(0, 100))
	taken := 0
	for _, r := range p.Next(t0) {
		taken += r.Extent.Len()
	}
	require.Equal(t, 100, taken)
	require.Zero(t, inPlace(100, "").fars)
}
