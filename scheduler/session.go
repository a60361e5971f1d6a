package scheduler

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/trace"
	"damselfly/scheduler/swarm"
)

// session is one ReportPieceResult stream of a host.
type session struct {
	host   pieces.HostID
	number uint64 // set by hosts.open
	out    chan *schedulerpb.SchedulerMessage
	cut    context.CancelCauseFunc
}

// queue puts a message in line; a full line ends the session.
func (s *session) queue(m *schedulerpb.SchedulerMessage) {
	select {
	case s.out <- m:
	default:
		s.cut(pieces.Errorf(pieces.Full, "%d messages wait for host %s, as many as may (QueueLength)", cap(s.out), s.host.Short()))
	}
}

type stream = schedulerpb.Scheduler_ReportPieceResultServer

// ReportPieceResult serves a host's stream until it breaks, falls silent, or is
// replaced by a newer one.
func (s *Server) ReportPieceResult(st stream) error {
	id, err := s.greet(st)
	if err != nil {
		return err
	}
	ctx, cut := context.WithCancelCause(st.Context())
	defer cut(nil)
	ses := &session{host: id, out: make(chan *schedulerpb.SchedulerMessage, s.o.QueueLength), cut: cut}
	old, err := s.hosts.open(ses, time.Now())
	if err != nil {
		return err
	}
	if old != nil {
		old.cut(pieces.Errorf(pieces.Unavailable, "the host opened a newer session"))
		s.sessionDown(old)
	}
	defer func() {
		s.hosts.close(ses, time.Now())
		s.sessionDown(ses)
	}()
	log := s.log.WithField("host", id.Short()).WithField("session", ses.number)
	if err := st.Send(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Welcome{
		Welcome: &schedulerpb.Welcome{Session: ses.number, HeartbeatMs: uint32(s.o.Heartbeat.Milliseconds())},
	}}); err != nil {
		return err
	}
	log.Debug("session begins")
	for _, t := range s.hosts.tasksOf(id) {
		s.step(t, swarm.SessionUp{Host: id, Session: ses.number})
	}
	pump := rpc.Pump[*schedulerpb.SchedulerMessage, *schedulerpb.PeerMessage]{
		Stream: st, Out: ses.out, Beat: beat, Interval: s.o.Heartbeat, Misses: s.o.Misses,
		Handle: func(m *schedulerpb.PeerMessage) error { return s.hear(ses, m) },
	}
	err = pump.Run(ctx)
	why := whyEnded(ctx, err)
	if err == nil {
		err = context.Cause(ctx) // nil when the host closed it in good order
	}
	s.metrics.sessionEnded(why)
	log.WithError(err).WithField("why", why).Debug("session ends")
	return err
}

// whyEnded names the end of a session for the metrics: err is the pump's, ctx
// the session's.
func whyEnded(ctx context.Context, err error) string {
	switch cause := context.Cause(ctx); {
	case pieces.KindOf(err) == pieces.Invalid:
		return "invalid"
	case pieces.KindOf(cause) == pieces.Full:
		return "full queue"
	case cause != nil && pieces.KindOf(cause) == pieces.Unavailable:
		return "replaced"
	case err == nil && cause == nil:
		return "closed"
	case pieces.KindOf(err) == pieces.Unavailable && !rpc.IsTransport(err):
		return "silent"
	}
	return "broken"
}

// greet waits for Hello.
func (s *Server) greet(st stream) (pieces.HostID, error) {
	type first struct {
		m   *schedulerpb.PeerMessage
		err error
	}
	// The goroutine ends with the stream, which ends when we return an error.
	got := make(chan first, 1)
	go func() {
		m, err := st.Recv()
		got <- first{m, err}
	}()
	late := time.NewTimer(s.o.HelloTimeout)
	defer late.Stop()
	select {
	case f := <-got:
		switch {
		case f.err != nil:
			return "", pieces.WithKind(pieces.Unavailable, f.err, "the stream ended before Hello")
		case f.m.GetHello() == nil:
			return "", pieces.Errorf(pieces.Invalid, "the first message of a stream must be Hello")
		}
		id, err := pieces.ParseHostID(f.m.GetHello().HostId)
		if err == nil {
			err = s.config.Load().allowHost(id)
		}
		return id, err
	case <-late.C:
		return "", pieces.Errorf(pieces.Timeout, "no Hello within %v", s.o.HelloTimeout)
	case <-st.Context().Done():
		return "", st.Context().Err()
	}
}

// sessionDown tells every Task of the host that the session ended.
func (s *Server) sessionDown(ses *session) {
	for _, t := range s.hosts.tasksOf(ses.host) {
		s.step(t, swarm.SessionDown{Host: ses.host, Session: ses.number})
	}
}

// hear takes one message of a session. An error ends it.
func (s *Server) hear(ses *session, m *schedulerpb.PeerMessage) error {
	if m.GetHeartbeat() != nil {
		return nil
	}
	if s.hosts.session(ses.host) != ses.number {
		return nil // a newer session is there
	}
	id, ev, err := decode(ses, m)
	if err != nil {
		return err
	}
	if ev == nil {
		return nil // a message that this version does not know
	}
	known := false
	if w, ok := ev.(swarm.Want); ok {
		known = s.stepWant(id, w, trace.Parse(m.GetWant().GetTraceparent()))
	} else {
		known = s.step(id, ev)
	}
	if !known && m.Version != "" {
		ses.queue(encode(id, pieces.VersionID(m.Version), swarm.Rejected{Reason: "task not known here", Retry: time.Millisecond}))
	}
	return nil
}

// heartbeat is sent to every host each second; sending reads it only.
var heartbeat = &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}}

func beat() *schedulerpb.SchedulerMessage { return heartbeat }
