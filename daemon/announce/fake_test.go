package announce

import (
	"cmp"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

const (
	beatEvery = 120 * time.Millisecond // three of them are missed on no machine by chance
	soon      = 10 * time.Second       // longer than anything takes
)

// served is a gRPC server that can be killed and come back at its address.
type served struct {
	addr string
	reg  func(*rpc.Server)
	stop func()
}

func (s *served) start(t *testing.T) {
	t.Helper()
	lis, err := net.Listen("tcp", orAny(s.addr))
	require.NoError(t, err)
	s.addr = lis.Addr().String()
	srv := rpc.NewServer(rpc.ServerOptions{StopTimeout: time.Millisecond})
	s.reg(srv)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	var once sync.Once
	s.stop = func() { once.Do(func() { cancel(); srv.Stop(); <-done }) }
	t.Cleanup(s.stop)
}

func orAny(addr string) string {
	if addr == "" {
		return "127.0.0.1:0"
	}
	return addr
}

// fakeScheduler answers as it is told and notes what it hears.
type fakeScheduler struct {
	schedulerpb.UnimplementedSchedulerServer
	served
	muted atomic.Pointer[chan struct{}] // calls and beats stand still until it is closed

	announced chan *schedulerpb.AnnounceHostRequest
	stats     chan *schedulerpb.StatTaskRequest
	registers chan *schedulerpb.RegisterPeerTaskRequest
	results   chan *schedulerpb.ReportPeerResultRequest
	left      chan *schedulerpb.LeaveTaskRequest
	leftHosts chan *schedulerpb.LeaveHostRequest
	sessions  chan *fakeSession

	mu       sync.Mutex
	announce func(*schedulerpb.AnnounceHostRequest) error
	stat     func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error)
	register func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error)
	known    uint32 // items of the inventory, as told
	deaf     bool   // streams greet, then read nothing
}

// fakeSession is one stream: in carries what the host says, beats excluded.
type fakeSession struct {
	host  string
	in    chan *schedulerpb.PeerMessage
	beats atomic.Int64
	out   chan *schedulerpb.SchedulerMessage
	end   func()
	ended <-chan struct{}
}

func newFakeScheduler(t *testing.T) *fakeScheduler {
	t.Helper()
	f := &fakeScheduler{
		announced: make(chan *schedulerpb.AnnounceHostRequest, 1000), stats: make(chan *schedulerpb.StatTaskRequest, 1000),
		registers: make(chan *schedulerpb.RegisterPeerTaskRequest, 1000), results: make(chan *schedulerpb.ReportPeerResultRequest, 1000),
		left: make(chan *schedulerpb.LeaveTaskRequest, 1000), leftHosts: make(chan *schedulerpb.LeaveHostRequest, 1000),
		sessions: make(chan *fakeSession, 1000),
	}
	f.register = func(r *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return registered(bigFacts), nil
	}
	f.reg = func(s *rpc.Server) { schedulerpb.RegisterSchedulerServer(s, f) }
	f.start(t)
	return f
}

func (f *fakeScheduler) mute() {
	ch := make(chan struct{})
	f.muted.Store(&ch)
}

func (f *fakeScheduler) unmute() { close(*f.muted.Swap(nil)) }

func (f *fakeScheduler) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeScheduler) answer(ctx context.Context) error {
	if ch := f.muted.Load(); ch != nil {
		select {
		case <-*ch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *fakeScheduler) AnnounceHost(ctx context.Context, r *schedulerpb.AnnounceHostRequest) (*schedulerpb.AnnounceHostReply, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.announced <- r
	f.mu.Lock()
	do, reply := f.announce, &schedulerpb.AnnounceHostReply{Inventory: f.known}
	f.mu.Unlock()
	if do != nil {
		return reply, do(r)
	}
	return reply, nil
}

func (f *fakeScheduler) StatTask(ctx context.Context, r *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.stats <- r
	f.mu.Lock()
	do := f.stat
	f.mu.Unlock()
	return do(ctx, r)
}

func (f *fakeScheduler) RegisterPeerTask(ctx context.Context, r *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.registers <- r
	f.mu.Lock()
	do := f.register
	f.mu.Unlock()
	return do(r)
}

func (f *fakeScheduler) ReportPeerResult(_ context.Context, r *schedulerpb.ReportPeerResultRequest) (*schedulerpb.ReportPeerResultReply, error) {
	f.results <- r
	return &schedulerpb.ReportPeerResultReply{}, nil
}

func (f *fakeScheduler) LeaveTask(_ context.Context, r *schedulerpb.LeaveTaskRequest) (*schedulerpb.LeaveTaskReply, error) {
	f.left <- r
	return &schedulerpb.LeaveTaskReply{}, nil
}

func (f *fakeScheduler) LeaveHost(_ context.Context, r *schedulerpb.LeaveHostRequest) (*schedulerpb.LeaveHostReply, error) {
	f.leftHosts <- r
	return &schedulerpb.LeaveHostReply{}, nil
}

func (f *fakeScheduler) ReportPieceResult(st schedulerpb.Scheduler_ReportPieceResultServer) error {
	m, err := st.Recv()
	if err != nil {
		return err
	}
	if m.GetHello() == nil {
		return pieces.Errorf(pieces.Invalid, "the first message is not Hello")
	}
	if err := f.answer(st.Context()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(st.Context())
	defer cancel()
	s := &fakeSession{host: m.GetHello().HostId, in: make(chan *schedulerpb.PeerMessage, 10000),
		out: make(chan *schedulerpb.SchedulerMessage, 100), end: cancel, ended: ctx.Done()}
	if err := st.Send(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Welcome{
		Welcome: &schedulerpb.Welcome{Session: 1, HeartbeatMs: uint32(beatEvery.Milliseconds())}}}); err != nil {
		return err
	}
	f.mu.Lock()
	deaf := f.deaf
	f.mu.Unlock()
	if !deaf {
		go s.read(st, cancel)
	}
	f.sessions <- s
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		m := &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case m = <-s.out:
		}
		if err := f.answer(ctx); err != nil {
			return err
		}
		if err := st.Send(m); err != nil {
			return err
		}
	}
}

