package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/picker"
	"damselfly/daemon/upload"
	"damselfly/pieces"
)

// What a seed was asked for and does not hold was not sent: the next child is not
// led to the one that got nothing.
func TestARefusedAnswerWasNotSent(t *testing.T) {
	geo, err := pieces.GeometryOf(4 * pieces.MinPieceSize)
	require.NoError(t, err)
	c := &Content{
		geo: geo, public: true, ctx: context.Background(), pins: 1, held: &pieces.Set{},
		pick:    picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
		seeding: picker.NewSeeding(geo, picker.SeedingConfig{}),
	}
	e := &Engine{contents: map[pieces.Key]*Content{c.key: c}}
	c.e = e
	for _, child := range []pieces.HostID{"a", "b"} {
		_, err := e.Open(t.Context(), upload.Request{Asker: child, N: pieces.MinPieceSize})
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "%v", err)
		_, given := c.seeding.First(0)
		require.False(t, given)
	}
}

// While children near a seed keep it busy, one far away is told so for whatever it
// asks, and a reader there gets it all the same.
func TestWhoIsFarComesAfterWhoIsNear(t *testing.T) {
	geo, err := pieces.GeometryOf(8 * pieces.MinPieceSize)
	require.NoError(t, err)
	all := &pieces.Set{}
	all.AddExtent(geo.All())
	c := &Content{
		geo: geo, public: true, ctx: context.Background(), pins: 1, held: all,
		pick:    picker.New(geo, all, picker.Config{}, newRand()),
		seeding: picker.NewSeeding(geo, picker.SeedingConfig{NearFirst: 2}),
		neighbours: map[pieces.HostID]*neighbour{
			"near": {host: pieces.Host{ID: "near", IDC: "a"}},
			"far":  {host: pieces.Host{ID: "far", IDC: "b"}},
		},
	}
	e := &Engine{contents: map[pieces.Key]*Content{c.key: c}}
	e.o.Host.IDC = "a"
	c.e = e
	open := func(child pieces.HostID, i int64, urgent bool) error {
		_, err := e.Open(t.Context(), upload.Request{Asker: child, Off: i * pieces.MinPieceSize, N: pieces.MinPieceSize, Urgent: urgent})
		return err
	}
	require.NoError(t, open("near", 0, false))
	require.NoError(t, open("near", 1, false))
	err = open("far", 2, false)
	require.Equal(t, pieces.Throttled, pieces.KindOf(err), "%v", err)
	require.Positive(t, pieces.RetryAfter(err))
	require.NoError(t, open("far", 2, true))
	require.NoError(t, open("near", 3, false))
}
