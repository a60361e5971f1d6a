package scheduler

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// asker checks what every call about a Task names: a host that has announced
// itself and a Task that may be served.
func (s *Server) asker(hostID string, spec *pieces.Task) (pieces.HostID, error) {
	id, err := pieces.ParseHostID(hostID)
	if err != nil {
		return "", err
	}
	c := s.config.Load()
	if err := c.allowHost(id); err != nil {
		return "", err
	}
	if err := c.allowTask(spec); err != nil {
		return "", err
	}
	if s.hosts.view.Load().Get(id) == nil {
		return "", pieces.Errorf(pieces.Unavailable, "host %s is not announced here: announce it first", id.Short())
	}
	return id, nil
}

// StatTask answers a Task's facts. It holds the call while somebody else reads
// them, up to the rules' FactsWait, or while hosts that held some of the Task
// under an earlier scheduler come back, up to the rules' Grace.
func (s *Server) StatTask(ctx context.Context, m *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
	if m.Lives {
		return s.lives(m)
	}
	spec, err := s.tasks.named(m.Task)
	if err != nil {
		return nil, err
	}
	id, err := s.asker(m.HostId, spec)
	if err != nil {
		return nil, err
	}
	// Who brings facts it was lent goes nowhere else.
	if to := s.elsewhere(ctx, spec.ID, asked{m.OwnerTried, m.Stay || m.LeaseId != 0}); to != "" {
		return &schedulerpb.StatTaskReply{Moved: to}, nil
	}
	if m.LeaseId == 0 && s.recall(spec.ID, id) {
		s.awaitFacts(ctx, spec)
	}
	ev := swarm.Stat{Call: s.calls.Add(1), Host: id, CanFetch: m.CanFetch, Lease: pieces.LeaseID(m.LeaseId)}
	switch {
	case m.Error != nil:
		ev.Err = originError(wire.ErrorFrom(m.Error))
	case m.Facts != nil:
		f, err := wire.FactsFrom(m.Facts)
		if err != nil {
			return nil, err
		}
		ev.Facts = &f
		if len(m.Tiny) <= pieces.TinySize {
			ev.Tiny = m.Tiny
		}
	}
	r, err := s.ask(ctx, spec, ev)
	if err != nil {
		return nil, err
	}
	reply := &schedulerpb.StatTaskReply{LeaseId: uint64(r.Lease), WaitMs: millis(r.Wait)}
	if r.Facts != nil {
		reply.Facts = wire.FactsTo(*r.Facts)
	}
	return reply, nil
}

// ask steps a Stat and waits for its answer.
func (s *Server) ask(ctx context.Context, spec *pieces.Task, ev swarm.Stat) (swarm.StatReply, error) {
	answer := make(chan swarm.StatReply, 1)
	for {
		e, err := s.tasks.findOrAdd(spec)
		if err != nil {
			return swarm.StatReply{}, err
		}
		if _, ok := s.stepEntry(e, ev, func() { e.calls[ev.Call] = answer; e.askedBy(ctx) }); ok {
			return s.await(ctx, e, ev.Call, answer)
		}
	}
}

func (s *Server) await(ctx context.Context, e *entry, call uint64, answer <-chan swarm.StatReply) (swarm.StatReply, error) {
	select {
	case r := <-answer:
		if r.Err != nil {
			return r, r.Err
		}
		return r, nil
	case <-ctx.Done():
		s.stepEntry(e, swarm.StatGone{Call: call}, func() { delete(e.calls, call) })
		return swarm.StatReply{}, ctx.Err()
	}
}

// RegisterPeerTask makes a host a Peer.
func (s *Server) RegisterPeerTask(ctx context.Context, m *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
	spec, err := s.tasks.named(m.Task)
	if err != nil {
		return nil, err
	}
	id, err := s.asker(m.HostId, spec)
	if err != nil {
		return nil, err
	}
	if to := s.elsewhere(ctx, spec.ID, asked{m.OwnerTried, m.Stay}); to != "" {
		return &schedulerpb.RegisterPeerTaskReply{Moved: to}, nil
	}
	ev, err := registerEvent(id, m)
	if err != nil {
		return nil, err
	}
	if m.Resumed {
		s.metrics.resume()
	}
	// Others that hold pieces are given the grace of one that resumed.
	ev.Resumed = s.recall(spec.ID, id) || ev.Resumed
	if most := s.config.Load().limits.MaxTasksPerHost; !s.hosts.room(id, spec.ID, most) {
		return nil, pieces.Errorf(pieces.Full, "host %s takes part in %d tasks, as many as may be (max_tasks_per_host)", id.Short(), most)
	}
	for {
		e, err := s.tasks.findOrAdd(spec)
		if err != nil {
			return nil, err
		}
		ev.Session = s.hosts.session(id)
		r, ok := s.stepEntry(e, ev, nil)
		if !ok {
			continue
		}
		if ev.Session != 0 && s.hosts.session(id) != ev.Session {
			// The session ended before the Task knew that it has a Peer on it.
			s.step(spec.ID, swarm.SessionDown{Host: id, Session: ev.Session})
		}
		if r.Err != nil {
			return nil, r.Err
		}
		s.metrics.registered()
		return encodeRegistration(r), nil
	}
}

