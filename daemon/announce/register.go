package announce

import (
	"context"
	"slices"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// RegisterRequest makes this host a Peer.
type RegisterRequest struct {
	Task *pieces.Task
	// Version to take part in; empty = the current one.
	Version pieces.VersionID
	// Facts of that Version, if known.
	Facts *pieces.Facts
	// CanFetch: this host has the credential and all filtered parameters.
	CanFetch bool
	// Scheduler, if not empty and known, is asked before the Task's owner: the
	// one that woke this seed.
	Scheduler string
	// Held is what the host holds already. Its digests come from the
	// PeerInventory.
	Held []pieces.Extent
	// Sums are digests that must be known with the registration itself, at
	// most 64 of them: those of small content.
	Sums []pieces.SumRun
}

// PeerInventory returns what a Peer holds, the digests it knows, and the leases
// it runs. It is called during Register and while registering again, from other
// goroutines, and must not wait for a report.
type PeerInventory func() (held []pieces.Extent, sums []pieces.SumRun, leases map[pieces.LeaseID][]pieces.Extent)

// Register makes this host a Peer of a Task with the scheduler that owns it, or
// with the next one that answers. Call Start on the Peer when the Registration
// has been taken in, and Close in the end.
//
// Errors: Denied for a Task with an audience, Exists if the host has this Peer
// already, Unavailable (soon) if no scheduler answers, else what the scheduler
// says.
func (c *Client) Register(ctx context.Context, req RegisterRequest, h Handler, inv PeerInventory) (*Peer, Registration, error) {
	if err := c.guard(req.Task); err != nil {
		return nil, Registration{}, err
	}
	if inv == nil {
		inv = func() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) { return nil, nil, nil }
	}
	p := &Peer{c: c, task: req.Task, canFetch: req.CanFetch, inv: inv, events: inbox{h: h, most: c.o.EventLimit}, retry: c.backoff()}
	m := &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(c.o.Host.ID), Task: wire.TaskTo(req.Task), Version: string(req.Version),
		CanFetch: req.CanFetch, Held: wire.ExtentsTo(req.Held), Sums: wire.SumRunsTo(req.Sums),
	}
	if by := c.takeRecall(pieces.Key{Task: req.Task.ID, Version: req.Version}); by != "" && req.Scheduler == "" {
		req.Scheduler, m.Resumed = by, true
	}
	// Small content needs no session before there is something to say; but a
	// seed hears of its leases there.
	small := true
	if req.Facts != nil {
		m.Facts = wire.FactsTo(*req.Facts)
		small = pieces.ScopeOf(req.Facts.Size, true) != pieces.ScopeNormal
	}
	var reg Registration
	err := c.each(ctx, req.Task.ID, req.Scheduler, func(ctx context.Context, l *link, as asking) (err error) {
		m.OwnerTried, m.Stay = as.ownerTried, as.stay
		reg, err = c.enter(ctx, l, m, !small || len(req.Held) > 0 || c.o.Host.Type == pieces.SeedHost, p.settle)
		return err
	})
	if err != nil {
		return nil, Registration{}, err
	}
	if len(req.Held) > 0 {
		p.sendInventory(ctx)
	}
	return p, reg, nil
}

// enter registers with one scheduler. now asks for a session before the call;
// otherwise one is opened for a Normal Task when the answer says that it is
// one. settled is called with the answer, while messages for the new Peer are
// still kept back.
func (c *Client) enter(ctx context.Context, l *link, m *schedulerpb.RegisterPeerTaskRequest, now bool,
	settled func(*link, *session, Registration) error) (Registration, error) {
	var s *session
	open := func() (err error) {
		if s, err = l.current(); err != nil {
			return err
		}
		if !s.enter(pieces.TaskID(m.Task.Id)) {
			s = nil
			return justEnded(l)
		}
		return l.quick(ctx, s.ready)
	}
	defer func() {
		if s != nil {
			s.leave(pieces.TaskID(m.Task.Id))
		}
	}()
	if err := l.introduce(ctx, false); err != nil {
		return Registration{}, err
	}
	if now {
		if err := open(); err != nil {
			return Registration{}, err
		}
	}
	var r *schedulerpb.RegisterPeerTaskReply
	call := func(ctx context.Context) (err error) {
		r, err = l.rpc.RegisterPeerTask(ctx, m)
		return err
	}
	err := l.quick(ctx, call)
	if pieces.KindOf(err) == pieces.Unavailable && !unanswered(err) {
		// Perhaps it restarted and has not heard of this host yet.
		if err := l.introduce(ctx, true); err != nil {
			return Registration{}, err
		}
		err = l.quick(ctx, call)
	}
	if err != nil {
		return Registration{}, err
	}
	if r.Moved != "" {
		return Registration{}, &movedError{r.Moved}
	}
	reg, err := decodeRegistration(r, l.addr)
	if err == nil && m.Version != "" && string(reg.Version) != m.Version {
		err = pieces.Errorf(pieces.Changed, "scheduler %s registers version %s instead of %s", l.addr, reg.Version, m.Version)
	}
	if err != nil {
		return Registration{}, err
	}
	if s == nil && reg.Scope == pieces.ScopeNormal {
		if err := open(); err != nil {
			return Registration{}, err
		}
	}
	return reg, settled(l, s, reg)
}

