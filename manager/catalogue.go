package manager

import (
	"context"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
)

// maxNames is the most names of one page.
const maxNames = 1000

// PutTask adds a public Task to the catalogue, and a name for it if one is
// given. The entry must hash to its id; one with an audience is refused, since
// what it takes to read it never leaves its host.
func (s *Server) PutTask(ctx context.Context, req *managerpb.PutTaskRequest) (*managerpb.PutTaskReply, error) {
	t, err := taskFrom(req.Task)
	if err != nil {
		return nil, err
	}
	if req.Name != "" {
		if err := pieces.CheckName(req.Name); err != nil {
			return nil, err
		}
	}
	if err := s.store.PutTask(ctx, t, req.Name, s.opts.Now()); err != nil {
		return nil, err
	}
	return &managerpb.PutTaskReply{}, nil
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
	t, err := s.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	names, err := s.store.NamesOf(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	return &managerpb.ResolveTaskReply{Task: wire.TaskTo(t), Names: names}, nil
}

func (s *Server) resolve(ctx context.Context, req *managerpb.ResolveTaskRequest) (*pieces.Task, error) {
	switch {
	case (req.Id == "") == (req.Name == ""):
		return nil, pieces.Errorf(pieces.Invalid, "want either an id or a name")
	case req.Name != "":
		return s.store.TaskNamed(ctx, req.Name)
	}
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	return s.store.Task(ctx, id)
}

// ListNames answers a page of the catalogue's names, in the database's order.
func (s *Server) ListNames(ctx context.Context, req *managerpb.ListNamesRequest) (*managerpb.ListNamesReply, error) {
	limit := int(min(req.Limit, maxNames))
	if limit == 0 {
		limit = maxNames
	}
	names, err := s.store.Names(ctx, req.After, limit)
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
	if err := s.store.RemoveTask(ctx, id); err != nil {
		return nil, err
	}
	return &managerpb.RemoveTaskReply{}, nil
}
