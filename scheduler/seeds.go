package scheduler

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// wake is a seed to be woken for a Task.
type wake struct {
	e *entry
	swarm.Wake
	// by is the span it is for, if there is one.
	by trace.Parent
}

// queueWake never blocks; a wake that does not fit is as good as a seed that
// does not come.
func (s *Server) queueWake(w wake) {
	select {
	case s.wakes <- w:
	default:
		s.log.Warn("too many seeds to wake")
	}
}

// wakeSeeds wakes one seed after the other until ctx ends.
func (s *Server) wakeSeeds(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-s.wakes:
			err := s.obtainSeeds(ctx, w)
			s.metrics.woken(err)
			if err != nil && ctx.Err() == nil {
				s.log.WithError(err).WithField("seed", w.Seed).WithField("task", w.e.id.Short()).Warn("seed can't be woken")
				s.step(w.e.id, swarm.WakeFailed{Seed: w.Seed, Version: w.Version})
			}
		}
	}
}

// obtainSeeds makes one call on a connection of its own: seeds are woken once
// per Task, and a connection kept would have to be looked after.
func (s *Server) obtainSeeds(ctx context.Context, w wake) error {
	conn, err := s.dialSeed(w.Seed)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, s.config.Load().swarm.SeedWake)
	defer cancel()
	m := &daemonpb.ObtainSeedsRequest{Task: wire.TaskTo(w.e.spec), Version: string(w.Version), Scheduler: s.o.Advertise}
	if w.Facts != nil {
		m.Facts = wire.FactsTo(*w.Facts)
	}
	ctx, span := s.o.Tracer.Under(w.by.With(ctx), w.by, "scheduler.wake", trace.Internal)
	span.Str("task", string(w.e.id))
	span.Str("seed", w.Seed)
	_, err = daemonpb.NewPeerClient(conn).ObtainSeeds(ctx, m)
	span.End(err)
	return err
}

func (s *Server) dialSeed(addr string) (*grpc.ClientConn, error) {
	o := s.o.Dial
	o.Log = s.log
	return rpc.Dial(addr, o)
}

// resolveSeeds keeps the addresses of SeedPeers known by number, so that a seed
// that announces itself is the same one.
func (s *Server) resolveSeeds(ctx context.Context) {
	every := time.NewTicker(s.o.ResolveEvery)
	defer every.Stop()
	for {
		s.hosts.setFixed(s.lookup(ctx, s.o.SeedPeers))
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (s *Server) lookup(ctx context.Context, addrs []string) []string {
	out := make([]string, len(addrs))
	var looking sync.WaitGroup
	for i, addr := range addrs {
		looking.Go(func() {
			out[i] = addr
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return
			}
			ips, err := net.DefaultResolver.LookupHost(ctx, host)
			if err != nil || len(ips) == 0 {
				s.log.WithError(err).WithField("seed", addr).Warn("seed peer's name can't be resolved")
				return
			}
			out[i] = net.JoinHostPort(ips[0], port)
		})
	}
	looking.Wait()
	return out
}