// settle takes in the answer to the first registration.
func (p *Peer) settle(l *link, s *session, reg Registration) error {
	g, err := reg.Facts.Geometry()
	if err != nil {
		return err
	}
	p.key = pieces.Key{Task: p.task.ID, Version: reg.Version}
	p.facts, p.geometry = reg.Facts, g
	p.c.mu.Lock()
	taken := p.c.peers[p.key] != nil
	if !taken {
		p.c.peers[p.key] = p
	}
	p.c.mu.Unlock()
	if taken {
		return pieces.Errorf(pieces.Exists, "this host is a peer of task %s already", p.key)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link, p.upSince, p.quiet = l, time.Now(), reg.whole()
	if s != nil && !s.adopt(p, nil) {
		p.link = nil
		p.c.forget(p)
		return justEnded(l)
	}
	p.session = s
	return nil
}

// inventoryPage is how many digests one inventory message carries: 128 KiB.
const inventoryPage = 4 << 10

// sendInventory tells what is held and the digests known, page by page, and
// waits for room in the queue. Reports go on beside it: what they say to be
// lost is left out.
func (p *Peer) sendInventory(ctx context.Context) {
	p.inventing.Lock()
	defer p.inventing.Unlock()
	p.mu.Lock()
	p.lost = &pieces.Set{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.lost = nil
		p.mu.Unlock()
	}()
	held, sums, _ := p.inv()
	for _, page := range pages(held, sums) {
		for !p.sendPage(ctx, page) {
		}
	}
}

// sendPage queues one page, or waits for room and answers false: try again. It
// gives up, answering true, when there is no session or ctx ends.
func (p *Peer) sendPage(ctx context.Context, page *heldReport) bool {
	p.mu.Lock()
	s, err := p.sessionLocked()
	if err != nil || s == nil {
		p.mu.Unlock()
		return true
	}
	room := s.queue.taken()
	ok := s.queue.add(p.key, without(page, p.lost))
	p.mu.Unlock()
	if ok {
		return true
	}
	select {
	case <-room:
		return false
	case <-s.over:
	case <-ctx.Done():
	}
	return true
}

// pages cuts an inventory into reports: first the extents, then the digests.
func pages(held []pieces.Extent, sums []pieces.SumRun) []*heldReport {
	var out []*heldReport
	for es := range slices.Chunk(held, inventoryPage) {
		out = append(out, &heldReport{HeldReport{Extents: es}})
	}
	page, n := &heldReport{}, 0
	for _, run := range sums {
		for len(run.Sums) > 0 {
			take := min(len(run.Sums), inventoryPage-n)
			page.Sums = append(page.Sums, pieces.SumRun{First: run.First, Sums: run.Sums[:take], Setter: run.Setter})
			run.First, run.Sums = run.First+take, run.Sums[take:]
			if n += take; n == inventoryPage {
				out = append(out, page)
				page, n = &heldReport{}, 0
			}
		}
	}
	if n > 0 {
		out = append(out, page)
	}
	return out
}

// without returns page less the pieces in lost. Digests stay true for pieces
// that are gone.
func without(page *heldReport, lost *pieces.Set) *heldReport {
	if lost == nil || lost.Count() == 0 {
		return page
	}
	kept := &heldReport{page.HeldReport}
	kept.Extents = nil
	for _, e := range page.Extents {
		for part := range lost.Missing(e) {
			kept.Extents = append(kept.Extents, part)
		}
	}
	return kept
}
