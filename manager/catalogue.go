package manager

import (
	"context"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
)

// Bounds of one call.
const (
	maxNames = 1000 // names of one page
	maxOrder = 1000 // extents of an access order
)

// PutTask adds a public Task to the catalogue, and a name for it if one is
// given, also in the place of another one. The entry must hash to its id; one
// with an audience is refused, since what it takes to read it never leaves its
// host. Hosts are not told apart here: whoever may add may rename and remove.
func (s *Server) PutTask(ctx context.Context, req *managerpb.PutTaskRequest) (*managerpb.PutTaskReply, error) {
	t, err := taskFrom(req.Task)
	if err != nil {
		return nil, err
	}
	put := store.Put{Task: t, Name: req.Name, InsteadOf: req.InsteadOf, Now: s.opts.Now()}
	if put.Cluster, err = clusterName(req.Cluster); err != nil {
		return nil, err
	}
	for _, name := range []string{req.Name, req.InsteadOf} {
		if name == "" {
			continue
		}
		if err := pieces.CheckName(name); err != nil {
			return nil, err
		}
	}
	if req.Name == "" && req.InsteadOf != "" {
		return nil, pieces.Errorf(pieces.Invalid, "a name can only end for another one; give that too")
	}
	return &managerpb.PutTaskReply{}, s.putTask(ctx, put)
}

func (s *Server) putTask(ctx context.Context, p ...store.Put) error {
	defer s.answers.forget()
	return s.store.PutTasks(ctx, p)
}

func taskFrom(m *commonpb.Task) (*pieces.Task, error) {
	t, err := wire.TaskFrom(m)
	if err != nil {
		return nil, err
	}
	if !t.Public() {
		return nil, pieces.Errorf(pieces.Denied, "task %s needs a credential: it stays on its host and has no place in the catalogue", t.ID.Short())
	}
	return t, nil
}

// ResolveTask answers a Task by id, or by name if the id is empty.
func (s *Server) ResolveTask(ctx context.Context, req *managerpb.ResolveTaskRequest) (*managerpb.ResolveTaskReply, error) {
	a, err := s.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ResolveTaskReply{Task: wire.TaskTo(&a.entry.Task), Names: a.names}
	if a.entry.Facts != nil {
		reply.Facts, reply.AccessOrder = wire.FactsTo(*a.entry.Facts), wire.ExtentsTo(a.entry.Order)
	}
	return reply, nil
}

func (s *Server) resolve(ctx context.Context, req *managerpb.ResolveTaskRequest) (answer, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return answer{}, err
	}
	var key string
	var look func(ctx context.Context) (store.Entry, error)
	switch {
	case (req.Id == "") == (req.Name == ""):
		return answer{}, pieces.Errorf(pieces.Invalid, "want either an id or a name")
	case req.Name != "":
		if err := pieces.CheckName(req.Name); err != nil {
			// It can't be in the catalogue.
			return answer{}, pieces.Errorf(pieces.NotFound, "name %.100q is not in the catalogue", req.Name)
		}
		key = "name " + cluster + " " + req.Name
		look = func(ctx context.Context) (store.Entry, error) {
			return s.store.TaskNamed(ctx, cluster, req.Name, s.opts.Now())
		}
	default:
		id, err := pieces.ParseTaskID(req.Id)
		if err != nil {
			return answer{}, err
		}
		key = "id " + cluster + " " + req.Id
		look = func(ctx context.Context) (store.Entry, error) { return s.store.Task(ctx, id, s.opts.Now()) }
	}
	return s.answers.get(ctx, key, func(ctx context.Context) (a answer, err error) {
		s.metrics.asked()
		if a.entry, err = look(ctx); err == nil {
			a.names, err = s.store.NamesOf(ctx, cluster, a.entry.Task.ID)
		}
		return a, err
	})
}

// ListNames answers a page of a cluster's names, in the order of their bytes.
func (s *Server) ListNames(ctx context.Context, req *managerpb.ListNamesRequest) (*managerpb.ListNamesReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	limit := int(min(req.Limit, maxNames))
	if limit == 0 {
		limit = maxNames
	}
	names, err := s.store.Names(ctx, cluster, req.After, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListNamesReply{}
	for _, n := range names {
		reply.Names = append(reply.Names, &managerpb.Name{Name: n.Name, TaskId: string(n.Task)})
	}
	return reply, nil
}

// RemoveTask takes a Task and its names off the catalogue; NotFound if it is
// not there.
func (s *Server) RemoveTask(ctx context.Context, req *managerpb.RemoveTaskRequest) (*managerpb.RemoveTaskReply, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	return &managerpb.RemoveTaskReply{}, s.removeTask(ctx, id, 0)
}

func (s *Server) removeTask(ctx context.Context, id pieces.TaskID, revision uint64) error {
	defer s.answers.forget()
	return s.store.RemoveTask(ctx, id, revision)
}

// NoteTask keeps what was seen of a Task's current Version, if the catalogue
// has it.
func (s *Server) NoteTask(ctx context.Context, req *managerpb.NoteTaskRequest) (*managerpb.NoteTaskReply, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	facts, err := wire.FactsFrom(req.Facts)
	if err != nil {
		return nil, err
	}
	g, err := facts.Geometry()
	if err != nil {
		return nil, err
	}
	if len(req.AccessOrder) > maxOrder {
		return nil, pieces.Errorf(pieces.Invalid, "access order of %d extents, at most %d are allowed", len(req.AccessOrder), maxOrder)
	}
	order, err := wire.ExtentsFrom(req.AccessOrder)
	if err != nil {
		return nil, err
	}
	for _, e := range order {
		if !g.Contains(e) {
			return nil, pieces.Errorf(pieces.Invalid, "access order: no pieces %d to %d in %d bytes", e.First, e.End, facts.Size)
		}
	}
	return &managerpb.NoteTaskReply{}, s.store.NoteTask(ctx, id, facts, order, s.opts.Now())
}
