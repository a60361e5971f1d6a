package announce

import (
	"context"
	"slices"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// Peer is this host's part in one (Task, Version), as its scheduler knows it.
// Reports about content that came whole with the Registration go nowhere: its
// scheduler does not keep such Peers. The reports never block and may be called from anywhere, HandleEvent and
// under the caller's locks included. They copy what they are given.
type Peer struct {
	c        *Client
	task     *pieces.Task
	canFetch bool
	inv      PeerInventory
	events   inbox
	// Set by the first registration, before anybody sees the Peer.
	key      pieces.Key
	facts    pieces.Facts
	geometry pieces.Geometry

	inventing sync.Mutex // one inventory at a time

	mu sync.Mutex
	// Guarded by mu.
	state   peerState
	link    *link    // Invariant: not nil exactly while registered
	session *session // nil while registered: opened by the first report
	// quiet: the answer was all there is (no content, or all of it), and the
	// scheduler keeps no Peer that could report.
	quiet bool
	lost  *pieces.Set
	// lost collects what is reported lost while an inventory is being made;
	// nil at other times.
	cancel context.CancelFunc // ends a resume under way
	// While registering again: where it was before; moving from there to
	// another scheduler, which it is to be told; and when it was last heard.
	was    string
	moving *link
	heard  time.Time
	// A Peer that goes down again and again soon after it came up waits longer
	// and longer; the first time is free.
	upSince time.Time
	flaps   int
	retry   *backoff
}

type peerState uint8

const (
	peerUp   peerState = iota // registered
	peerDown                  // registering again
	peerGone                  // closed, or put out for ever
)

// Key returns the (Task, Version) the Peer takes part in.
func (p *Peer) Key() pieces.Key { return p.key }

// Start begins the delivery of events. Call it once the Registration has been
// taken in: what comes before waits, so that a newer list of parents is never
// overwritten by that of the Registration.
func (p *Peer) Start() { p.events.start() }

// Scheduler returns the address where the Peer is registered; empty = nowhere
// just now.
func (p *Peer) Scheduler() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link == nil {
		return ""
	}
	return p.link.addr
}

// Held reports pieces that are verified and served from now on.
func (p *Peer) Held(r HeldReport) {
	r.Extents, r.Sums, r.Costs = slices.Clone(r.Extents), slices.Clone(r.Sums), slices.Clone(r.Costs)
	p.report(&heldReport{r})
}

// Lost reports pieces that are no longer served. The caller stops listing them
// in its PeerInventory before it calls.
func (p *Peer) Lost(es []pieces.Extent) { p.report(&lostReport{slices.Clone(es)}) }

// Failed reports a download from host that failed.
func (p *Peer) Failed(host pieces.HostID, es []pieces.Extent, reason pieces.FailReason) {
	p.report(&failedReport{host, slices.Clone(es), reason})
}

// Want asks for digests and a source of pieces, until they are held or
// cancelled. failed names holders told of before that failed.
func (p *Peer) Want(es []pieces.Extent, class pieces.Class, failed []pieces.HostID) {
	p.WantFor(trace.Parent{}, es, class, failed)
}

// WantFor is Want for a reader that is traced, if by is valid.
func (p *Peer) WantFor(by trace.Parent, es []pieces.Extent, class pieces.Class, failed []pieces.HostID) {
	p.report(&wantReport{slices.Clone(es), class, slices.Clone(failed), by})
}

// Cancel takes wants back.
func (p *Peer) Cancel(es []pieces.Extent) { p.report(&cancelReport{slices.Clone(es)}) }

// LeaseProgress keeps a lease alive; bytes counts origin bytes read under it.
func (p *Peer) LeaseProgress(id pieces.LeaseID, bytes int64) { p.report(&progressReport{id, bytes}) }

// OriginError gives a lease back: the origin failed.
func (p *Peer) OriginError(id pieces.LeaseID, err error) { p.report(&originErrorReport{id, err}) }

// Touched reports first touches by readers, in order.
func (p *Peer) Touched(es []pieces.Extent) { p.report(&touchedReport{slices.Clone(es)}) }

func (p *Peer) report(r report) {
	p.mu.Lock()
	s, err := p.sessionLocked()
	if l, ok := r.(*lostReport); ok && p.lost != nil {
		for _, e := range l.extents {
			p.lost.AddExtent(e.Intersect(p.geometry.All()))
		}
	}
	full := err == nil && s != nil && !s.queue.add(p.key, r)
	p.mu.Unlock()
	if full {
		s.cut(pieces.Errorf(pieces.Full, "too many reports wait for scheduler %s", s.l.addr))
	}
}

