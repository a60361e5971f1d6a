package scheduler

import (
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

const taskShards = 64

// tasks is the table of machines.
type tasks struct {
	shards [taskShards]taskShard
	// most is how many Tasks there may be now; each shard has its part of them.
	most func() int
	// made, if not nil, hears of each new entry; it must not block.
	made func(*entry)
}

type taskShard struct {
	mu sync.Mutex
	m  map[pieces.TaskID]*entry // guarded by mu
}

// entry is one Task with its lock. Locks are taken in the order entry, then
// shard or hosts; nothing that holds one of those takes an entry's.
type entry struct {
	id pieces.TaskID
	// spec is the public part, for waking seeds.
	spec *pieces.Task
	// origin is what may ask to be left alone for all its Tasks.
	origin string
	due    schedule

	mu sync.Mutex
	// Guarded by mu.
	task *swarm.Task
	gone bool // off the table: look again
	// calls are the StatTask calls that wait; each channel takes one reply.
	calls map[uint64]chan swarm.StatReply
	// known is closed when the facts become known; nil while nobody waits.
	known chan struct{}
	// asked: no other scheduler had a swarm of the Task when this one, born at
	// asked − 1, asked them; 0 = not asked. idle counts rounds without wants, handed is when the Peers
	// were last sent elsewhere.
	asked  int64
	idle   int
	handed time.Time
	// flows is nil while nobody looks.
	flows *flows
	// remembered: the catalogue was asked for the access order. noted is how many
	// pieces of which Version it was told of last.
	remembered bool
	noted      int
	notedOf    pieces.VersionID
	// traced are the traced wants of late, oldest first; nil mostly.
	traced []traced
}

func newTasks(most func() int) *tasks {
	t := &tasks{most: most}
	for i := range t.shards {
		t.shards[i].m = map[pieces.TaskID]*entry{}
	}
	return t
}

// shard is chosen by the id's last byte, in hex; ids are hashes.
func (t *tasks) shard(id pieces.TaskID) *taskShard {
	h := 0
	for _, c := range []byte(id[max(0, len(id)-2):]) {
		h = h*31 + int(c)
	}
	return &t.shards[h%taskShards]
}

func (t *tasks) find(id pieces.TaskID) *entry {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[id]
}

// named returns the Task that a message names. One that is on the table was
// checked when it came there.
func (t *tasks) named(m *commonpb.Task) (*pieces.Task, error) {
	if e := t.find(pieces.TaskID(m.GetId())); e != nil && wire.IsTask(m, e.spec) {
		return e.spec, nil
	}
	return wire.TaskFrom(m)
}

// findOrAdd returns the entry of a Task, made from spec if need be: then spec
// must hash to its id.
func (t *tasks) findOrAdd(spec *pieces.Task) (*entry, error) {
	if e := t.find(spec.ID); e != nil {
		return e, nil
	}
	if err := spec.CheckID(); err != nil {
		return nil, err
	}
	s := t.shard(spec.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.m[spec.ID]; e != nil {
		return e, nil
	}
	if most := t.most(); len(s.m) >= max(1, most/taskShards) {
		return nil, pieces.Errorf(pieces.Full, "this scheduler has as many tasks as may be, %d in %d parts (max_tasks)", most, taskShards)
	}
	e := &entry{id: spec.ID, spec: spec, origin: originOf(spec), calls: map[uint64]chan swarm.StatReply{}}
	e.task = swarm.New(swarm.Identity{
		ID: spec.ID, Public: spec.Public(), SeedsCanFetch: spec.Public() && len(spec.FilterQuery) == 0,
	}, rand.Uint64(), pieces.LeaseID(rand.Uint64()>>16)<<8)
	s.m[spec.ID] = e
	if t.made != nil {
		t.made(e)
	}
	return e, nil
}

func (t *tasks) remove(e *entry) {
	s := t.shard(e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, e.id)
}

// all yields the entries that are on the table, with no lock held.
func (t *tasks) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range t.shards {
			s := &t.shards[i]
			s.mu.Lock()
			es := slices.Collect(maps.Values(s.m))
			s.mu.Unlock()
			for _, e := range es {
				if !yield(e) {
					return
				}
			}
		}
	}
}

func (t *tasks) count() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.m)
		s.mu.Unlock()
	}
	return n
}

// step lets an event happen to a Task that is on the table, and carries out
// what follows. With a Register the reply is returned. It reports whether the
// Task is known.
func (s *Server) step(id pieces.TaskID, ev swarm.Event) (known bool) {
	for {
		e := s.tasks.find(id)
		if e == nil {
			return false
		}
		if _, ok := s.stepEntry(e, ev, nil); ok {
			return true
		}
	}
}

// stepEntry is step for an entry; ok is false if it went off the table
// meanwhile. before, if not nil, is called under the entry's lock.
func (s *Server) stepEntry(e *entry, ev swarm.Event, before func()) (reg *swarm.RegisterReply, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil, false
	}
	if before != nil {
		before()
	}
	view := s.view()
	trying := false
	if !s.o.OriginsApart {
		view.Origin, trying = s.origins.look(e, view.Now, view.Options)
	}
	actions := e.task.Step(view, ev)
	switch {
	case trying && asksOrigin(actions):
		s.origins.probes(e, view.Now, view.Options)
	case trying:
		s.origins.untry(e)
	}
	reg = s.apply(e, view, actions)
	if h, ok := ev.(swarm.Held); ok {
		s.tally(e, view, h)
	}
	e.nowKnown()
	if e.task.Forgettable(view.Now, view.Options) {
		e.gone = true
		s.tasks.remove(e)
		return reg, true
	}
	s.timer.set(e, e.task.Next())
	return reg, true
}

func (s *Server) view() swarm.View {
	return swarm.View{Now: time.Now(), Hosts: s.hosts.view.Load(), Options: s.config.Load().swarm}
}

// tick is called by the timer; it returns when the Task wants the next one.
func (s *Server) tick(e *entry) { s.stepEntry(e, swarm.Tick{}, nil) }

// apply carries out actions, with e.mu held.
func (s *Server) apply(e *entry, view swarm.View, actions []swarm.Action) (reg *swarm.RegisterReply) {
	for _, a := range actions {
		switch a := a.(type) {
		case swarm.Send:
			s.hosts.send(a.Host, a.Session, e.encodeFor(a.Version, a.Msg))
		case swarm.StatReply:
			if c := e.calls[a.Call]; c != nil {
				c <- a
				delete(e.calls, a.Call)
			}
		case swarm.RegisterReply:
			reg = &a
		case swarm.Wake:
			s.queueWake(wake{e, a, e.spanFor(a.Version)})
		case swarm.Joined:
			s.hosts.joined(a.Host, e.id)
			s.metrics.peers(1)
		case swarm.Left:
			s.hosts.left(a.Host, e.id)
			s.metrics.peers(-1)
		case swarm.Uploads:
			s.hosts.uploads(a.Host, a.OK, a.Failed)
		case swarm.OriginRests:
			s.origins.rests(e, a.Err, view.Now, view.Options)
		case swarm.OriginAnswers:
			s.origins.answers(e)
		case swarm.Count:
			s.metrics.count(a.What, a.N)
		}
	}
	return reg
}
