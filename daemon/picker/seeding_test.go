package picker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// seedFixture is a policy over 100 pieces, a clock, and what children hold.
type seedFixture struct {
	*Seeding
	now  time.Time
	held *pieces.Set
}

func newSeedFixture() *seedFixture {
	g, _ := pieces.GeometryOf(100 * pieces.MinPieceSize)
	return &seedFixture{NewSeeding(g, SeedingConfig{}), time.Unix(1000, 0), &pieces.Set{}}
}

func (f *seedFixture) ask(child byte, first, end int, urgent bool) bool {
	v, again := f.Ask(f.now, host(child), ext(first, end), urgent, false, 10*time.Second, f.held.Has)
	if v != Granted && (again <= 0 || again > time.Second) {
		panic("the retry is not within a tenth of the expected time")
	}
	return v == Granted
}

func TestOneChildHasNoLimit(t *testing.T) {
	f := newSeedFixture()
	for range 5 {
		require.True(t, f.ask(1, 0, 50, false))
	}
}

func TestEachPieceGoesToOneChildFirst(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	require.False(t, f.ask(2, 0, 10, false))
	require.True(t, f.ask(2, 10, 20, false), "what was not sent yet")
	require.True(t, f.ask(1, 0, 10, false), "the same child may ask again")
	f.held.AddExtent(ext(0, 10))
	require.False(t, f.ask(2, 0, 10, false), "another child has it by now")
}

func TestDemandIsServed(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	require.True(t, f.ask(2, 0, 10, true))
}

func TestAFewMayRepeat(t *testing.T) {
	f := newSeedFixture()
	f.ask(2, 99, 100, false)
	require.True(t, f.ask(1, 0, 50, false))
	repeated := 0
	for i := range 50 {
		if f.ask(2, i, i+1, false) {
			repeated++
		}
	}
	require.InDelta(t, 3, repeated, 1, "a twentieth of 53 pieces sent")
}

func TestWhatDidNotArriveOpensAgain(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	require.False(t, f.ask(2, 0, 10, false))
	to, ok := f.First(3)
	require.True(t, ok)
	require.Equal(t, host(1), to)
	for range 3 { // new wants go on
		f.now = f.now.Add(400 * time.Millisecond)
		f.ask(2, 50, 51, false)
	}
	require.False(t, f.ask(2, 0, 10, false), "it is being sent yet")
	f.Sent(f.now, host(1), ext(0, 10))
	require.False(t, f.ask(2, 0, 10, false))
	f.now = f.now.Add(1100 * time.Millisecond)
	require.True(t, f.ask(2, 0, 10, false))
	require.False(t, f.ask(3, 0, 10, false), "it went to the second child now")
}

func TestRepeatsAreFreeOnceNothingNewIsWanted(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	f.held.AddExtent(ext(0, 10))
	require.False(t, f.ask(2, 0, 10, false))
	f.now = f.now.Add(600 * time.Millisecond)
	require.True(t, f.ask(2, 0, 10, false))
}

func TestAChildThatLeftGivesItsPiecesBack(t *testing.T) {
	f := newSeedFixture()
	require.True(t, f.ask(1, 0, 10, false))
	require.True(t, f.ask(3, 20, 30, false))
	f.Gone(host(1))
	require.True(t, f.ask(2, 0, 10, false))
}

func TestDeferredPiecesAreAskedByDemandOnly(t *testing.T) {
	p := fixture(t, 4, Config{})
	p.AddNeighbour(host(1), true, true)
	p.NeighbourHeld(host(1), ext(0, 4))
	p.Defer(host(1), ext(0, 4), true)
	in := p.Want(ext(0, 4), pieces.Fill)
	require.Empty(t, p.Next(t0))
	p.Drop(in)
	p.Want(ext(0, 4), pieces.Window)
	require.Empty(t, p.Next(t0))
	require.True(t, p.Nearby(0), "nothing to ask the scheduler for")
	p.Want(ext(2, 3), pieces.Demand)
	require.Len(t, p.Next(t0), 1)
	p.Defer(host(1), ext(0, 4), false)
	require.NotEmpty(t, p.Next(t0))
}
