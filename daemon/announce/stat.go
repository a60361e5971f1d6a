package announce

import (
	"context"
	"errors"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// FetchFacts reads a Task's facts from its origin; tiny is the whole content if
// it came with them and is small enough to be shared at once, else nil.
type FetchFacts func(ctx context.Context) (facts pieces.Facts, tiny []byte, err error)

// StatTask asks the scheduler that owns t for its facts.
//
// If it is told to read them, it calls fetch, reports the result or error, and
// returns it; this goes on when ctx ends, since others wait for it too. If the
// facts come together with the request to look whether they still hold, they
// are returned at once, fetch runs beside, and revalidated is called if they
// have changed. fetch and revalidated are not called unless canFetch, and run on
// goroutines that Run waits for.
//
// Errors: those of the origin, shared by the swarm; Unavailable (soon) if no
// scheduler answers; Denied for a Task with an audience; Timeout when ctx, or
// FactsTimeout if it has no deadline, ends.
func (c *Client) StatTask(ctx context.Context, t *pieces.Task, canFetch bool, fetch FetchFacts, revalidated func(pieces.Facts)) (pieces.Facts, error) {
	return c.StatTaskAt(ctx, "", t, canFetch, fetch, revalidated)
}

// StatTaskAt is StatTask for a seed that a scheduler woke: that one, if it is
// known, is asked before the owner, for somebody waits there.
func (c *Client) StatTaskAt(ctx context.Context, scheduler string, t *pieces.Task, canFetch bool, fetch FetchFacts, revalidated func(pieces.Facts)) (pieces.Facts, error) {
	if err := c.guard(t); err != nil {
		return pieces.Facts{}, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.FactsTimeout)
		defer cancel()
	}
	for {
		a, err := c.askFacts(ctx, scheduler, t, canFetch)
		switch {
		case err != nil:
			return pieces.Facts{}, err
		case a.lease != 0 && !canFetch:
			c.spawn(func(ctx context.Context) {
				c.answerFacts(ctx, a, t, pieces.Facts{}, nil, pieces.Errorf(pieces.Canceled, "this host has no credential for the origin"))
			})
			if a.facts == nil {
				return pieces.Facts{}, pieces.Errorf(pieces.Unavailable, "no host that can read task %s is known", t.ID.Short())
			}
			return *a.facts, nil
		case a.facts != nil && a.lease != 0:
			c.spawn(func(ctx context.Context) { c.revalidate(ctx, a, t, fetch, revalidated) })
			return *a.facts, nil
		case a.facts != nil:
			return *a.facts, nil
		case a.lease != 0:
			return c.fetchFacts(ctx, a, t, fetch)
		}
		if !pause(ctx, a.wait) {
			return pieces.Facts{}, pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "waiting for another host to read the facts of task "+t.ID.Short())
		}
	}
}

// factsAnswer is what a scheduler says: facts, a lease, both, or wait.
type factsAnswer struct {
	l     *link
	facts *pieces.Facts
	lease pieces.LeaseID
	wait  time.Duration
}

func (c *Client) askFacts(ctx context.Context, scheduler string, t *pieces.Task, canFetch bool) (a factsAnswer, err error) {
	err = c.each(ctx, t.ID, scheduler, func(ctx context.Context, l *link, as asking) (err error) {
		if err := l.introduce(ctx, false); err != nil {
			return err
		}
		a, err = c.statOnce(ctx, l, &schedulerpb.StatTaskRequest{
			HostId: string(c.o.Host.ID), Task: wire.TaskTo(t), CanFetch: canFetch, OwnerTried: as.ownerTried, Stay: as.stay})
		return err
	})
	return a, err
}

func (c *Client) statOnce(ctx context.Context, l *link, m *schedulerpb.StatTaskRequest) (factsAnswer, error) {
	var r *schedulerpb.StatTaskReply
	err := l.patient(ctx, func(ctx context.Context) (err error) {
		r, err = l.rpc.StatTask(ctx, m)
		return err
	})
	if err != nil {
		return factsAnswer{}, err
	}
	if r.Moved != "" {
		return factsAnswer{}, &movedError{r.Moved}
	}
	a := factsAnswer{l: l, lease: pieces.LeaseID(r.LeaseId)}
	if r.Facts != nil {
		f, err := wire.FactsFrom(r.Facts)
		if err != nil {
			return a, err
		}
		a.facts = &f
	}
	a.wait = min(interval(max(r.WaitMs, 50)), 2*time.Second)
	return a, nil
}

