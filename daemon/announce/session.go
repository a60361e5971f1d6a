package announce

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// session is one ReportPieceResult stream. It is made ready to take reports
// and connects in its own goroutine.
type session struct {
	l       *link
	queue   *queue
	welcome chan struct{} // closed when the scheduler knows the session
	over    chan struct{} // closed when it ended; err says why
	err     error
	cut     context.CancelCauseFunc // ends it; set before anybody sees s
	cutCtx  context.Context
	heard   atomic.Int64 // UnixNano of the last message
	beat    atomic.Int64 // interval of heartbeats, a time.Duration

	mu sync.Mutex
	// Guarded by mu.
	ended     bool // no Peer is taken any more
	peers     map[pieces.Key]*Peer
	entering  map[pieces.TaskID]int // registrations under way
	early     map[pieces.Key][]Event
	idleSince time.Time
}

// maxEarly bounds the events kept for one Peer whose registration is not
// answered yet.
const maxEarly = 256

func newSession(l *link) *session {
	s := &session{l: l, queue: newQueue(l.c.o), welcome: make(chan struct{}), over: make(chan struct{}),
		peers: map[pieces.Key]*Peer{}, entering: map[pieces.TaskID]int{}, early: map[pieces.Key][]Event{}, idleSince: time.Now()}
	s.cutCtx, s.cut = context.WithCancelCause(context.Background())
	s.beat.Store(int64(l.c.o.Heartbeat))
	return s
}

// run lives as long as the session and tells its Peers when it has ended.
func (s *session) run(ctx context.Context) {
	err := s.converse(ctx)
	cause := context.Cause(s.cutCtx)
	if cause != nil {
		err = cause
	}
	s.cut(nil)
	stopping := ctx.Err() != nil
	s.l.ended(s, err != nil && cause == nil && !stopping, err)
	s.mu.Lock()
	s.ended = true
	peers := s.peers
	s.peers, s.early = nil, nil
	s.err = err
	s.mu.Unlock()
	close(s.over)
	if stopping {
		return
	}
	if err != nil {
		s.l.c.stats.lost.Add(1)
	}
	for _, p := range peers {
		p.sessionLost(s, err)
	}
}

// converse opens the stream and moves its messages until it ends. nil = it was
// closed in good order.
func (s *session) converse(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.cutCtx, cancel)()
	stream, err := s.open(ctx)
	if err != nil {
		return err
	}
	close(s.welcome)
	out := make(chan *schedulerpb.PeerMessage)
	var feeding sync.WaitGroup
	feedCtx, stopFeeding := context.WithCancel(ctx)
	feeding.Go(func() { s.feed(feedCtx, out) })
	pump := &rpc.Pump[*schedulerpb.PeerMessage, *schedulerpb.SchedulerMessage]{
		Stream: stream, Out: out, Handle: s.handle, Beat: beat,
		Interval: time.Duration(s.beat.Load()), Misses: s.l.c.o.Misses, Cancel: cancel,
	}
	err = pump.Run(ctx)
	stopFeeding()
	feeding.Wait()
	if err == nil && !s.idle(time.Time{}) {
		err = pieces.Errorf(pieces.Unavailable, "scheduler %s closed the session", s.l.addr)
	}
	return err
}

// open greets the scheduler, within AttemptTimeout. ctx stays that of the
// stream.
func (s *session) open(ctx context.Context) (stream schedulerpb.Scheduler_ReportPieceResultClient, err error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(s.l.c.o.AttemptTimeout, cancel)
	defer func() {
		if !late.Stop() {
			err = pieces.Errorf(pieces.Unavailable, "scheduler %s does not answer Hello", s.l.addr)
		}
		if err != nil {
			cancel()
		}
	}()
	if stream, err = s.l.rpc.ReportPieceResult(ctx); err != nil {
		return nil, err
	}
	// A failed Send is explained by Recv.
	_ = stream.Send(hello(s.l.c.o.Host.ID))
	m, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetWelcome() == nil {
		return nil, pieces.Errorf(pieces.Invalid, "scheduler %s does not answer Hello with Welcome", s.l.addr)
	}
	s.heard.Store(time.Now().UnixNano())
	if ms := m.GetWelcome().HeartbeatMs; ms > 0 {
		s.beat.Store(int64(min(interval(ms), 10*time.Second)))
	}
	return stream, nil
}

