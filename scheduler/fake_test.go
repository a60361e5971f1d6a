package scheduler

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// running is a scheduler on a real port.
type running struct {
	*Server
	addr string
	stop func()
}

func startServer(t *testing.T, o Options) *running {
	t.Helper()
	return startServerAt(t, "127.0.0.1:0", o)
}

func startServerAt(t *testing.T, addr string, o Options) *running {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	if o.Advertise == "" {
		o.Advertise = lis.Addr().String()
	}
	o.Registry = prometheus.NewRegistry()
	s, err := New(o)
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{})
	s.Register(srv)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(ctx, lis) }()
	go func() { done <- s.Run(ctx) }()
	stopped := false
	r := &running{s, lis.Addr().String(), func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, <-done)
		}
	}}
	t.Cleanup(r.stop)
	return r
}

// fakeDaemon is one host: it calls, and keeps what its stream brings.
type fakeDaemon struct {
	t      *testing.T
	host   pieces.Host
	rpc    schedulerpb.SchedulerClient
	stream schedulerpb.Scheduler_ReportPieceResultClient
	hangUp context.CancelFunc
	// heard gets every message but heartbeats; closed when the stream ended,
	// for the reason in end.
	heard chan *schedulerpb.SchedulerMessage
	end   *error
	// mute: no more heartbeats.
	mute context.CancelFunc
}

const patience = 5 * time.Second

func newDaemon(t *testing.T, addr string, change ...func(*pieces.Host)) *fakeDaemon {
	t.Helper()
	conn, err := rpc.Dial(addr, rpc.DialOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	var random [16]byte
	_, _ = rand.Read(random[:])
	d := &fakeDaemon{t: t, rpc: schedulerpb.NewSchedulerClient(conn), host: pieces.Host{
		ID: pieces.NewHostID(random), Hostname: "host", IP: "127.0.0.1", PeerPort: 1, UploadPort: 1, UploadSlots: 8,
	}}
	for _, f := range change {
		f(&d.host)
	}
	d.announce()
	return d
}

func (d *fakeDaemon) announce() {
	d.t.Helper()
	_, err := d.rpc.AnnounceHost(d.ctx(), &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(d.host)})
	require.NoError(d.t, err)
}

func (d *fakeDaemon) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	d.t.Cleanup(cancel)
	return ctx
}

// open starts a session and waits for Welcome.
func (d *fakeDaemon) open(beat time.Duration) *fakeDaemon {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d.hangUp = cancel
	d.t.Cleanup(cancel)
	st, err := d.rpc.ReportPieceResult(ctx)
	require.NoError(d.t, err)
	d.stream = st
	d.say(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Hello{Hello: &schedulerpb.Hello{HostId: string(d.host.ID)}}})
	m, err := st.Recv()
	require.NoError(d.t, err)
	require.NotZero(d.t, m.GetWelcome().GetSession())
	heard := make(chan *schedulerpb.SchedulerMessage, 4096)
	end := new(error)
	d.heard, d.end = heard, end
	go func() {
		defer close(heard)
		for {
			m, err := st.Recv()
			if err != nil {
				*end = err
				return
			}
			if m.GetHeartbeat() == nil {
				heard <- m
			}
		}
	}()
	beats, mute := context.WithCancel(ctx)
	d.mute = mute
	go func() {
		for beats.Err() == nil {
			// gRPC allows one sender at a time; tests say things seldom
			// enough that a lock is all it takes.
			d.say(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}})
			select {
			case <-time.After(beat):
			case <-beats.Done():
			}
		}
	}()
	return d
}

func (d *fakeDaemon) say(m *schedulerpb.PeerMessage) {
	sending <- struct{}{}
	defer func() { <-sending }()
	_ = d.stream.Send(m)
}

var sending = make(chan struct{}, 1)

// next waits for the first message that pick takes, dropping the others.
func next[T any](d *fakeDaemon, pick func(*schedulerpb.SchedulerMessage) T) T {
	d.t.Helper()
	var none T
	late := time.After(patience)
	for {
		select {
		case m, ok := <-d.heard:
			if !ok {
				d.t.Fatalf("the stream ended: %v", *d.end)
			}
			if got := pick(m); any(got) != any(none) {
				return got
			}
		case <-late:
			d.t.Fatalf("no %T within %v", none, patience)
		}
	}
}

