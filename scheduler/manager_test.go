package scheduler

import (
	"cmp"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/daemonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

func counterValue(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, c.Write(&m))
	return m.Counter.GetValue()
}

// fakeManager lists seeds, has a config, and notes who lives and leaves.
type fakeManager struct {
	managerpb.UnimplementedManagerServer
	mu     sync.Mutex
	seeds  []*commonpb.Host
	ring   []string
	config string
	serial uint64
	alive  int
	left   string
	// interval of keep-alives in ms, 0 = 20. pushed is what WatchConfig sends;
	// nil refuses watchers.
	interval uint32
	pushed   chan *managerpb.GetConfigReply
}

func (f *fakeManager) KeepAlive(_ context.Context, m *managerpb.KeepAliveRequest) (*managerpb.KeepAliveReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alive++
	return &managerpb.KeepAliveReply{IntervalMs: cmp.Or(f.interval, 20), ConfigVersion: f.serial}, nil
}

func (f *fakeManager) ListSeedPeers(context.Context, *managerpb.ListSeedPeersRequest) (*managerpb.ListSeedPeersReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &managerpb.ListSeedPeersReply{Hosts: f.seeds}, nil
}

func (f *fakeManager) ListSchedulers(context.Context, *managerpb.ListSchedulersRequest) (*managerpb.ListSchedulersReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &managerpb.ListSchedulersReply{Cluster: "default"}
	for _, addr := range f.ring {
		r.Schedulers = append(r.Schedulers, &managerpb.SchedulerInfo{Address: addr})
	}
	return r, nil
}

func (f *fakeManager) GetConfig(context.Context, *managerpb.GetConfigRequest) (*managerpb.GetConfigReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &managerpb.GetConfigReply{Version: f.serial, Config: f.config}, nil
}

func (f *fakeManager) Leave(_ context.Context, m *managerpb.LeaveRequest) (*managerpb.LeaveReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = m.Address
	return &managerpb.LeaveReply{}, nil
}

func (f *fakeManager) set(serial uint64, config string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serial, f.config = serial, config
}

func serveManager(t *testing.T, f *fakeManager) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer()
	managerpb.RegisterManagerServer(srv, f)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return lis.Addr().String()
}

func TestTheManagerGivesSeedsAndConfig(t *testing.T) {
	seedService := &fakeSeed{}
	at := servePeer(t, seedService)
	f := &fakeManager{serial: 1, config: `{"scheduler":{"candidate_parent_limit":2},"news":1}`}
	seed := pieces.Host{ID: pieces.NewHostID([16]byte{9}), IP: "127.0.0.1", PeerPort: at.Port, UploadPort: 1, Type: pieces.SeedHost}
	f.seeds = []*commonpb.Host{wire.HostTo(seed)}
	s := startServer(t, Options{Managers: []string{"127.0.0.1:1", serveManager(t, f)}})
	limit := func() int { return s.config.Load().swarm.CandidateParentLimit }
	require.Eventually(t, func() bool { return limit() == 2 }, patience, 5*time.Millisecond)

	d := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	d.register(c)
	d.want(c, 0, 2)
	require.Equal(t, c.version(), (<-seedService.woken).Version, "a listed seed is woken though it never announced itself")

	f.set(2, `{"scheduler":{"candidate_parent_limit":0}}`)
	require.Eventually(t, func() bool { return s.config.Load().version == 2 }, patience, 5*time.Millisecond)
	require.Equal(t, 2, limit(), "a config that makes no sense changes nothing")
	f.set(3, `{"blocklist":{"hosts":["`+string(d.host.ID)+`"]}}`)
	require.Eventually(t, func() bool { return s.config.Load().version == 3 }, patience, 5*time.Millisecond)
	require.Equal(t, 4, limit())
	_, err := d.tryRegister(c)
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	require.Error(t, d.ended(), "its session is over too")

	s.stop()
	require.Equal(t, s.addr, f.left)
}