// sessionLocked returns where reports go, opening a session for a Peer that
// has had nothing to say so far; nil = nowhere. With mu held.
func (p *Peer) sessionLocked() (*session, error) {
	if p.quiet {
		return nil, nil
	}
	if p.state != peerUp || p.session != nil {
		return p.session, nil
	}
	for range 3 {
		s, err := p.link.current()
		if err != nil {
			return nil, err
		}
		if s.adopt(p, nil) {
			p.session = s
			return s, nil
		}
		// It ended in between, so the link has none or another one now.
	}
	return nil, nil
}

// accepts reports whether e is for the handler and makes sense.
func (p *Peer) accepts(e Event) bool {
	switch e.(type) {
	case moved, rejected:
		return false
	}
	return fits(e, p.geometry)
}

// receive takes an event from session s.
func (p *Peer) receive(s *session, e Event) {
	switch e := e.(type) {
	case moved:
		p.down(s, pieces.Errorf(pieces.Unavailable, "the swarm moved to scheduler %s", e.address), e.address, 0)
		return
	case rejected:
		if e.retryAfterMs == 0 {
			p.final(s, pieces.Errorf(pieces.Denied, "scheduler %s put this host out of the task: %.200s", s.l.addr, e.reason))
			return
		}
		p.down(s, pieces.Errorf(pieces.Unavailable, "scheduler %s: %.200s", s.l.addr, e.reason), "", interval(e.retryAfterMs))
		return
	}
	if !p.accepts(e) {
		p.c.o.Log.WithField("scheduler", s.l.addr).WithFields(p.key.Fields()).Warnf("message of the scheduler ignored: %T names pieces that do not exist", e)
		return
	}
	p.mu.Lock()
	current := p.session == s && p.state == peerUp
	fits := !current || p.events.queue(e)
	p.mu.Unlock()
	if !fits {
		s.cut(pieces.Errorf(pieces.Full, "too many events wait for task %s", p.key))
		return
	}
	p.events.drain()
}

// Result tells the scheduler how the Peer's whole run ended.
func (p *Peer) Result(ctx context.Context, r PeerResult) error {
	return p.call(ctx, func(ctx context.Context, l *link) error {
		_, err := l.rpc.ReportPeerResult(ctx, &schedulerpb.ReportPeerResultRequest{
			HostId: string(p.c.o.Host.ID), Task: string(p.key.Task), Version: string(p.key.Version),
			Success: r.Success, BytesFromPeers: r.FromPeers, BytesFromOrigin: r.FromOrigin, BytesFromCache: r.FromCache,
			DurationMs: r.Took.Milliseconds(), Error: wire.ErrorTo(r.Err),
		})
		return err
	})
}

// call asks the Peer's own scheduler, within AttemptTimeout.
func (p *Peer) call(ctx context.Context, f func(context.Context, *link) error) error {
	p.mu.Lock()
	l := p.link
	p.mu.Unlock()
	if l == nil {
		return pieces.Errorf(pieces.Unavailable, "task %s is registered nowhere just now", p.key)
	}
	ctx, cancel := context.WithTimeout(ctx, p.c.o.AttemptTimeout)
	defer cancel()
	return f(ctx, l)
}

// Close leaves the Task. Reports made before it may be lost with it. An event
// that is being delivered may still be; none begins after Close. Closing again
// does nothing.
func (p *Peer) Close(ctx context.Context) {
	p.mu.Lock()
	if p.state == peerGone {
		p.mu.Unlock()
		return
	}
	p.state = peerGone
	l, s, cancel := p.link, p.session, p.cancel
	p.link, p.session, p.moving = nil, nil, nil
	p.mu.Unlock()
	p.events.close()
	if cancel != nil {
		cancel()
	}
	if s != nil {
		s.drop(p)
	}
	p.c.forget(p)
	if l == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, p.c.o.AttemptTimeout)
	defer stop()
	held, _, _ := p.inv()
	if err := p.leaveTask(ctx, l, count(held), ""); err != nil {
		p.c.o.Log.WithError(err).WithFields(p.key.Fields()).Debug("scheduler did not hear that the task was left")
	}
}

// leaveTask ends the Peer at l: it goes on at the scheduler moved, or nowhere if
// that is empty; then its host still has so many pieces.
func (p *Peer) leaveTask(ctx context.Context, l *link, pieces int, moved string) error {
	_, err := l.rpc.LeaveTask(ctx, &schedulerpb.LeaveTaskRequest{
		HostId: string(p.c.o.Host.ID), Task: string(p.key.Task), Version: string(p.key.Version),
		Pieces: uint32(pieces), Moved: moved})
	return err
}

// forget makes room for another Peer of the same Key.
func (c *Client) forget(p *Peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers[p.key] == p {
		delete(c.peers, p.key)
	}
}

// leaveLate tells l that p, closed while it registered, is not there.
func (p *Peer) leaveLate(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), p.c.o.AttemptTimeout)
	defer cancel()
	_ = p.leaveTask(ctx, l, 0, "")
}
