package control

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/trace"
)

// Defaults of Options.
const (
	DefaultTicketTTL     = 30 * time.Second
	DefaultProgressEvery = 200 * time.Millisecond
)

// Options of a Server. Engine and Mounts are needed.
type Options struct {
	Engine Engine
	Mounts Mounts
	// Doctor makes the daemon's own checks; nil makes none.
	Doctor func(context.Context) []Check
	// Version of the software, for Ping.
	Version string
	// TicketTTL is how long a ticket for a descriptor works; 0 = 30 s.
	TicketTTL time.Duration
	// ProgressEvery is the pause between two progress messages; 0 = 200 ms.
	ProgressEvery time.Duration
	// Now is the clock for tickets; nil = time.Now.
	Now      func() time.Time
	Registry prometheus.Registerer
	// Tracer makes traces of downloads and warms; nil makes none.
	Tracer *trace.Tracer
	Log    *logrus.Entry
}

// Server serves one daemon's control sockets.
type Server struct {
	daemonpb.UnimplementedControlServer
	engine        Engine
	mounts        Mounts
	doctor        func(context.Context) []Check
	version       string
	progressEvery time.Duration
	tickets       *tickets
	log           *logrus.Entry
	tracer        *trace.Tracer
	rpc           *rpc.Server
	// background are fetches that nobody waits for; they end with Serve.
	background background
	// self is the user the daemon runs as.
	self uint32
}

// NewServer makes a Server; Serve starts it.
func NewServer(o Options) *Server {
	if o.TicketTTL <= 0 {
		o.TicketTTL = DefaultTicketTTL
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = DefaultProgressEvery
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = logrus.NewEntry(&logrus.Logger{Out: discard{}, Formatter: new(logrus.TextFormatter), Level: logrus.PanicLevel})
	}
	s := &Server{
		engine: o.Engine, mounts: o.Mounts, doctor: o.Doctor, version: o.Version,
		progressEvery: o.ProgressEvery, tickets: newTickets(o.TicketTTL, o.Now),
		log: o.Log, tracer: o.Tracer, self: uint32(os.Geteuid()),
		rpc: rpc.NewServer(rpc.ServerOptions{Log: o.Log, Registry: o.Registry, Tracer: o.Tracer}),
	}
	daemonpb.RegisterControlServer(s.rpc, s)
	return s
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Serve answers on l until ctx ends, then lets calls end within the limits of
// rpc.Server. It removes the sockets, but keeps the path: close l in the end.
// A Server serves once.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	defer l.closeSockets()
	g, ctx := errgroup.WithContext(ctx)
	calls, files := l.rpc, l.files
	s.background.start(ctx)
	defer s.background.wait()
	g.Go(func() error { return s.rpc.Serve(ctx, calls) })
	g.Go(func() error { return s.serveFiles(files) })
	g.Go(func() error {
		<-ctx.Done()
		return files.Close()
	})
	return g.Wait()
}

// Ping implements daemonpb.ControlServer, as do the methods below.
func (s *Server) Ping(ctx context.Context, _ *daemonpb.PingRequest) (*daemonpb.PingReply, error) {
	st, err := s.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &daemonpb.PingReply{Version: s.version, HostId: string(st.Host.ID), Pid: int32(os.Getpid())}, nil
}

// Add puts a URL in the catalogue.
func (s *Server) Add(ctx context.Context, req *daemonpb.AddRequest) (*daemonpb.AddReply, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	t, err := s.task(req.GetSource())
	if err != nil {
		return nil, err
	}
	if err := s.engine.Add(ctx, t, req.GetName(), who.Owner); err != nil {
		return nil, err
	}
	if fill := req.GetFill(); fill != "" {
		if err := s.setFill(ctx, who, t.ID, fill); err != nil {
			return nil, err
		}
	}
	entry := string(t.ID)
	if req.GetName() != "" {
		entry = byName + "/" + req.GetName()
	}
	return &daemonpb.AddReply{TaskId: string(t.ID), Paths: s.paths(entry)}, nil
}

// setFill is for who added the Task.
func (s *Server) setFill(ctx context.Context, who caller, id pieces.TaskID, fill string) error {
	info, err := s.engine.Info(ctx, id)
	if err != nil {
		return err
	}
	if !s.mayChange(who, info) {
		return denied(id)
	}
	return s.engine.SetFill(ctx, id, fill)
}

