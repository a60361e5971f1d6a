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