func (s *fakeSession) read(st schedulerpb.Scheduler_ReportPieceResultServer, end func()) {
	defer end()
	for {
		m, err := st.Recv()
		if err != nil {
			return
		}
		if m.GetHeartbeat() != nil {
			s.beats.Add(1)
			continue
		}
		s.in <- m
	}
}

// say sends one message to the Peer of key.
func (s *fakeSession) say(key pieces.Key, m *schedulerpb.SchedulerMessage) {
	m.Task, m.Version = string(key.Task), string(key.Version)
	s.out <- m
}

// fakeManager lists schedulers and keeps a catalogue.
type fakeManager struct {
	managerpb.UnimplementedManagerServer
	served
	alive chan *managerpb.KeepAliveRequest
	left  chan *managerpb.LeaveRequest

	mu         sync.Mutex
	schedulers []string
	lists      int
	config     string
	version    uint64
	tasks      map[string]*commonpb.Task
	names      map[string]string
}

func newFakeManager(t *testing.T, schedulers ...string) *fakeManager {
	t.Helper()
	m := &fakeManager{schedulers: schedulers, tasks: map[string]*commonpb.Task{}, names: map[string]string{},
		alive: make(chan *managerpb.KeepAliveRequest, 1000), left: make(chan *managerpb.LeaveRequest, 10)}
	m.reg = func(s *rpc.Server) { managerpb.RegisterManagerServer(s, m) }
	m.start(t)
	return m
}

func (m *fakeManager) KeepAlive(_ context.Context, r *managerpb.KeepAliveRequest) (*managerpb.KeepAliveReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive <- r
	return &managerpb.KeepAliveReply{IntervalMs: 20, ConfigVersion: m.version}, nil
}

func (m *fakeManager) Leave(_ context.Context, r *managerpb.LeaveRequest) (*managerpb.LeaveReply, error) {
	m.left <- r
	return &managerpb.LeaveReply{}, nil
}

func (m *fakeManager) ListSchedulers(_ context.Context, req *managerpb.ListSchedulersRequest) (*managerpb.ListSchedulersReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lists++
	r := &managerpb.ListSchedulersReply{Cluster: cmp.Or(req.Cluster, "default"), ConfigVersion: m.version}
	for _, a := range m.schedulers {
		r.Schedulers = append(r.Schedulers, &managerpb.SchedulerInfo{Address: a})
	}
	return r, nil
}

func (m *fakeManager) GetConfig(_ context.Context, r *managerpb.GetConfigRequest) (*managerpb.GetConfigReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &managerpb.GetConfigReply{Version: m.version, Config: m.config}, nil
}

func (m *fakeManager) PutTask(_ context.Context, r *managerpb.PutTaskRequest) (*managerpb.PutTaskReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id, ok := m.names[r.Name]; ok && id != r.Task.Id {
		return nil, pieces.Errorf(pieces.Exists, "name %q is taken", r.Name)
	}
	m.tasks[r.Task.Id] = r.Task
	if r.Name != "" {
		m.names[r.Name] = r.Task.Id
	}
	return &managerpb.PutTaskReply{}, nil
}

func (m *fakeManager) ResolveTask(_ context.Context, r *managerpb.ResolveTaskRequest) (*managerpb.ResolveTaskReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := r.Id
	if r.Name != "" {
		id = m.names[r.Name]
	}
	t := m.tasks[id]
	if t == nil {
		return nil, pieces.Errorf(pieces.NotFound, "no such task")
	}
	return &managerpb.ResolveTaskReply{Task: t}, nil
}

func (m *fakeManager) ListNames(_ context.Context, r *managerpb.ListNamesRequest) (*managerpb.ListNamesReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := &managerpb.ListNamesReply{}
	next := ""
	for n := range m.names { // pages of one name, the hard way
		if n > r.After && (next == "" || n < next) {
			next = n
		}
	}
	if next != "" {
		reply.Names = append(reply.Names, &managerpb.Name{Name: next, TaskId: m.names[next]})
	}
	return reply, nil
}

func (m *fakeManager) RemoveTask(_ context.Context, r *managerpb.RemoveTaskRequest) (*managerpb.RemoveTaskReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tasks, r.Id)
	return &managerpb.RemoveTaskReply{}, nil
}

// registered is the answer to a registration in content of the given facts.
func registered(f pieces.Facts) *schedulerpb.RegisterPeerTaskReply {
	return &schedulerpb.RegisterPeerTaskReply{Version: string(f.VersionID()), Facts: wire.FactsTo(f),
		Scope: wire.ScopeTo(pieces.ScopeOf(f.Size, true))}
}
