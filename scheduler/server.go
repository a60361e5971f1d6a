package scheduler

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// Server is the scheduler. Register it on a gRPC server and Run it.
type Server struct {
	schedulerpb.UnimplementedSchedulerServer

	o       Options
	log     *logrus.Entry
	metrics *metrics
	hosts   *hosts
	tasks   *tasks
	origins *origins
	timer   *timer
	wakes   chan wake
	// recalls are Tasks whose access order the catalogue may know.
	recalls chan *entry
	fellows *fellows
	// inventory says who holds what of Tasks it takes no part in.
	inventory *inventory
	age       *age
	config    atomic.Pointer[config]
	memory    memory
	calls     atomic.Uint64
	totals    totals
	started   time.Time
	ready     atomic.Bool
}

// New checks the options. Nothing runs before Run.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	for _, list := range [][]string{{o.Advertise}, o.Managers, o.Peers, o.SeedPeers} {
		for _, addr := range list {
			if err := rpc.CheckAddress(addr); err != nil {
				return nil, err
			}
		}
	}
	s := &Server{
		o: o, log: o.Log, metrics: newMetrics(o.Registry), timer: newTimer(), wakes: make(chan wake, 1024), started: time.Now(),
	}
	s.config.Store(&config{swarm: o.Swarm, limits: o.Limits})
	s.hosts = newHosts(func() int { return s.config.Load().limits.MaxHosts })
	s.recalls = make(chan *entry, maxRecalls)
	s.tasks = newTasks(func() int { return s.config.Load().limits.MaxTasks })
	s.tasks.made = s.recallOrder
	s.origins = newOrigins(func() int { return s.config.Load().limits.MaxOrigins })
	s.inventory = newInventory(func() int { return s.config.Load().limits.MaxInventory })
	s.age = &age{start: time.Now()}
	s.fellows = &fellows{self: o.Advertise, dial: o.Dial, timeout: o.AskTimeout}
	s.fellows.dial.Log = o.Log
	if len(o.Peers) > 0 {
		s.fellows.setRing(append([]string{o.Advertise}, o.Peers...))
	}
	s.memory.file = o.StateFile
	if len(o.Managers) > 0 {
		s.recollect()
	}
	s.metrics.watch(o.Registry, s)
	return s, nil
}

// Register adds the services to a gRPC server: Scheduler for hosts, Census for
// managers.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	schedulerpb.RegisterSchedulerServer(r, s)
	schedulerpb.RegisterCensusServer(r, census{Server: s})
}

// Run does what no call asks for: ticks, waking of seeds, looking after hosts,
// the manager. It returns nil when ctx has ended and all of it has stopped.
func (s *Server) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { s.timer.run(ctx, s.tick) })
	running.Go(func() { s.lookAfterHosts(ctx) })
	for range s.o.Wakers {
		running.Go(func() { s.wakeSeeds(ctx) })
	}
	if len(s.o.SeedPeers) > 0 {
		running.Go(func() { s.resolveSeeds(ctx) })
	}
	running.Go(func() { s.handBack(ctx) })
	if len(s.o.Managers) > 0 {
		running.Go(func() { s.keepWithManager(ctx) })
		running.Go(func() { s.chronicle(ctx) })
	}
	defer s.fellows.close()
	s.ready.Store(true)
	defer s.ready.Store(false)
	<-ctx.Done()
	return nil
}

// Ready returns nil while Run runs.
func (s *Server) Ready() error {
	if !s.ready.Load() {
		return pieces.Errorf(pieces.Unavailable, "the scheduler is not running")
	}
	return nil
}

// lookEvery is how often hosts and this process itself are looked after.
const lookEvery = time.Second

// lookAfterHosts folds what was learnt of uploads into the snapshot, and
// forgets hosts that nothing was heard of.
func (s *Server) lookAfterHosts(ctx context.Context) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			now := time.Now()
			if s.age.tick(now, s.standstill()) {
				s.log.Warn("this process stood still for long: other schedulers may have taken over")
			}
			s.hosts.fold(now)
			s.origins.collect(now, s.config.Load().swarm)
			for _, id := range s.hosts.expired(now.Add(-s.o.HostTTL)) {
				s.log.WithField("host", id.Short()).Info("host was silent for too long")
				s.dropHost(id)
			}
		}
	}
}

func discard() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}
