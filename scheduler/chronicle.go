package scheduler

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// The access order of a Task outlives its swarm in the manager's catalogue. A
// scheduler that begins to serve a Task asks for it; every OrderEvery it tells
// what has grown. An order is told only after the catalogue was asked, so that a
// scheduler that was started anew does not replace a long one by its first
// touches. Only Tasks of the catalogue have a place there; the manager drops what
// is told of others.

// maxRecalls bounds the Tasks that wait to be asked for; what finds no place is
// asked for in the next round.
const maxRecalls = 1024

// recallOrder has the catalogue asked for the order of a Task that is new here.
func (s *Server) recallOrder(e *entry) {
	if len(s.o.Managers) == 0 || !e.spec.Public() {
		return
	}
	select {
	case s.recalls <- e:
	default:
	}
}

// chronicle keeps orders with the manager until ctx ends, and tells what it has
// not told yet when it does.
func (s *Server) chronicle(ctx context.Context) {
	conns, err := s.dialManagers()
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	if err != nil { // keepWithManager says so
		return
	}
	round := time.NewTicker(s.o.OrderEvery)
	defer round.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), managerTimeout)
			defer cancel()
			s.noteOrders(ctx, conns)
			return
		case e := <-s.recalls:
			s.remember(ctx, conns, e)
		case <-round.C:
			s.noteOrders(ctx, conns)
		}
	}
}

// noteOrders tells at most OrderMost orders that have grown.
func (s *Server) noteOrders(ctx context.Context, conns []*grpc.ClientConn) {
	calls := 0
	for e := range s.tasks.all() {
		if calls >= s.o.OrderMost || ctx.Err() != nil {
			return
		}
		e.mu.Lock()
		f, order, n := e.task.Order()
		news := !e.gone && e.spec.Public() && n > 0 && (e.noted != n || e.notedOf != f.VersionID())
		asked := e.remembered
		e.mu.Unlock()
		if !news {
			continue
		}
		calls++
		if !asked && !s.remember(ctx, conns, e) {
			return // no manager answers
		}
		if !asked {
			e.mu.Lock()
			f, order, n = e.task.Order()
			e.mu.Unlock()
		}
		if !s.note(ctx, conns, e.id, f, order) {
			return
		}
		e.mu.Lock()
		e.noted, e.notedOf = n, f.VersionID()
		e.mu.Unlock()
	}
}

// remember asks the catalogue for the order of e and reports whether a manager
// answered.
func (s *Server) remember(ctx context.Context, conns []*grpc.ClientConn, e *entry) bool {
	var r *managerpb.ResolveTaskReply
	err := s.askManagers(ctx, conns, func(ctx context.Context, m managerpb.ManagerClient) (err error) {
		r, err = m.ResolveTask(ctx, &managerpb.ResolveTaskRequest{Id: string(e.id), Cluster: s.o.Cluster})
		return err
	})
	switch {
	case err != nil && unanswered(err):
		return false
	case err != nil: // NotFound: it is not in the catalogue
		s.log.WithError(err).WithField("task", e.id.Short()).Debug("the catalogue has no access order")
	case r.Facts != nil:
		facts, err := wire.FactsFrom(r.Facts)
		order, err2 := wire.ExtentsFrom(r.AccessOrder)
		if err != nil || err2 != nil {
			s.log.WithField("task", e.id.Short()).Warn("the catalogue's access order makes no sense")
			break
		}
		s.stepEntry(e, swarm.Recalled{Version: facts.VersionID(), Order: order}, nil)
	}
	e.mu.Lock()
	e.remembered = true
	e.mu.Unlock()
	return true
}

// note tells one order and reports whether a manager answered.
func (s *Server) note(ctx context.Context, conns []*grpc.ClientConn, id pieces.TaskID, f pieces.Facts, order []pieces.Extent) bool {
	err := s.askManagers(ctx, conns, func(ctx context.Context, m managerpb.ManagerClient) error {
		_, err := m.NoteTask(ctx, &managerpb.NoteTaskRequest{Id: string(id), Facts: wire.FactsTo(f), AccessOrder: wire.ExtentsTo(order)})
		return err
	})
	if err != nil && !unanswered(err) {
		s.log.WithError(err).WithField("task", id.Short()).Warn("the manager does not keep an access order")
		return true
	}
	return err == nil
}

// askManagers calls one manager after the other until one answers.
func (s *Server) askManagers(ctx context.Context, conns []*grpc.ClientConn, f func(context.Context, managerpb.ManagerClient) error) error {
	err := error(pieces.Errorf(pieces.Unavailable, "no manager"))
	for _, c := range conns {
		try, cancel := context.WithTimeout(ctx, managerTimeout)
		err = f(try, managerpb.NewManagerClient(c))
		cancel()
		if err == nil || !unanswered(err) {
			return err
		}
	}
	return err
}

// unanswered reports whether another manager may say something else.
func unanswered(err error) bool {
	switch pieces.KindOf(err) {
	case pieces.Unavailable, pieces.Timeout, pieces.Canceled:
		return true
	}
	return false
}
