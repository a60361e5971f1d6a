package engine

import (
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon/picker"
	"damselfly/pieces"
)

// Who holds the only piece has no news for anybody; who still fetches it has, and
// who holds one of many.
func TestStreamsAreForNews(t *testing.T) {
	for size, wants := range map[int64]bool{pieces.MinPieceSize: false, pieces.MinPieceSize + 1: true} {
		geo, err := pieces.GeometryOf(size)
		require.NoError(t, err)
		c := &Content{geo: geo}
		require.Equal(t, wants, c.hasNews(true))
		require.True(t, c.hasNews(false))
	}
}

// A neighbour stays a source when one of the two has too many streams.
func TestTooManyStreamsCostNoSource(t *testing.T) {
	geo, err := pieces.GeometryOf(3 * pieces.MinPieceSize)
	require.NoError(t, err)
	c := &Content{
		geo: geo, closed: true, held: &pieces.Set{}, pick: picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
		neighbours: map[pieces.HostID]*neighbour{}, log: logrus.NewEntry(logrus.New()),
	}
	host := pieces.Host{ID: pieces.NewHostID([16]byte{7})}
	n := &neighbour{host: host, wants: &pieces.Set{}}
	c.neighbours[host.ID] = n
	c.pick.AddNeighbour(host.ID, true, false)
	c.pick.NeighbourHeld(host.ID, geo.All())
	c.parted(n, false, pieces.Errorf(pieces.Full, "over 4096 neighbour streams"))
	require.True(t, c.pick.Claims(host.ID, geo.All()))
	require.False(t, c.isBlocked(host.ID))
	c.parted(n, true, nil)
	require.False(t, c.pick.Claims(host.ID, geo.All()), "but not when it ended a stream")
}
