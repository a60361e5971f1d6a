package picker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestNewsFollowTheExpectedTime(t *testing.T) {
	def := News{}.withDefaults()
	for expected, want := range map[time.Duration]time.Duration{
		time.Second: 5 * time.Millisecond, 10 * time.Second: 10 * time.Millisecond, time.Hour: 25 * time.Millisecond,
	} {
		require.Equal(t, want, def.of(expected, 0, 1000), "who has nothing to choose from")
		if expected < ampleFrom {
			require.Equal(t, want, def.of(expected, 1000, 1000), "it is over soon")
		} else {
			require.Equal(t, 8*want, def.of(expected, 1000, 1000), "who has everything to choose from")
		}
	}
	require.Equal(t, 50*time.Millisecond, News{Min: 50 * time.Millisecond}.withDefaults().of(time.Hour, 0, 1))
	require.Equal(t, 20*time.Millisecond, News{Factor: 0.01}.withDefaults().of(2*time.Second, 0, 1))
	// A piece a tenth of a second: four of them are a tenth of a second.
	require.Equal(t, 100*time.Millisecond, def.of(100*time.Second, 4, 1000))
}

func TestPatienceIsForThoseWithAChoice(t *testing.T) {
	geo, err := pieces.GeometryOf(1000 * pieces.MinPieceSize)
	require.NoError(t, err)
	held := &pieces.Set{}
	held.AddExtent(pieces.Extent{First: 0, End: 100})
	p := New(geo, held, Config{}, rand.New(rand.NewPCG(1, 1)))
	p.AddNeighbour("n", false, false)
	const expected = 20 * time.Second
	most := 160 * time.Millisecond
	require.Equal(t, most, p.Patience("n", expected), "it lacks a hundred")
	p.NeighbourHeld("n", pieces.Extent{First: 2, End: 300})
	require.Equal(t, 20*time.Millisecond, p.Patience("n", expected), "it lacks two")
	p.NeighbourLost("n", pieces.Extent{First: 10, End: 18})
	require.Equal(t, 50*time.Millisecond, p.Patience("n", expected), "it lacks ten")
	p.NeighbourHeld("n", geo.All())
	require.Equal(t, most, p.Patience("n", expected), "it lacks nothing at all")
	require.Equal(t, 20*time.Millisecond, p.Patience("unknown", expected))
}
