package engine

import (
	"testing"
	"time"

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

// What comes from another data centre near hosts hear of at once, and they alone.
func TestNearHostsHearAtOnceWhatComesFromFarAway(t *testing.T) {
	c := &Content{e: &Engine{}}
	c.e.o.Host.IDC = "a"
	near, far, nowhere := &neighbour{host: pieces.Host{IDC: "a"}}, &neighbour{host: pieces.Host{IDC: "b"}}, &neighbour{}
	for n, told := range map[*neighbour]bool{near: true, far: false, nowhere: true} {
		require.Equal(t, told, c.hearsAtOnce(true)(n), n.host.IDC)
		require.False(t, c.hearsAtOnce(false)(n), n.host.IDC)
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

// A swarm of more hosts than a content has places for: whom a reader waits for
// gets the place of somebody idle, nobody else does.
func TestAnAwaitedHolderGetsAPlace(t *testing.T) {
	geo, err := pieces.GeometryOf(3 * pieces.MinPieceSize)
	require.NoError(t, err)
	c := &Content{
		geo: geo, held: &pieces.Set{}, pick: picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
		neighbours: map[pieces.HostID]*neighbour{}, log: logrus.NewEntry(logrus.New()), e: &Engine{},
	}
	host := func(i int) pieces.Host { return pieces.Host{ID: pieces.NewHostID([16]byte{1, byte(i)})} }
	parent := c.addNeighbour(host(0), true, false)
	waits := c.addNeighbour(host(1), false, false)
	waits.wants.Add(2)
	for i := 2; i < maxNeighbours; i++ {
		require.NotNil(t, c.addNeighbour(host(i), false, false))
	}
	last := pieces.Holder{Host: host(200), Held: []pieces.Extent{{First: 1, End: 2}}}
	require.Nil(t, c.addNeighbour(last.Host, false, false))
	require.False(t, c.awaited(last), "nobody reads")
	in := c.pick.Want(pieces.Extent{First: 1, End: 2}, pieces.Demand)
	require.True(t, c.awaited(last))
	require.True(t, c.makePlace())
	require.NotNil(t, c.addNeighbour(last.Host, false, false))
	require.Len(t, c.neighbours, maxNeighbours)
	require.Same(t, parent, c.neighbours[host(0).ID])
	require.Same(t, waits, c.neighbours[host(1).ID])
	c.pick.Drop(in)
	require.False(t, c.awaited(last))
}

// Whom a seed sends a reader to becomes a neighbour, if he was none; anybody else
// than a seed is not believed that, and who can't be reached can't be asked.
func TestAReaderGoesWhereASeedSendsIt(t *testing.T) {
	geo, err := pieces.GeometryOf(pieces.MinPieceSize)
	require.NoError(t, err)
	id := func(i int) pieces.HostID { return pieces.NewHostID([16]byte{1, byte(i)}) }
	for _, x := range []struct {
		from pieces.HostType
		ip   string
		goes bool
	}{{pieces.SeedHost, "10.0.0.7", true}, {pieces.SeedHost, "", false}, {pieces.NormalHost, "10.0.0.7", false}} {
		c := &Content{
			geo: geo, held: &pieces.Set{}, pick: picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
			neighbours: map[pieces.HostID]*neighbour{}, points: map[*point]struct{}{}, insist: &pieces.Set{}, log: logrus.NewEntry(logrus.New()), e: &Engine{},
		}
		seed := c.addNeighbour(pieces.Host{ID: id(1), Type: x.from}, true, false)
		c.point(seed, geo.All(), pieces.Host{ID: id(2), IP: x.ip}, time.Hour)
		require.Equal(t, x.goes, c.neighbours[id(2)] != nil)
		require.Equal(t, !x.goes, c.insist.Has(0), "else the seed has to give it")
		require.Len(t, c.points, map[bool]int{true: 1}[x.goes])
		for p := range c.points {
			c.unpoint(p)
		}
	}
}

// News go quickly until it is known how fast the content comes.
func TestNewsGoQuicklyBeforeARateIsKnown(t *testing.T) {
	geo, err := pieces.GeometryOf(1000 * pieces.MinPieceSize)
	require.NoError(t, err)
	held := &pieces.Set{}
	held.AddExtent(geo.All())
	c := &Content{geo: geo, held: held, pick: picker.New(geo, held, picker.Config{}, newRand())}
	host := pieces.NewHostID([16]byte{7})
	c.pick.AddNeighbour(host, false, false)
	require.Equal(t, 5*time.Millisecond, c.Patience(host))
	now := time.Unix(1000, 0)
	c.speed.measure(now, 0)
	c.speed.measure(now.Add(time.Second), geo.Size/20)
	require.Equal(t, 160*time.Millisecond, c.Patience(host), "it has all to choose from, in a content that takes 20 s")
}
