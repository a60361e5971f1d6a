package picker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// pair is a picker with two neighbours that hold all of n pieces.
func pair(t *testing.T, n int, cfg Config) *Picker {
	p := fixture(t, n, cfg)
	for _, id := range []pieces.HostID{host(1), host(2)} {
		p.AddNeighbour(id, false, false)
		p.NeighbourHeld(id, p.geo.All())
	}
	return p
}

func TestLateDemandIsAskedOfAnother(t *testing.T) {
	p := pair(t, 8, Config{})
	p.Want(ext(3, 4), pieces.Demand)
	first := p.Next(t0)
	require.Len(t, first, 1)
	require.Empty(t, p.Next(t0), "a piece in flight is asked once")

	require.True(t, p.Late(first[0].ID))
	require.False(t, p.Late(first[0].ID), "no news")
	require.Equal(t, 1, p.Overdue(pieces.Demand).Count())
	second := p.Next(t0)
	require.Len(t, second, 1)
	require.True(t, second[0].Hedge)
	require.NotEqual(t, first[0].Host, second[0].Host)
	require.Zero(t, p.Overdue(pieces.Demand).Count(), "someone prompt is at it")
	require.Empty(t, p.Next(t0))

	require.True(t, p.Late(second[0].ID))
	require.Empty(t, p.Next(t0), "nobody else holds it")
	p.AddNeighbour(host(3), false, false)
	p.NeighbourHeld(host(3), ext(3, 4))
	third := p.Next(t0)
	require.Len(t, third, 1, "both are late: a third is asked")
	require.Equal(t, host(3), third[0].Host)

	p.Held(3)
	for _, r := range []Request{first[0], third[0], second[0]} {
		require.True(t, p.Flying(3))
		p.Done(r, 0, time.Second)
	}
	require.False(t, p.Flying(3))
	require.Empty(t, p.flights.many)
}

// A hedge that fails leaves the piece to the late request, and to others.
func TestAFailedHedgeIsReplaced(t *testing.T) {
	p := pair(t, 8, Config{})
	p.Want(ext(0, 1), pieces.Demand)
	first := p.Next(t0)[0]
	p.Late(first.ID)
	hedge := p.Next(t0)[0]
	p.Done(hedge, 0, time.Millisecond)
	p.RemoveNeighbour(hedge.Host)
	require.True(t, p.Flying(0))
	require.Empty(t, p.Next(t0))
	require.Equal(t, 1, p.Overdue(pieces.Demand).Count())
}

func TestFillIsHedgedAtTheEndOnly(t *testing.T) {
	p := pair(t, 40, Config{MaxRequests: 2, PerNeighbour: 4})
	p.Want(p.geo.All(), pieces.Fill)
	first := p.Next(t0)
	require.Len(t, first, 2)
	p.Late(first[0].ID)
	next := p.Next(t0)
	require.Len(t, next, 1, "a late request gives its place back")
	require.False(t, next[0].Hedge)

	for i := range 40 {
		if !first[0].Extent.Has(i) {
			p.Held(i)
		}
	}
	p.Done(first[1], 1, time.Second)
	p.Done(next[0], 1, time.Second)
	last := p.Next(t0)
	require.Len(t, last, 1)
	require.True(t, last[0].Hedge)
	require.NotEqual(t, first[0].Host, last[0].Host)
}

func TestHedgesAreWithinTheirBudget(t *testing.T) {
	const n = 2000
	p := pair(t, n, Config{HedgeBurst: 1})
	var hedged, asked int64
	for i := range n {
		in := p.Want(ext(i, i+1), pieces.Demand)
		r := p.Next(t0)[0]
		asked += p.geo.Len(i)
		p.Late(r.ID)
		for _, h := range p.Next(t0) {
			hedged += p.geo.Len(i)
			p.Done(h, 0, time.Millisecond)
		}
		p.Held(i)
		p.Done(r, p.geo.Len(i), time.Millisecond)
		p.Drop(in)
	}
	require.Positive(t, hedged)
	require.LessOrEqual(t, hedged, asked*2/100+2*p.geo.PieceSize)
	require.Greater(t, hedged, asked*15/1000)
}

// Who was late is asked after those who were not, until it was prompt once.
func TestTheLateComeLast(t *testing.T) {
	p := pair(t, 8, Config{})
	p.Want(ext(0, 1), pieces.Demand)
	slow := p.Next(t0)[0]
	p.Late(slow.ID)
	p.Next(t0)
	p.Held(0)
	p.Done(slow, 0, time.Second)
	for i := 1; i < 6; i++ {
		p.Want(ext(i, i+1), pieces.Demand)
		r := p.Next(t0)[0]
		require.NotEqual(t, slow.Host, r.Host)
		p.Held(i)
		p.Done(r, 1, time.Millisecond)
	}
}
