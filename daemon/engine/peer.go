package engine

import (
	"context"
	"time"

	"damselfly/daemon/announce"
	"damselfly/daemon/exchange"
	"damselfly/pieces"
)

// report is what the scheduler learns with a piece.
type report struct {
	lease pieces.LeaseID
	cost  *announce.Cost
	// sum: this host set the digest, so it goes along.
	sum    bool
	urgent bool
	// reread: the piece was read to settle what its digest is; it is reported
	// though held, and replaces what is held with another digest.
	reread bool
	// flight brought the piece, if a neighbour sent it.
	flight *flight
}

func costOf(host pieces.HostID, n int, took time.Duration) *announce.Cost {
	ms := float64(took.Microseconds()) / 1000
	return &announce.Cost{Host: host, MsPerMiB: ms * (1 << 20) / float64(max(n, 1))}
}

// swarms reports whether schedulers may know of this content.
func (c *Content) swarms() bool { return c.public && c.e.o.Announce != nil && c.e.o.Announce.Enabled() }

// alone reports whether the origin may be read without a lease: nobody gives
// leases for this content, or nobody has answered for AloneAfter. c.mu is held.
func (c *Content) alone() bool {
	return !c.swarms() || !c.downSince.IsZero() && time.Since(c.downSince) >= c.e.o.AloneAfter
}

// registerSums is how many pieces content may have for its digests to travel
// with the registration.
const registerSums = 64

// WokenBy names the scheduler that woke this seed for the content, where those
// wait who want it: registrations go there first.
func (c *Content) WokenBy(scheduler string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wokenBy = scheduler
}

// register makes this host a Peer, in the background. c.mu is held.
func (c *Content) register() {
	if !c.swarms() || c.peer != nil || c.registering || c.closed || time.Now().Before(c.retryAt) {
		return
	}
	c.registering = true
	told := c.held.Clone()
	req := announce.RegisterRequest{
		Task: c.task, Version: c.key.Version, Facts: &c.facts, CanFetch: c.canFetch, Held: c.held.List(),
		Scheduler: c.wokenBy,
	}
	if c.geo.Count() <= registerSums {
		req.Sums = c.sumRuns(req.Held)
	}
	by := c.registeredFor()
	c.wg.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, c.e.o.RegisterTimeout)
		defer cancel()
		ctx, span := c.span(ctx, by, "daemon.register")
		peer, reg, err := c.e.o.Announce.Register(ctx, req, c, c.inventory)
		span.End(err)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.registering = false
		c.answered()
		if err != nil {
			c.registrationFailed(err)
			return
		}
		if c.closed {
			go peer.Close(context.Background())
			return
		}
		c.peer, c.downSince = peer, time.Time{}
		c.registered(reg)
		since := c.held.Clone()
		since.SubtractSet(told)
		if es := since.List(); len(es) > 0 {
			c.peer.Held(announce.HeldReport{Extents: es, Sums: c.sumRuns(es), Urgent: true})
		}
		c.wg.Go(peer.Start)
	})
}

// registrationFailed: until it works, known neighbours and then the origin
// serve. c.mu is held.
func (c *Content) registrationFailed(err error) {
	if pieces.KindOf(err) == pieces.Changed {
		// A scheduler answers, and gives nobody this Version: its origin has
		// another one, or contradicts itself.
		c.retryAt = time.Now().Add(c.e.o.RegisterRetry)
		c.fail(c.geo.All(), err)
		return
	}
	c.log.WithError(err).Info("no scheduler takes this content yet")
	c.retryAt = time.Now().Add(c.e.o.RegisterRetry)
	if c.downSince.IsZero() {
		// Register has tried every scheduler: there is nothing to wait for.
		c.downSince = time.Now().Add(-c.e.o.AloneAfter)
	}
	c.schedule()
}

// registered takes the reply of a registration. c.mu is held.
func (c *Content) registered(reg announce.Registration) {
	c.policy = reg.Policy
	// Under classic, links with others stay, since a parent serves by them, but
	// only DAG parents are sources.
	c.pick.ParentsOnly(c.policy == pieces.PolicyClassic)
	for _, r := range reg.Sums {
		c.learn(r)
	}
	c.follow(reg.Parents)
	c.takeOrder(reg.AccessOrder)
	c.touches.told = 0
	if len(reg.Tiny) > 0 && int64(len(reg.Tiny)) == c.geo.Size && !c.held.Has(0) && pieces.SumOf(reg.Tiny) == c.sums[0] {
		c.takeTiny(reg.Tiny)
	}
	for k := range c.asked {
		c.asked[k] = &pieces.Set{}
	}
	c.schedule()
}

