package scheduler

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/pieces/ring"
	"damselfly/proto/commonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// fellows are the schedulers of the ring, and what this one knows of the
// others: by asking them, on one connection each.
type fellows struct {
	self    string
	dial    rpc.DialOptions
	timeout time.Duration
	ring    atomic.Pointer[ring.Ring] // nil: not known, whoever asks is right

	mu    sync.Mutex
	conns map[string]*fellow // guarded by mu
}

// fellow is another scheduler.
type fellow struct {
	conn *grpc.ClientConn
	rpc  schedulerpb.SchedulerClient

	mu sync.Mutex
	// Guarded by mu. since is when it began to answer every question; zero if
	// it did not answer the last, at failed.
	since, failed time.Time
}

// fellowRest is how long one that did not answer is not asked again.
const fellowRest = time.Second

// setRing takes the members, this scheduler among them or not.
func (f *fellows) setRing(members []string) {
	next := ring.New(members)
	f.ring.Store(next)
	f.mu.Lock()
	defer f.mu.Unlock()
	listed := next.Members()
	for addr, x := range f.conns {
		if !slices.Contains(listed, addr) {
			_ = x.conn.Close()
			delete(f.conns, addr)
		}
	}
}

func (f *fellows) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for addr, x := range f.conns {
		_ = x.conn.Close()
		delete(f.conns, addr)
	}
}

// owner returns the scheduler that owns a Task if it is another one, else "".
func (f *fellows) owner(id pieces.TaskID) string {
	r := f.ring.Load()
	if r.Len() == 0 {
		return ""
	}
	if o := r.Owner(string(id)); o != f.self {
		return o
	}
	return ""
}

// others reports whether there are other schedulers.
func (f *fellows) others() bool { return f.ring.Load().Len() > 1 }

// where asks the others, in the order of the ring, whether a swarm of the Task
// lives with them, until one says yes; those that don't answer are passed over.
// All of it takes timeout at most.
func (f *fellows) where(ctx context.Context, id pieces.TaskID) string {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	for addr := range f.ring.Load().Walk(string(id)) {
		if addr == f.self || ctx.Err() != nil {
			continue
		}
		if lives, err := f.ask(ctx, addr, id, time.Now()); err == nil && lives {
			return addr
		}
	}
	return ""
}

// ask asks one of the others whether a swarm of the Task lives there.
func (f *fellows) ask(ctx context.Context, addr string, id pieces.TaskID, now time.Time) (lives bool, err error) {
	x, err := f.fellow(addr)
	if err != nil {
		return false, err
	}
	if x.resting(now) {
		return false, pieces.Errorf(pieces.Unavailable, "scheduler %s did not answer a moment ago", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r, err := x.rpc.StatTask(ctx, &schedulerpb.StatTaskRequest{Task: &commonpb.Task{Id: string(id)}, Lives: true})
	x.answered(err, now)
	return r.GetMoved() != "", err
}

func (f *fellows) fellow(addr string) (*fellow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.conns[addr]; x != nil {
		return x, nil
	}
	conn, err := rpc.Dial(addr, f.dial)
	if err != nil {
		return nil, err
	}
	x := &fellow{conn: conn, rpc: schedulerpb.NewSchedulerClient(conn)}
	if f.conns == nil {
		f.conns = map[string]*fellow{}
	}
	f.conns[addr] = x
	return x, nil
}

// steady returns for how long a scheduler has answered every question.
func (f *fellows) steady(addr string, now time.Time) time.Duration {
	f.mu.Lock()
	x := f.conns[addr]
	f.mu.Unlock()
	if x == nil {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.since.IsZero() {
		return 0
	}
	return now.Sub(x.since)
}

func (x *fellow) resting(now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.since.IsZero() && now.Sub(x.failed) < fellowRest
}

func (x *fellow) answered(err error, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err != nil:
		x.since, x.failed = time.Time{}, now
	case x.since.IsZero():
		x.since = now
	}
}
