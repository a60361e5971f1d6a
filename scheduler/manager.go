package scheduler

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// keepWithManager keeps this scheduler listed, and the seeds, the ring and the
// config of its cluster known, until ctx ends; then it leaves. Without an answer
// the last ones stay, those of the last run included.
func (s *Server) keepWithManager(ctx context.Context) {
	ms, err := s.dialManagers()
	defer func() {
		for _, c := range ms {
			_ = c.Close()
		}
	}()
	if err != nil { // addresses were checked before
		s.log.WithError(err).Error("managers can't be dialled")
		return
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { s.watchConfig(ctx, ms) })
	wait := s.o.KeepAlive
	timer := time.NewTimer(0)
	defer timer.Stop()
	reachable := true
	for {
		select {
		case <-ctx.Done():
			s.leaveManager(context.WithoutCancel(ctx), ms)
			return
		case <-timer.C:
		}
		interval, err := s.syncManager(ctx, ms)
		if err == nil && interval > 0 {
			wait = interval
		}
		if err != nil && reachable && ctx.Err() == nil {
			s.log.WithError(err).Warn("no manager answers; going on with what is known")
		}
		if reachable = err == nil; !reachable {
			timer.Reset(min(wait, time.Second))
			continue
		}
		timer.Reset(wait)
	}
}

func (s *Server) dialManagers() (conns []*grpc.ClientConn, err error) {
	for _, addr := range s.o.Managers {
		o := s.o.Dial
		o.Log = s.log
		c, err := rpc.Dial(addr, o)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// managerTimeout bounds one call.
const managerTimeout = 2 * time.Second

// syncManager does one round with the first manager that answers.
func (s *Server) syncManager(ctx context.Context, conns []*grpc.ClientConn) (again time.Duration, err error) {
	for _, c := range conns {
		if again, err = s.syncWith(ctx, managerpb.NewManagerClient(c)); err == nil {
			return again, nil
		}
	}
	return 0, err
}

func (s *Server) syncWith(ctx context.Context, m managerpb.ManagerClient) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*managerTimeout)
	defer cancel()
	before := s.config.Load()
	alive, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{
		Kind: managerpb.NodeKind_SCHEDULER, Address: s.o.Advertise, Cluster: s.o.Cluster,
	})
	if err != nil {
		return 0, err
	}
	list, err := m.ListSeedPeers(ctx, &managerpb.ListSeedPeersRequest{Cluster: s.o.Cluster})
	if err != nil {
		return 0, err
	}
	var seeds []pieces.Host
	for _, h := range list.Hosts {
		seed, err := wire.HostFrom(h)
		if err != nil {
			s.log.WithError(err).Warn("the manager lists a seed peer that makes no sense")
			continue
		}
		seeds = append(seeds, seed)
	}
	s.hosts.setListed(seeds)
	s.noteAnswer(func(a *answers) { a.Seeds = seedTexts(list.Hosts) })
	if err := s.readRing(ctx, m); err != nil {
		return 0, err
	}
	if alive.ConfigVersion != before.version {
		if err := s.readConfig(ctx, m, before); err != nil {
			return 0, err
		}
	}
	return time.Duration(alive.IntervalMs) * time.Millisecond, nil
}

// readRing takes the manager's list of schedulers, the same that hosts get, for
// the ring; --peers wins over it.
func (s *Server) readRing(ctx context.Context, m managerpb.ManagerClient) error {
	if len(s.o.Peers) > 0 {
		return nil
	}
	list, err := m.ListSchedulers(ctx, &managerpb.ListSchedulersRequest{Cluster: s.o.Cluster})
	if err != nil {
		return err
	}
	var addrs []string
	for _, x := range list.Schedulers {
		if err := rpc.CheckAddress(x.GetAddress()); err != nil {
			s.log.WithError(err).Warn("the manager lists a scheduler that makes no sense")
			continue
		}
		addrs = append(addrs, x.GetAddress())
	}
	// Hosts are sent to one cluster; the schedulers of others see nobody.
	if list.Cluster == s.o.Cluster && len(addrs) > 0 {
		s.fellows.setRing(addrs)
		s.noteAnswer(func(a *answers) { a.Ring = addrs })
	}
	return nil
}

// readConfig takes over the cluster's config, unless another than old, which
// was known before, has been pushed meanwhile.
func (s *Server) readConfig(ctx context.Context, m managerpb.ManagerClient, old *config) error {
	r, err := m.GetConfig(ctx, &managerpb.GetConfigRequest{Cluster: s.o.Cluster})
	if err != nil {
		return err
	}
	s.takeConfig(r, old)
	return nil
}

// takeConfig takes over a config that the manager sent in the place of old, and
// reports false if another has taken it. One that makes no sense is ignored
// until it changes again.
func (s *Server) takeConfig(r *managerpb.GetConfigReply, old *config) bool {
	c, err := parseConfig(&s.o, r.Version, r.Config)
	if err != nil {
		ignored := *old
		ignored.version = r.Version
		c = &ignored
	}
	if !s.config.CompareAndSwap(old, c) {
		return false
	}
	if err != nil {
		s.log.WithError(err).Error("the cluster's config is ignored")
	} else {
		s.log.WithField("config_version", r.Version).Info("cluster config taken over")
		s.noteAnswer(func(a *answers) { a.Config = r.Config })
	}
	s.enforce(c)
	return true
}

// rewatch is the pause after a manager that can't be watched.
const rewatch = time.Second

// watchConfig takes over the cluster's config as it is pushed, until ctx ends.
// Where that is not to be had, keep-alives notice changes later.
func (s *Server) watchConfig(ctx context.Context, conns []*grpc.ClientConn) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		stream, err := managerpb.NewManagerClient(conns[i%len(conns)]).WatchConfig(ctx,
			&managerpb.WatchConfigRequest{Cluster: s.o.Cluster, Version: s.config.Load().version})
		for err == nil {
			var r *managerpb.GetConfigReply
			if r, err = stream.Recv(); err != nil {
				break
			}
			// What is pushed is newer than what was asked for.
			for old := s.config.Load(); r.Version != old.version && !s.takeConfig(r, old); {
				old = s.config.Load()
			}
		}
		pause.Reset(rewatch)
	}
}

// leaveManager takes this scheduler off the list at once.
func (s *Server) leaveManager(ctx context.Context, conns []*grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(ctx, managerTimeout)
	defer cancel()
	for _, c := range conns {
		_, err := managerpb.NewManagerClient(c).Leave(ctx, &managerpb.LeaveRequest{
			Kind: managerpb.NodeKind_SCHEDULER, Address: s.o.Advertise, Cluster: s.o.Cluster,
		})
		if err == nil {
			return
		}
	}
}