// ended waits until the stream is over and returns why.
func (d *fakeDaemon) ended() error {
	d.t.Helper()
	late := time.After(patience)
	for {
		select {
		case _, ok := <-d.heard:
			if !ok {
				return *d.end
			}
		case <-late:
			d.t.Fatal("the stream does not end")
		}
	}
}

// content is a public Task with its facts.
type content struct {
	task  *pieces.Task
	facts pieces.Facts
}

func newContent(t *testing.T, url string, count int, filter ...string) content {
	t.Helper()
	task, err := pieces.NewTask(url, pieces.Options{FilterQuery: filter}, nil)
	require.NoError(t, err)
	return content{task, pieces.Facts{
		Size: int64(count) * pieces.MinPieceSize, Ranges: true,
		Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`},
	}}
}

func (c content) version() string { return string(c.facts.VersionID()) }

func (d *fakeDaemon) stat(c content) (*schedulerpb.StatTaskReply, error) {
	return d.rpc.StatTask(d.ctx(), &schedulerpb.StatTaskRequest{HostId: string(d.host.ID), Task: wire.TaskTo(c.task), CanFetch: true})
}

// learn reads the facts for everybody; it fails where a seed is to do that.
func (d *fakeDaemon) learn(c content) {
	d.t.Helper()
	r, err := d.stat(c)
	require.NoError(d.t, err)
	require.NotZero(d.t, r.LeaseId)
	_, err = d.rpc.StatTask(d.ctx(), &schedulerpb.StatTaskRequest{
		HostId: string(d.host.ID), Task: wire.TaskTo(c.task), CanFetch: true, LeaseId: r.LeaseId, Facts: wire.FactsTo(c.facts),
	})
	require.NoError(d.t, err)
}

func (d *fakeDaemon) register(c content) *schedulerpb.RegisterPeerTaskReply {
	d.t.Helper()
	r, err := d.tryRegister(c)
	require.NoError(d.t, err)
	return r
}

func (d *fakeDaemon) tryRegister(c content) (*schedulerpb.RegisterPeerTaskReply, error) {
	return d.rpc.RegisterPeerTask(d.ctx(), &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(d.host.ID), Task: wire.TaskTo(c.task), Version: c.version(), CanFetch: true, Facts: wire.FactsTo(c.facts),
	})
}

func (d *fakeDaemon) peerMessage(c content, body func(*schedulerpb.PeerMessage)) {
	m := &schedulerpb.PeerMessage{Task: string(c.task.ID), Version: c.version()}
	body(m)
	d.say(m)
}

func (d *fakeDaemon) want(c content, first, end int) {
	d.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Body = &schedulerpb.PeerMessage_Want{Want: &schedulerpb.Want{
			Extents: []*commonpb.Extent{{First: uint32(first), End: uint32(end)}}, Class: schedulerpb.Class_FILL,
		}}
	})
}

// held reports pieces read under a lease.
func (d *fakeDaemon) held(c content, e pieces.Extent, lease uint64) {
	run := pieces.SumRun{First: e.First, Setter: d.host.ID}
	for i := range e.All() {
		run.Sums = append(run.Sums, pieces.SumOf([]byte{byte(i)}))
	}
	d.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Body = &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{
			Extents: wire.ExtentsTo([]pieces.Extent{e}), Sums: wire.SumRunsTo([]pieces.SumRun{run}), LeaseId: lease,
		}}
	})
}

// fakeSeed is the Peer service of a seed: it notes who wakes it.
type fakeSeed struct {
	daemonpb.UnimplementedPeerServer
	woken chan *daemonpb.ObtainSeedsRequest
	err   error
}

func (f *fakeSeed) ObtainSeeds(_ context.Context, m *daemonpb.ObtainSeedsRequest) (*daemonpb.ObtainSeedsReply, error) {
	f.woken <- m
	return &daemonpb.ObtainSeedsReply{}, f.err
}

// servePeer serves a fake seed and returns its address.
func servePeer(t *testing.T, f *fakeSeed) *net.TCPAddr {
	t.Helper()
	f.woken = make(chan *daemonpb.ObtainSeedsRequest, 16)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer()
	daemonpb.RegisterPeerServer(srv, f)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return lis.Addr().(*net.TCPAddr)
}
