package scheduler

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

// Where a Task is served when there are several schedulers:
//
//   - The owner is the first on the ring of the Task's id. Another one answers
//     Moved, unless it is told that the owner was tried.
//   - A scheduler that is young (started, or woke from a standstill, less than
//     YoungFor ago) and has no Peer of the Task asks the others before it grants
//     the first lease, and answers Moved if a swarm lives there.
//   - A swarm that lives at a stand-in moves as one. It moves when it is idle
//     and the owner has answered for HandBackAfter; or when a first Peer has
//     followed the owner's Resume, since somebody opened the Task there.
//   - Whoever is told to stay put (its asker can't reach the one named before)
//     never answers Moved, so that no two can send an asker to and fro.

// asked is what an asker says of the schedulers it tried.
type asked struct{ ownerTried, stay bool }

// elsewhere returns the address of the scheduler that shall answer for a Task
// in the place of this one; empty = none.
func (s *Server) elsewhere(ctx context.Context, id pieces.TaskID, a asked) string {
	if a.stay {
		return ""
	}
	if owner := s.fellows.owner(id); owner != "" && !a.ownerTried {
		s.metrics.movedOn("not the owner")
		return owner
	}
	if !s.fellows.others() || !s.young() || s.settled(id) {
		return ""
	}
	// Askers at the same time ask the others at the same time: no harm, and
	// only until the Task has a Peer.
	at := s.fellows.where(ctx, id)
	s.metrics.asked(at != "")
	if at == "" {
		s.settle(id)
		return ""
	}
	s.metrics.movedOn("swarm lives there")
	return at
}

// settled reports whether a Task is this scheduler's to begin: it has Peers
// here, or the others said, since this scheduler is young, that it has none
// there.
func (s *Server) settled(id pieces.TaskID) bool {
	e := s.tasks.find(id)
	if e == nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.task.Live() > 0 || e.asked != 0 && e.asked == s.age.born.Load()+1
}

// settle notes that no other scheduler has a swarm of a Task. One that is not
// on the table yet is asked for once more.
func (s *Server) settle(id pieces.TaskID) {
	if e := s.tasks.find(id); e != nil {
		e.mu.Lock()
		e.asked = s.age.born.Load() + 1
		e.mu.Unlock()
	}
}

func (s *Server) young() bool { return s.age.under(s.o.YoungFor, time.Now(), s.standstill()) }

// standstill is the gap after which others have missed our heartbeats.
func (s *Server) standstill() time.Duration {
	return max(time.Duration(s.o.Misses)*s.o.Heartbeat, 2*lookEvery)
}

// lives answers another scheduler's question.
func (s *Server) lives(m *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
	id, err := pieces.ParseTaskID(m.GetTask().GetId())
	if err != nil {
		return nil, err
	}
	r := &schedulerpb.StatTaskReply{}
	if s.populated(id) {
		r.Moved = s.o.Advertise
	}
	return r, nil
}

// handOver sends all Peers of a Task to another scheduler, and not again within
// handPause. They leave when they are registered there.
func (s *Server) handOver(e *entry, to string, why string) {
	now := time.Now()
	e.mu.Lock()
	if now.Sub(e.handed) < handPause {
		e.mu.Unlock()
		return
	}
	e.handed = now
	members := e.task.Members()
	e.mu.Unlock()
	for _, p := range members {
		s.hosts.send(p.Host, p.Session, &schedulerpb.SchedulerMessage{
			Task: string(e.id), Version: string(p.Version),
			Body: &schedulerpb.SchedulerMessage_Moved{Moved: &schedulerpb.Moved{Address: to}},
		})
	}
	if len(members) > 0 {
		s.metrics.movedOn(why)
		s.log.WithField("task", e.id.Short()).WithField("to", to).WithField("peers", len(members)).Info("swarm is handed over")
	}
}

const (
	// handPause is how long Peers are given to move.
	handPause = 5 * time.Second
	// handMost bounds the Tasks handed back in one round.
	handMost = 256
	// handRounds is for how many rounds in a row a Task must be idle.
	handRounds = 2
)

// handBack returns swarms to owners that came back, round by round, until ctx
// ends.
func (s *Server) handBack(ctx context.Context) {
	every := time.NewTicker(s.o.HandBackEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if s.fellows.others() {
				s.handBackOnce(ctx)
			}
		}
	}
}

func (s *Server) handBackOnce(ctx context.Context) {
	foreign := map[string]pieces.TaskID{} // owner → one of its Tasks here
	idle := map[string][]*entry{}
	for e := range s.tasks.all() {
		owner := s.fellows.owner(e.id)
		if owner == "" {
			continue
		}
		if live, ready := e.rest(); live {
			foreign[owner] = e.id
			if ready {
				idle[owner] = append(idle[owner], e)
			}
		}
	}
	for owner, id := range foreign {
		if _, err := s.fellows.ask(ctx, owner, id, time.Now()); err != nil {
			continue
		}
		if s.fellows.steady(owner, time.Now()) < s.o.HandBackAfter {
			continue
		}
		for _, e := range idle[owner][:min(handMost, len(idle[owner]))] {
			s.handOver(e, owner, "owner is back")
		}
	}
}

// rest reports whether e has Peers, and whether they have been idle for
// handRounds calls.
func (e *entry) rest() (live, idle bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone || e.task.Live() == 0 {
		return false, false
	}
	if !e.task.Idle() {
		e.idle = 0
		return true, false
	}
	e.idle = min(e.idle+1, handRounds)
	return true, e.idle == handRounds
}