func registerEvent(id pieces.HostID, m *schedulerpb.RegisterPeerTaskRequest) (swarm.Register, error) {
	ev := swarm.Register{Host: id, CanFetch: m.CanFetch, Resumed: m.Resumed}
	if m.Version != "" {
		v, err := pieces.ParseVersionID(m.Version)
		if err != nil {
			return ev, err
		}
		ev.Version = v
	}
	if m.Facts != nil {
		f, err := wire.FactsFrom(m.Facts)
		if err != nil {
			return ev, err
		}
		ev.Facts = &f
	}
	var err error
	if ev.Held, err = wire.ExtentsFrom(m.Held); err != nil {
		return ev, err
	}
	if ev.Sums, err = wire.SumRunsFrom(m.Sums); err != nil {
		return ev, err
	}
	for _, l := range m.Leases {
		es, err := wire.ExtentsFrom(l.GetExtents())
		if err != nil {
			return ev, err
		}
		ev.Leases = append(ev.Leases, swarm.RunningLease{ID: pieces.LeaseID(l.GetLeaseId()), Extents: es})
	}
	return ev, nil
}

// ReportPeerResult counts how a Peer's run ended.
func (s *Server) ReportPeerResult(_ context.Context, m *schedulerpb.ReportPeerResultRequest) (*schedulerpb.ReportPeerResultReply, error) {
	if _, err := pieces.ParseHostID(m.HostId); err != nil {
		return nil, err
	}
	if _, err := pieces.ParseKey(m.Task, m.Version); err != nil {
		return nil, err
	}
	s.metrics.result(m)
	return &schedulerpb.ReportPeerResultReply{}, nil
}

// LeaveTask takes a host's Peer out of a Task. Leaving twice is no error.
func (s *Server) LeaveTask(_ context.Context, m *schedulerpb.LeaveTaskRequest) (*schedulerpb.LeaveTaskReply, error) {
	id, err := pieces.ParseHostID(m.HostId)
	if err != nil {
		return nil, err
	}
	t, err := pieces.ParseTaskID(m.Task)
	if err != nil {
		return nil, err
	}
	ev := swarm.Leave{Host: id}
	if m.Version != "" {
		if ev.Version, err = pieces.ParseVersionID(m.Version); err != nil {
			return nil, err
		}
	}
	s.step(t, ev)
	if ev.Version != "" {
		s.inventory.note(id, item{pieces.Key{Task: t, Version: ev.Version}, m.Pieces})
	}
	if m.Moved != "" && m.Moved == s.fellows.owner(t) {
		if e := s.tasks.find(t); e != nil {
			s.handOver(e, m.Moved, "a peer followed the owner")
		}
	}
	return &schedulerpb.LeaveTaskReply{}, nil
}

// AnnounceHost notes a host as it is now and a page of its inventory, if there
// is one, and says when to announce again.
func (s *Server) AnnounceHost(_ context.Context, m *schedulerpb.AnnounceHostRequest) (*schedulerpb.AnnounceHostReply, error) {
	h, err := wire.HostFrom(m.Host)
	if err != nil {
		return nil, err
	}
	if err := s.config.Load().allowHost(h.ID); err != nil {
		return nil, err
	}
	if err := s.hosts.announce(h, time.Now()); err != nil {
		return nil, err
	}
	items, err := inventoryItems(m.Inventory)
	if err != nil {
		return nil, err
	}
	s.inventory.page(h.ID, m.InventoryBegins, items)
	return &schedulerpb.AnnounceHostReply{
		IntervalMs: millis(s.o.AnnounceEvery), Inventory: uint32(s.inventory.known(h.ID)),
	}, nil
}

func inventoryItems(ms []*schedulerpb.InventoryItem) ([]item, error) {
	items := make([]item, 0, len(ms))
	for _, m := range ms {
		k, err := pieces.ParseKey(m.GetTask(), m.GetVersion())
		if err != nil {
			return nil, err
		}
		items = append(items, item{k, m.GetPieces()})
	}
	return items, nil
}

// LeaveHost takes a host out of all its Tasks and forgets it.
func (s *Server) LeaveHost(_ context.Context, m *schedulerpb.LeaveHostRequest) (*schedulerpb.LeaveHostReply, error) {
	id, err := pieces.ParseHostID(m.HostId)
	if err != nil {
		return nil, err
	}
	s.dropHost(id)
	return &schedulerpb.LeaveHostReply{}, nil
}

func (s *Server) dropHost(id pieces.HostID) {
	for _, t := range s.hosts.tasksOf(id) {
		s.step(t, swarm.Leave{Host: id})
	}
	s.inventory.forget(id)
	if ses := s.hosts.remove(id); ses != nil {
		ses.cut(pieces.Errorf(pieces.Unavailable, "the host has left"))
	}
}
