package daemon

import (
	"context"

	"damselfly/daemon/exchange"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/daemonpb"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// seeds is the Peer service: the exchange, and the waking of a seed.
type seeds struct {
	*exchange.Exchange
	d *Daemon
}

// ObtainSeeds makes this seed take part in a Task, or learn its facts.
func (s seeds) ObtainSeeds(ctx context.Context, m *daemonpb.ObtainSeedsRequest) (*daemonpb.ObtainSeedsReply, error) {
	if !s.d.o.Seed {
		return nil, pieces.Errorf(pieces.Denied, "this host is not a seed")
	}
	spec, err := wire.TaskFrom(m.GetTask())
	if err != nil {
		return nil, err
	}
	if !spec.Public() {
		return nil, pieces.Errorf(pieces.Denied, "task %s has an audience", spec.ID.Short())
	}
	if err := spec.CheckID(); err != nil {
		return nil, err
	}
	t := s.d.remember(store.Entry{Task: *spec}, false)
	if m.GetVersion() == "" {
		s.d.wake(t, m.GetScheduler(), trace.Of(ctx))
		return &daemonpb.ObtainSeedsReply{}, nil
	}
	f, err := wire.FactsFrom(m.GetFacts())
	if err != nil {
		return nil, err
	}
	if string(f.VersionID()) != m.GetVersion() {
		return nil, pieces.Errorf(pieces.Invalid, "facts of another version than %.40q", m.GetVersion())
	}
	return &daemonpb.ObtainSeedsReply{}, s.d.join(t, f, m.GetScheduler(), trace.Of(ctx))
}

// wake learns the facts of t, in the background, from the scheduler that asked;
// by is the span of the call, if it is traced.
func (d *Daemon) wake(t *task, scheduler string, by trace.Parent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.flight == nil && d.ctx.Err() == nil {
		t.learn(scheduler, by)
	}
}

// join registers this host as a Peer with the scheduler that asked; leases
// follow over its stream. by is the span of the call, if it is traced.
func (d *Daemon) join(t *task, f pieces.Facts, scheduler string, by trace.Parent) error {
	if err := t.keep(); err != nil {
		d.o.Log.WithError(err).Warn("keeping a catalogue entry")
	}
	c, err := d.engine.Content(t.spec(), f, t.canFetch())
	if err != nil {
		return err
	}
	c.WokenBy(scheduler)
	c.OpenedBy(by)
	h, err := c.Open()
	if err != nil {
		return err
	}
	return h.Close()
}