// fetchFacts reads the facts under a lease. The work does not end with ctx.
func (c *Client) fetchFacts(ctx context.Context, a factsAnswer, t *pieces.Task, fetch FetchFacts) (pieces.Facts, error) {
	type result struct {
		facts pieces.Facts
		err   error
	}
	done := make(chan result, 1)
	if !c.spawn(func(run context.Context) {
		f, err := c.underLease(trace.Carry(run, ctx), a, t, fetch)
		done <- result{f, err}
	}) {
		return pieces.Facts{}, errStopping
	}
	select {
	case r := <-done:
		return r.facts, r.err
	case <-ctx.Done():
		return pieces.Facts{}, pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "reading the facts of task "+t.ID.Short())
	}
}

// revalidate looks whether facts still hold; too many at once give their lease
// back.
func (c *Client) revalidate(ctx context.Context, a factsAnswer, t *pieces.Task, fetch FetchFacts, revalidated func(pieces.Facts)) {
	if !c.revalidations.TryAcquire(1) {
		c.answerFacts(ctx, a, t, pieces.Facts{}, nil, pieces.Errorf(pieces.Full, "this host is revalidating too many tasks"))
		return
	}
	defer c.revalidations.Release(1)
	f, err := c.underLease(ctx, a, t, fetch)
	if err != nil {
		c.o.Log.WithError(err).WithField("task", t.ID.Short()).Debug("facts can't be revalidated; the known ones stay")
		return
	}
	if f.VersionID() != a.facts.VersionID() && revalidated != nil {
		revalidated(f)
	}
}

// underLease fetches and reports, and returns what holds for the swarm.
func (c *Client) underLease(run context.Context, a factsAnswer, t *pieces.Task, fetch FetchFacts) (pieces.Facts, error) {
	ctx, cancel := context.WithTimeout(run, c.o.FactsTimeout)
	defer cancel()
	stopBeats := c.beatFacts(ctx, a, t.ID)
	f, tiny, err := fetch(ctx)
	stopBeats()
	if run.Err() != nil {
		return f, errStopping // the lease ends by itself
	}
	if int64(len(tiny)) != f.Size || len(tiny) > pieces.TinySize {
		tiny = nil
	}
	agreed := c.answerFacts(run, a, t, f, tiny, err)
	if err != nil {
		return pieces.Facts{}, err
	}
	return agreed, nil
}

// beatFacts keeps a facts lease alive on the session of its scheduler, which is
// opened only if the origin takes long. The returned function ends it.
func (c *Client) beatFacts(ctx context.Context, a factsAnswer, id pieces.TaskID) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var beating sync.WaitGroup
	beating.Go(func() {
		for pause(ctx, c.o.Heartbeat) {
			if s, err := a.l.current(); err == nil {
				s.queue.add(pieces.Key{Task: id}, &progressReport{lease: a.lease})
			}
		}
	})
	return func() {
		cancel()
		beating.Wait()
	}
}

// answerFacts is the second call of a facts lease. It returns the facts that
// hold for the swarm: those answered, or ours.
func (c *Client) answerFacts(ctx context.Context, a factsAnswer, t *pieces.Task, f pieces.Facts, tiny []byte, err error) pieces.Facts {
	m := &schedulerpb.StatTaskRequest{HostId: string(c.o.Host.ID), Task: wire.TaskTo(t), CanFetch: true,
		LeaseId: uint64(a.lease), Error: wire.ErrorTo(err), OwnerTried: true, Stay: true}
	if err == nil {
		m.Facts, m.Tiny = wire.FactsTo(f), tiny
	}
	r, rerr := c.statOnce(ctx, a.l, m)
	var m2 *movedError
	if rerr != nil && err == nil && !errors.As(rerr, &m2) {
		c.o.Log.WithError(rerr).WithField("task", t.ID.Short()).Debug("facts could not be reported")
	}
	if rerr == nil && r.facts != nil {
		return *r.facts
	}
	return f
}