// List answers the Tasks that the caller may see.
func (s *Server) List(ctx context.Context, req *daemonpb.ListRequest) (*daemonpb.ListReply, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	infos, err := s.engine.List(ctx)
	if err != nil {
		return nil, err
	}
	reply := &daemonpb.ListReply{}
	for _, info := range infos {
		if s.mayUse(who, info) {
			reply.Tasks = append(reply.Tasks, s.infoTo(info))
		}
	}
	if !req.GetRemote() {
		return reply, nil
	}
	names, err := s.engine.RemoteNames(ctx)
	if err != nil {
		reply.RemoteError = err.Error()
	}
	addNames(reply, names)
	return reply, nil
}

// addNames puts the manager's names at the Tasks they mean. Those of Tasks that
// are not listed stand apart.
func addNames(reply *daemonpb.ListReply, names map[string]pieces.TaskID) {
	listed := make(map[string]*daemonpb.TaskInfo, len(reply.Tasks))
	for _, t := range reply.Tasks {
		listed[t.TaskId] = t
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t := listed[string(names[name])]
		switch {
		case t == nil:
			reply.Remote = append(reply.Remote, &daemonpb.RemoteName{Name: name, TaskId: string(names[name])})
		case !slices.Contains(t.Names, name):
			t.Names = append(t.Names, name)
		}
	}
}

// Stat answers one Task, learning its facts first if they are unknown.
func (s *Server) Stat(ctx context.Context, req *daemonpb.StatRequest) (*daemonpb.StatReply, error) {
	id, err := s.find(ctx, req.GetRef(), use)
	if err != nil {
		return nil, err
	}
	info, err := s.engine.Info(ctx, id)
	if err == nil && info.Facts == nil {
		info, err = s.learn(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return &daemonpb.StatReply{Task: s.infoTo(info)}, nil
}

func (s *Server) learn(ctx context.Context, id pieces.TaskID) (TaskInfo, error) {
	h, err := s.engine.Open(ctx, id)
	if err != nil {
		return TaskInfo{}, err
	}
	defer h.Close()
	return s.engine.Info(ctx, id)
}

// Evict drops a Task's cached bytes.
func (s *Server) Evict(ctx context.Context, req *daemonpb.EvictRequest) (*daemonpb.EvictReply, error) {
	id, err := s.find(ctx, req.GetRef(), change)
	if err != nil {
		return nil, err
	}
	freed, err := s.engine.Evict(ctx, id)
	return &daemonpb.EvictReply{Freed: freed}, err
}

// Remove drops a Task's cached bytes and its catalogue entry.
func (s *Server) Remove(ctx context.Context, req *daemonpb.RemoveRequest) (*daemonpb.RemoveReply, error) {
	id, err := s.find(ctx, req.GetRef(), change)
	if err != nil {
		return nil, err
	}
	freed, err := s.engine.Remove(ctx, id)
	return &daemonpb.RemoveReply{Freed: freed}, err
}

// Status answers the daemon at a glance.
func (s *Server) Status(ctx context.Context, _ *daemonpb.StatusRequest) (*daemonpb.StatusReply, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	st, err := s.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	st.Version, st.PID, st.Mounts = s.version, os.Getpid(), s.mounts.List()
	st.FuseReads, st.Files = 0, s.visible(who, st.Files)
	for _, m := range st.Mounts {
		st.FuseReads += m.Reads
	}
	return statusTo(st), nil
}

// Mount mounts on a directory.
func (s *Server) Mount(ctx context.Context, req *daemonpb.MountRequest) (*daemonpb.MountReply, error) {
	path, err := s.mountPath(ctx, req.GetPath())
	if err != nil {
		return nil, err
	}
	return &daemonpb.MountReply{}, s.mounts.Mount(ctx, path, req.GetOptions())
}

// Unmount undoes Mount.
func (s *Server) Unmount(ctx context.Context, req *daemonpb.UnmountRequest) (*daemonpb.UnmountReply, error) {
	path, err := s.mountPath(ctx, req.GetPath())
	if err != nil {
		return nil, err
	}
	stopping, err := s.mounts.Unmount(ctx, path, req.GetLazy())
	return &daemonpb.UnmountReply{Stopping: stopping}, err
}

// Doctor answers the daemon's own checks.
func (s *Server) Doctor(ctx context.Context, _ *daemonpb.DoctorRequest) (*daemonpb.DoctorReply, error) {
	reply := &daemonpb.DoctorReply{}
	if s.doctor == nil {
		return reply, nil
	}
	for _, c := range s.doctor(ctx) {
		reply.Checks = append(reply.Checks, &daemonpb.Check{Name: c.Name, Ok: c.OK, Detail: c.Detail, Fix: c.Fix})
	}
	return reply, nil
}
