package scheduler

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/scheduler/swarm"
)

// recall asks hosts whose inventory names a Task to take part in it here, when
// somebody asks for it: as many as bring the holders among its Peers to
// RecallMost, and not again within RecallEvery. It reports whether answers may
// still be on their way: then no lease should be granted yet.
func (s *Server) recall(id pieces.TaskID, except pieces.HostID) (expecting bool) {
	now := time.Now()
	held, asked := s.inventory.holders(id, now, s.o.RecallEvery)
	if len(held) == 0 {
		return !asked.IsZero() && now.Sub(asked) < s.config.Load().swarm.Grace && !s.populated(id)
	}
	n := 0
	for _, h := range s.hosts.recallable(id, held, except, s.o.RecallMost) {
		n++
		s.hosts.send(h.host, s.hosts.session(h.host), &schedulerpb.SchedulerMessage{
			Task: string(id), Version: string(h.version.id()),
			Body: &schedulerpb.SchedulerMessage_Resume{Resume: &schedulerpb.Resume{}},
		})
	}
	if n > 0 {
		s.metrics.recalled(n)
		s.log.WithField("task", id.Short()).WithField("hosts", n).Debug("hosts that hold this task are asked to resume it")
		s.clearSilent(id)
	}
	return n > 0
}

// clearSilent forgets Peers that ended with their session, if a Task has no
// others: its swarm begins anew, with a grace of its own.
func (s *Server) clearSilent(id pieces.TaskID) {
	e := s.tasks.find(id)
	if e == nil {
		return
	}
	e.mu.Lock()
	var gone []pieces.HostID
	if e.task.Live() == 0 {
		gone = e.task.Silent()
	}
	e.mu.Unlock()
	for _, h := range gone {
		s.step(id, swarm.Leave{Host: h})
	}
}

// populated reports whether anybody takes part in a Task here.
func (s *Server) populated(id pieces.TaskID) bool {
	e := s.tasks.find(id)
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.task.Live() > 0
}

// awaitFacts returns when the facts of a Task are known, told by a host that
// resumed it, or after the grace that hosts are given for that.
func (s *Server) awaitFacts(ctx context.Context, spec *pieces.Task) {
	e, err := s.tasks.findOrAdd(spec)
	if err != nil {
		return // the call that follows says so
	}
	e.mu.Lock()
	if e.task.Known() {
		e.mu.Unlock()
		return
	}
	if e.known == nil {
		e.known = make(chan struct{})
	}
	known := e.known
	e.mu.Unlock()
	late := time.NewTimer(s.config.Load().swarm.Grace)
	defer late.Stop()
	select {
	case <-known:
	case <-late.C:
	case <-ctx.Done():
	}
}

// nowKnown wakes who waits for the facts of e; e.mu is held.
func (e *entry) nowKnown() {
	if e.known != nil && e.task.Known() {
		close(e.known)
		e.known = nil
	}
}
