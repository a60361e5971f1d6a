package exchange

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

var key = pieces.Key{
	Task:    pieces.TaskID("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	Version: pieces.VersionID("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"),
}

// side is a swarm that remembers what it heard.
type side struct {
	geo pieces.Geometry
	// patience is how long news for others are gathered.
	patience time.Duration

	mu     sync.Mutex
	links  []*Link
	held   *pieces.Set
	wants  *pieces.Set
	left   int
	events chan string
}

func newSide() *side {
	g, _ := pieces.GeometryOf(1000 * pieces.MinPieceSize)
	return &side{geo: g, held: &pieces.Set{}, wants: &pieces.Set{}, events: make(chan string, 100)}
}

func (s *side) Key() pieces.Key           { return key }
func (s *side) Geometry() pieces.Geometry { return s.geo }

func (s *side) Patience(pieces.HostID) time.Duration { return s.patience }

func (s *side) Joined(l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, l)
	s.events <- "joined"
}

func (s *side) Heard(_ *Link, d Delta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range d.Held {
		s.held.AddExtent(e)
	}
	for _, e := range d.Lost {
		s.held.RemoveExtent(e)
	}
	for _, e := range d.Wants {
		s.wants.AddExtent(e)
	}
	s.events <- "heard"
}

func (s *side) Left(*Link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left++
	s.events <- "left"
}

func (s *side) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-s.events:
		return e
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing happened")
		return ""
	}
}

func (s *side) link() *Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[0]
}

// Swarm makes a side its own Local.
func (s *side) Swarm(_ context.Context, k pieces.Key) (Swarm, error) {
	if k != key {
		return nil, pieces.Errorf(pieces.NotFound, "no such content")
	}
	return s, nil
}

// node is an exchange served on a port of its own.
func node(t *testing.T, id byte, s *side, o Options) (*Exchange, pieces.Host) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := netip.MustParseAddrPort(lis.Addr().String())
	h := pieces.Host{ID: pieces.NewHostID([16]byte{id}), Hostname: "h", IP: "127.0.0.1", PeerPort: int(addr.Port()), UploadPort: 1}
	o.Local, o.Host = s, func() pieces.Host { return h }
	x := New(o)
	srv := rpc.NewServer(rpc.ServerOptions{})
	daemonpb.RegisterPeerServer(srv, x)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	t.Cleanup(func() {
		x.Close()
		cancel()
		require.NoError(t, <-done)
	})
	return x, h
}

func TestBothSidesHear(t *testing.T) {
	a, b := newSide(), newSide()
	xa, _ := node(t, 1, a, Options{})
	_, hb := node(t, 2, b, Options{})
	xa.Connect(a, hb)
	require.Equal(t, "joined", a.next(t))
	require.Equal(t, "joined", b.next(t))
	require.Equal(t, pieces.NewHostID([16]byte{1}), b.link().Host().ID)

	a.link().Update(Delta{Held: []pieces.Extent{{First: 0, End: 10}}}, false)
	require.Equal(t, "heard", b.next(t))
	require.Equal(t, 10, b.held.Count())
	b.link().Update(Delta{Held: []pieces.Extent{{First: 5, End: 6}}, Wants: []pieces.Extent{{First: 7, End: 9}}}, true)
	require.Equal(t, "heard", a.next(t))
	require.True(t, a.held.Has(5))
	require.Equal(t, 2, a.wants.Count())

	a.link().Close()
	require.Equal(t, "left", a.next(t))
	require.Equal(t, "left", b.next(t))
}

func TestChangesAreGathered(t *testing.T) {
	a, b := newSide(), newSide()
	a.patience = 50 * time.Millisecond
	xa, _ := node(t, 1, a, Options{})
	_, hb := node(t, 2, b, Options{})
	xa.Connect(a, hb)
	a.next(t)
	b.next(t)
	for i := range 500 {
		a.link().Update(Delta{Held: []pieces.Extent{{First: i, End: i + 1}}}, false)
	}
	a.link().Update(Delta{Lost: []pieces.Extent{{First: 3, End: 4}}}, false)
	require.Equal(t, "heard", b.next(t))
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.held.Count() == 499
	}, 5*time.Second, time.Millisecond)
	require.LessOrEqual(t, len(b.events), 5, "500 updates travel in a few messages")
}

func TestUnknownContentAndDeadHosts(t *testing.T) {
	a, b := newSide(), newSide()
	xa, _ := node(t, 1, a, Options{JoinTimeout: 500 * time.Millisecond})
	_, hb := node(t, 2, b, Options{})

	unknown := newSide()
	xa.Connect(elsewhere{unknown}, hb)
	require.Equal(t, "left", unknown.next(t))

	other, dead := newSide(), hb
	dead.PeerPort = 1
	xa.Connect(other, dead)
	require.Equal(t, "left", other.next(t))
}

// elsewhere is a side of a content that the other host does not have.
type elsewhere struct{ *side }

func (elsewhere) Key() pieces.Key {
	return pieces.Key{Task: key.Task, Version: "cccccccccccccccccccccccccccccccc"}
}

func TestLimitOfLinks(t *testing.T) {
	a, b := newSide(), newSide()
	xa, _ := node(t, 1, a, Options{MaxLinks: 1})
	_, hb := node(t, 2, b, Options{})
	xa.Connect(a, hb)
	require.Equal(t, "joined", a.next(t))
	xa.Connect(a, hb)
	require.Equal(t, "left", a.next(t))
}