// WatchConfig pushes what set gave.
func (f *fakeManager) WatchConfig(m *managerpb.WatchConfigRequest, stream grpc.ServerStreamingServer[managerpb.GetConfigReply]) error {
	if f.pushed == nil {
		return pieces.Errorf(pieces.Invalid, "an older manager")
	}
	for {
		select {
		case r := <-f.pushed:
			if err := stream.Send(r); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

func TestAPushedConfigIsTakenOverAtOnce(t *testing.T) {
	f := &fakeManager{serial: 1, config: `{}`, pushed: make(chan *managerpb.GetConfigReply, 2)}
	f.interval = 3600_000
	s := startServer(t, Options{Managers: []string{serveManager(t, f)}, KeepAlive: time.Hour})
	f.pushed <- &managerpb.GetConfigReply{Version: 7, Config: `{"scheduler":{"candidate_parent_limit":3}}`}
	f.pushed <- &managerpb.GetConfigReply{Version: 8, Config: `{"scheduler":{"candidate_parent_limit":0}}`}
	require.Eventually(t, func() bool { return s.config.Load().version == 8 }, patience, time.Millisecond)
	require.Equal(t, 3, s.config.Load().swarm.CandidateParentLimit, "a config that makes no sense changes nothing")
}

// TestASeedThatCantBeWoken: the lease moves to the peer at once, without
// waiting for the seed's time to pass.
func TestASeedThatCantBeWoken(t *testing.T) {
	seedService := &fakeSeed{err: pieces.Errorf(pieces.Full, "no")}
	at := servePeer(t, seedService)
	rules := swarm.Defaults()
	rules.SeedWake = time.Hour
	s := startServer(t, Options{SeedPeers: []string{at.String()}, Swarm: &rules})
	require.Eventually(t, func() bool { s.hosts.mu.Lock(); defer s.hosts.mu.Unlock(); return len(s.hosts.fixed) == 1 }, patience, time.Millisecond)
	d := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	d.learn(c)
	d.register(c)
	d.want(c, 0, 2)
	require.Empty(t, (<-seedService.woken).Version)
	require.NotEmpty(t, (<-seedService.woken).Version)
	next(d, getLease)
}

// TestSeedsAreNotWokenForWhatTheyCantRead: filtered parameters never leave the
// host that has them.
func TestSeedsAreNotWokenForWhatTheyCantRead(t *testing.T) {
	seedService := &fakeSeed{}
	at := servePeer(t, seedService)
	s := startServer(t, Options{SeedPeers: []string{at.String()}})
	require.Eventually(t, func() bool { s.hosts.mu.Lock(); defer s.hosts.mu.Unlock(); return len(s.hosts.fixed) == 1 }, patience, time.Millisecond)
	d := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f?sig=1", 2, "sig")
	d.learn(c)
	d.register(c)
	d.want(c, 0, 2)
	next(d, getLease)
	require.Empty(t, seedService.woken)
}

var _ daemonpb.PeerServer = (*fakeSeed)(nil)

// TestABlockedTaskPutsOutWhoIsThere: the blocklist holds for what goes on already.
func TestABlockedTaskPutsOutWhoIsThere(t *testing.T) {
	f := &fakeManager{serial: 1, config: `{}`}
	s := startServer(t, Options{Managers: []string{serveManager(t, f)}})
	d := newDaemon(t, s.addr).open(quick)
	c, other := newContent(t, "http://example.com/f", 2), newContent(t, "http://example.com/g", 2)
	for _, x := range []content{c, other} {
		d.learn(x)
		d.register(x)
	}
	f.set(2, `{"blocklist":{"tasks":["`+string(c.task.ID)+`"]}}`)
	r := next(d, getRejected)
	require.Zero(t, r.RetryAfterMs, "not to come again")
	require.Contains(t, r.Reason, "blocklist")
	_, err := d.tryRegister(c)
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	d.register(other)
	d.want(other, 0, 2)
	next(d, getLease)
}
