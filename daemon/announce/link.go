package announce

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// link is this host's connection to one scheduler.
type link struct {
	c    *Client
	addr string
	conn *grpc.ClientConn
	rpc  schedulerpb.SchedulerClient
	kick chan struct{} // cap 1: announce now, and look at the inventory
	// known is how many items of our inventory the scheduler said to know.
	known atomic.Uint32
	// answered is when a call was last answered, UnixNano.
	answered atomic.Int64

	announcing sync.Mutex // one announcement at a time
	// Guarded by announcing: how the last one went. done counts them and may
	// be read without it.
	done atomic.Int64
	last announcement

	mu sync.Mutex
	// Guarded by mu.
	health
	retired bool     // off the list: ends with its last session
	session *session // nil: none
	// keep: the scheduler knows an inventory of ours, and may ask for what is
	// in it, so the session stays open without Peers.
	keep bool
}

func newLink(c *Client, addr string) (*link, error) {
	conn, err := c.dial(addr)
	if err != nil {
		return nil, err
	}
	return &link{c: c, addr: addr, conn: conn, rpc: schedulerpb.NewSchedulerClient(conn), kick: make(chan struct{}, 1)}, nil
}

// announceNow asks for an announcement, with inventory if that has changed.
func (l *link) announceNow() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// run announces this host, and what it holds, until ctx ends or the link is
// retired and unused.
func (l *link) run(ctx context.Context) {
	defer l.conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { l.watch(ctx) })
	defer watching.Wait()
	defer cancel()
	retry := l.c.backoff()
	told := telling{l: l, due: true, reopen: l.c.backoff()}
	for {
		wait, err := l.announce(ctx)
		if err == nil {
			l.recovered()
			wait, err = told.tell(ctx, wait)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !unanswered(err) {
				l.c.o.Log.WithError(err).WithField("scheduler", l.addr).Warn("scheduler refuses this host")
			}
			l.failed(err)
			wait = retry.next()
		} else {
			retry.reset()
		}
		t := time.NewTimer(min(wait, l.untilTrusted()))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-l.kick:
			t.Stop()
			told.due = true
		case <-t.C:
		}
		if l.becameTrusted() {
			l.c.ringChanged()
		}
		if l.c.stopped() || l.is(func() bool { return l.retired && l.session == nil }) {
			return
		}
	}
}

// watch asks for a new announcement when the connection was lost: a scheduler
// that restarted knows nothing of us.
func (l *link) watch(ctx context.Context) {
	for {
		was := l.conn.GetState()
		if !l.conn.WaitForStateChange(ctx, was) {
			return
		}
		if was == connectivity.Ready {
			l.announceNow()
		}
	}
}

// announcement is how one went.
type announcement struct {
	again time.Duration // when to do it again
	err   error
}

// announce tells the scheduler of this host, and returns when to do it again.
// Whoever waited for another announcement takes its result, so that many who
// ask a mute scheduler at once wait no longer than one.
func (l *link) announce(ctx context.Context) (again time.Duration, err error) {
	before := l.done.Load()
	l.announcing.Lock()
	defer l.announcing.Unlock()
	if ctx.Err() != nil {
		return 0, pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "announcing this host to "+l.addr)
	}
	if l.done.Load() != before {
		return l.last.again, l.last.err
	}
	again, err = l.announceOnce(ctx, &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(l.c.host())})
	if ctx.Err() == nil { // else it says nothing of the scheduler
		l.last = announcement{again, err}
		l.done.Add(1)
	}
	return again, err
}

func (l *link) announceOnce(ctx context.Context, req *schedulerpb.AnnounceHostRequest) (again time.Duration, err error) {
	var r *schedulerpb.AnnounceHostReply
	err = l.quick(ctx, func(ctx context.Context) (err error) {
		r, err = l.rpc.AnnounceHost(ctx, req)
		return err
	})
	if err != nil {
		return 0, err
	}
	l.known.Store(r.Inventory)
	if r.IntervalMs > 0 {
		return interval(r.IntervalMs), nil
	}
	return l.c.o.AnnounceEvery, nil
}

// introduce makes sure that the scheduler has heard of this host; again: even
// if it seems so. What the host holds follows.
func (l *link) introduce(ctx context.Context, again bool) error {
	if l.isUp() && !again {
		return nil
	}
	_, err := l.announce(ctx)
	if err == nil {
		l.recovered()
		l.announceNow()
	}
	return err
}

// quick makes a call that a live scheduler answers at once, within
// AttemptTimeout.
func (l *link) quick(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, l.c.o.AttemptTimeout)
	defer cancel()
	err := call(ctx)
	if err != nil && over(ctx) != nil {
		// The other end may see the deadline pass first, and say so.
		return &pieces.Error{Kind: pieces.Unavailable, Msg: "scheduler " + l.addr, Err: errMute}
	}
	if err == nil || !unanswered(err) && pieces.KindOf(err) != pieces.Unavailable {
		l.answered.Store(time.Now().UnixNano())
	}
	return err
}

var errMute = errors.New("no answer in time")

// unanswered reports whether err says nothing but that nobody is there.
func unanswered(err error) bool { return rpc.IsTransport(err) || errors.Is(err, errMute) }

// patient makes a call that the scheduler may answer late, as long as it shows
// that it is alive: by heartbeats, or by answering announcements.
func (l *link) patient(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	watching.Go(func() {
		for pause(ctx, l.c.o.AttemptTimeout/10) {
			if l.alive() {
				continue
			}
			if _, err := l.announce(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		}
	})
	err := call(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && unanswered(cause) {
		err = cause
	}
	cancel(nil)
	watching.Wait()
	return err
}

// alive reports whether the scheduler was heard of late.
func (l *link) alive() bool {
	if time.Now().UnixNano()-l.answered.Load() < int64(l.c.o.AttemptTimeout) {
		return true
	}
	return l.is(func() bool { return l.session != nil && l.session.alive() })
}

// current returns the link's session, opening one if there is none.
func (l *link) current() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		return l.session, nil
	}
	s := newSession(l)
	if !l.c.spawn(s.run) {
		return nil, errStopping
	}
	l.session = s
	return s, nil
}

// ended takes a session off the link. lost: it broke, and not by our own will.
// A scheduler that went mute is down; one whose stream broke may be there
// already again, and is asked first so that the swarm stays together.
func (l *link) ended(s *session, lost bool, err error) {
	l.mu.Lock()
	if l.session == s {
		l.session = nil
	}
	if lost && s.alive() && l.state == up {
		l.state, lost = untried, false
	}
	l.mu.Unlock()
	if lost {
		l.failed(err)
	}
	l.announceNow()
}

func (l *link) retire() {
	l.mu.Lock()
	l.retired, l.keep = true, false
	l.mu.Unlock()
	l.announceNow()
}

var errStopping = pieces.Errorf(pieces.Unavailable, "this host is stopping")