// feed hands what is due to the stream, and closes out when the session has
// had no Peer for long.
func (s *session) feed(ctx context.Context, out chan<- *schedulerpb.PeerMessage) {
	idle := time.NewTicker(s.l.c.o.SessionIdle / 2)
	defer idle.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		entries, wait := s.queue.take(time.Now())
		for _, e := range entries {
			select {
			case out <- encode(e):
			case <-ctx.Done():
				return
			}
		}
		if len(entries) > 0 {
			continue
		}
		if wait == 0 {
			wait = time.Hour
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.queue.wake:
		case <-timer.C:
		case now := <-idle.C:
			if s.idle(now.Add(-s.l.c.o.SessionIdle)) {
				close(out)
				return
			}
		}
	}
}

// idle ends the session if it has had no Peer since before: then no Peer is
// taken any more. The zero time asks whether it ended so.
func (s *session) idle(before time.Time) bool {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && !s.l.keep && len(s.peers)+len(s.entering) == 0 && s.idleSince.Before(before) {
		s.ended = true
		if s.l.session == s {
			s.l.session = nil
		}
	}
	return s.ended
}

func (s *session) lastHeard() time.Time {
	if at := s.heard.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now()
}

// alive reports whether the scheduler was heard within two heartbeats.
func (s *session) alive() bool {
	return time.Now().UnixNano()-s.heard.Load() < 2*s.beat.Load()
}

// ready waits for the scheduler's Welcome.
func (s *session) ready(ctx context.Context) error {
	select {
	case <-s.welcome:
		return nil
	case <-s.over:
		return &pieces.Error{Kind: pieces.Unavailable, Msg: "session with scheduler " + s.l.addr, Err: s.err}
	case <-ctx.Done():
		return pieces.WithKind(pieces.Unavailable, ctx.Err(), "session with scheduler "+s.l.addr)
	}
}

// enter notes that a Peer of the Task is registering: what the scheduler says
// to it before the answer has arrived is kept. Every enter is followed by one
// leave. It answers false when the session has ended.
func (s *session) enter(id pieces.TaskID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.entering[id]++
	return true
}

func (s *session) leave(id pieces.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entering[id]--; s.entering[id] > 0 {
		return
	}
	delete(s.entering, id)
	for key := range s.early {
		if key.Task == id {
			delete(s.early, key)
		}
	}
	s.idleSince = time.Now()
}

// adopt makes p a Peer of this session and queues for it first, if not nil, and
// its early events; the caller drains them. It answers false when the session
// has ended.
func (s *session) adopt(p *Peer, first Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.peers[p.key] = p
	if first != nil {
		p.events.queue(first)
	}
	for _, e := range s.early[p.key] {
		if p.accepts(e) {
			p.events.queue(e)
		}
	}
	delete(s.early, p.key)
	return true
}

// drop ends p's part in the session.
func (s *session) drop(p *Peer) {
	s.mu.Lock()
	if s.peers[p.key] == p {
		delete(s.peers, p.key)
		s.idleSince = time.Now()
	}
	s.mu.Unlock()
	s.queue.forget(p.key)
}

// handle takes one message of the scheduler; it is called in order by one
// goroutine. A message that makes no sense is ignored.
func (s *session) handle(m *schedulerpb.SchedulerMessage) error {
	s.heard.Store(time.Now().UnixNano())
	if m.Task == "" {
		return nil // a heartbeat
	}
	log := s.l.c.o.Log.WithField("scheduler", s.l.addr)
	key, err := pieces.ParseKey(m.Task, m.Version)
	if err != nil {
		log.WithError(err).Warn("message of the scheduler ignored")
		return nil
	}
	if m.GetResume() != nil {
		s.l.c.resumeAt(s.l, key)
		return nil
	}
	e, err := decode(m)
	if err != nil {
		log.WithError(err).WithFields(key.Fields()).Warn("message of the scheduler ignored")
		return nil
	}
	if e == nil {
		return nil
	}
	s.mu.Lock()
	p := s.peers[key]
	if p == nil && s.entering[key.Task] > 0 && len(s.early[key]) < maxEarly {
		s.early[key] = append(s.early[key], e)
	}
	s.mu.Unlock()
	if p != nil {
		p.receive(s, e)
	}
	return nil
}