// takeTiny delivers content that came with the registration. c.mu is held.
func (c *Content) takeTiny(data []byte) {
	sum := c.sums[0]
	c.wg.Go(func() {
		b, err := c.e.memory.get(c.ctx, len(data))
		if err != nil {
			return
		}
		copy(b.data, data)
		c.deliver(0, b, sum, pieces.HitPeer, report{})
	})
}

// inventory is asked for when another scheduler takes over.
func (c *Content) inventory() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held.List()
	leases := make(map[pieces.LeaseID][]pieces.Extent, len(c.leases))
	for id, es := range c.leases {
		leases[id] = es
	}
	return held, c.sumRuns(held), leases
}

// sumRuns returns the recorded digests of es. c.mu is held.
func (c *Content) sumRuns(es []pieces.Extent) []pieces.SumRun {
	var out []pieces.SumRun
	for _, e := range es {
		for i := range e.All() {
			if c.sums[i].IsZero() {
				continue
			}
			setter := c.setters[c.setter[i]]
			if n := len(out); n > 0 && out[n-1].Setter == setter && out[n-1].First+len(out[n-1].Sums) == i {
				out[n-1].Sums = append(out[n-1].Sums, c.sums[i])
				continue
			}
			out = append(out, pieces.SumRun{First: i, Sums: []pieces.Sum{c.sums[i]}, Setter: setter})
		}
	}
	return out
}

// learn takes recorded digests; a piece held here that disagrees is dropped.
// c.mu is held.
func (c *Content) learn(r pieces.SumRun) {
	var wrong []pieces.Extent
	for k, s := range r.Sums {
		i := r.First + k
		if i < len(c.sums) && c.held.Has(i) && !c.sums[i].IsZero() && c.sums[i] != s {
			wrong = append(wrong, pieces.Extent{First: i, End: i + 1})
		}
	}
	for _, e := range wrong {
		c.log.WithField("pieces", e.String()).Warn("the scheduler's record disagrees with what is held: dropping it")
		c.discard(e)
	}
	for k, s := range r.Sums {
		if i := r.First + k; i < len(c.sums) && !c.sums[i].IsZero() && c.sums[i] != s {
			c.acquit(func(b *block) bool { return b.piece == i })
		}
	}
	c.record(r)
}

// discard forgets held pieces that are not what they should be, in the store
// too. c.mu is held.
func (c *Content) discard(e pieces.Extent) {
	c.forget(e)
	c.e.writes.drop(c, e)
}

// tellHeld announces piece i to the scheduler and the neighbours. c.mu is held.
func (c *Content) tellHeld(i int, rep report) {
	e := []pieces.Extent{{First: i, End: i + 1}}
	c.tell(exchange.Delta{Held: e}, func(n *neighbour) bool { return n.wants.Remove(i) })
	if c.peer == nil {
		return
	}
	h := announce.HeldReport{Extents: e, Lease: rep.lease, Rate: float64(c.speed.best.Load()), Urgent: rep.urgent}
	if rep.sum {
		h.Sums = []pieces.SumRun{{First: i, Sums: []pieces.Sum{c.sums[i]}, Setter: c.e.o.Host.ID}}
	}
	if rep.cost != nil {
		h.Costs = []announce.Cost{*rep.cost}
	}
	c.peer.Held(h)
}

// tick re-examines what somebody waits for, once a second.
func (c *Content) tick(now time.Time) {
	came := c.traffic.get()
	c.speed.measure(now, came.Origin+came.Peers+came.Seeds)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.tellTouches()
	if len(c.interests) == 0 {
		if now.Sub(c.lastUse) > c.e.o.LinkIdle && c.held.Count() == c.geo.Count() {
			c.partFromComplete()
		}
		return
	}
	c.pace()
	for in := range c.interests {
		// A demand that waited this long is asked again every tick, whatever
		// neighbours claim to have: the answer may have named someone who is
		// gone, or who keeps nothing of what it says.
		if in.class == pieces.Demand && now.Sub(in.since) > 2*c.e.o.Tick {
			in.stuck = c.stuck(in.extent)
			c.asked[pieces.Demand].SubtractSet(in.stuck)
		}
	}
	c.schedule()
}

// partFromComplete ends the streams with neighbours that hold everything, like
// this host: neither has anything to say. c.mu is held.
func (c *Content) partFromComplete() {
	for id, n := range c.neighbours {
		if c.pick.Complete(id) {
			c.removeNeighbour(n)
		}
	}
}

// leave ends the Peer at its scheduler.
func (c *Content) leave(ctx context.Context) {
	c.mu.Lock()
	p := c.peer
	c.peer = nil
	c.closed = true
	c.mu.Unlock()
	if p != nil {
		p.Close(ctx)
	}
}
