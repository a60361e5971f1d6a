package announce

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// sessionLost: session s, which carried p, has ended.
func (p *Peer) sessionLost(s *session, err error) { p.down(s, err, "", 0) }

// down tells the handler that no scheduler hears p, and registers it again
// after wait, asking the scheduler first named before the others. It does
// nothing unless p is in session s.
func (p *Peer) down(s *session, err error, first string, wait time.Duration) {
	p.mu.Lock()
	if p.session != s || p.state != peerUp {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	p.was, p.heard, p.moving = p.link.addr, now, nil
	if first != "" {
		p.moving = p.link
	} else if s != nil {
		p.heard = s.lastHeard()
	}
	p.state, p.link, p.session = peerDown, nil, nil
	wait = max(wait, p.flapLocked(now))
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.events.queue(SessionDown{Err: err, Since: now})
	p.mu.Unlock()
	if s != nil {
		s.drop(p)
	}
	spawned := p.c.spawn(func(run context.Context) {
		defer cancel()
		defer context.AfterFunc(run, cancel)()
		if wait == 0 || pause(ctx, wait) {
			p.resume(ctx, first)
		}
	})
	if !spawned {
		cancel()
	}
	p.events.drain()
}

// flapLocked returns how long a Peer that goes down now has to wait before it
// registers again. With mu held.
func (p *Peer) flapLocked(now time.Time) time.Duration {
	if now.Sub(p.upSince) > p.c.o.RetryMost {
		p.flaps = 0
		p.retry.reset()
		return 0
	}
	if p.flaps++; p.flaps == 1 {
		return 0
	}
	return p.retry.next()
}

// final tells the handler that p is out for ever.
func (p *Peer) final(s *session, err error) {
	p.mu.Lock()
	if p.session != s || p.state == peerGone {
		p.mu.Unlock()
		return
	}
	p.state, p.link, p.session = peerGone, nil, nil
	p.events.queue(SessionDown{Err: err, Final: true, Since: time.Now()})
	p.mu.Unlock()
	if s != nil {
		s.drop(p)
	}
	p.c.forget(p)
	p.events.drain()
}

// resume registers p again until that succeeds, p is closed or a scheduler
// refuses it for good. While none answers it looks again whenever one comes
// back.
func (p *Peer) resume(ctx context.Context, first string) {
	retry := p.c.backoff()
	told := false
	p.mu.Lock()
	lost := p.was
	p.mu.Unlock()
	for {
		changed := p.c.change()
		reg, err := p.resumeOnce(ctx, first, lost)
		switch {
		case err == nil:
			p.c.o.Log.WithFields(p.key.Fields()).WithField("scheduler", reg.Scheduler).Info("registered again")
			p.events.drain()
			p.sendInventory(ctx)
			p.moved(ctx, reg.Scheduler)
			return
		case ctx.Err() != nil:
			return
		case pieces.IsPermanent(err):
			p.final(nil, err)
			return
		}
		p.c.o.Log.WithError(err).WithFields(p.key.Fields()).Debug("registering again failed")
		first, lost = "", ""
		if !p.c.anyReachable() && !told {
			told = true
			p.tellAlone(err)
		}
		if !pauseUntil(ctx, max(retry.next(), pieces.RetryAfter(err)), changed) {
			return
		}
	}
}

// tellAlone tells the handler that there is no scheduler to go to, and since
// when nobody hears p.
func (p *Peer) tellAlone(err error) {
	p.mu.Lock()
	if p.state == peerDown {
		p.events.queue(SessionDown{Err: err, Since: p.heard})
	}
	p.mu.Unlock()
	p.events.drain()
}

// moved counts how p came to its new scheduler, and leaves the old one if that
// is still there.
func (p *Peer) moved(ctx context.Context, to string) {
	p.mu.Lock()
	from, was := p.moving, p.was
	p.moving = nil
	p.mu.Unlock()
	switch {
	case was == to:
	case from == nil:
		p.c.stats.failovers.Add(1)
	default:
		p.c.stats.moved.Add(1)
		ctx, cancel := context.WithTimeout(ctx, p.c.o.AttemptTimeout)
		defer cancel()
		if err := p.leaveTask(ctx, from, 0, to); err != nil {
			p.c.o.Log.WithError(err).WithFields(p.key.Fields()).Debug("scheduler did not hear that the task was moved")
		}
	}
}

func (p *Peer) resumeOnce(ctx context.Context, first, lost string) (reg Registration, err error) {
	if err := p.c.resumes.Acquire(ctx, 1); err != nil {
		return reg, err
	}
	defer p.c.resumes.Release(1)
	held, _, leases := p.inv()
	m := &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(p.c.o.Host.ID), Task: wire.TaskTo(p.task), Version: string(p.key.Version),
		CanFetch: p.canFetch, Resumed: true, Leases: encodeLeases(leases),
		Facts: wire.FactsTo(p.facts), Held: wire.ExtentsTo(held),
	}
	err = p.c.ask(ctx, p.task.ID, first, lost, func(ctx context.Context, l *link, as asking) (err error) {
		m.OwnerTried, m.Stay = as.ownerTried, as.stay
		reg, err = p.c.enter(ctx, l, m, true, p.resettle)
		return err
	})
	return reg, err
}

// resettle takes in the answer to a later registration: SessionUp comes before
// any event of the new session, and reports go there from then on.
func (p *Peer) resettle(l *link, s *session, reg Registration) error {
	p.mu.Lock()
	if p.state != peerDown {
		p.mu.Unlock()
		p.leaveLate(l)
		return context.Canceled
	}
	defer p.mu.Unlock()
	if !s.adopt(p, SessionUp{reg}) {
		return justEnded(l)
	}
	p.state, p.link, p.session, p.cancel, p.upSince = peerUp, l, s, nil, time.Now()
	p.quiet = reg.whole()
	return nil
}
