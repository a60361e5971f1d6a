package announce

import (
	"context"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
)

// ResolveTask asks the manager for the catalogue entry of id: NotFound if there
// is none, Unavailable if no manager answers. The entry hashes to id.
func (c *Client) ResolveTask(ctx context.Context, id pieces.TaskID) (*pieces.Task, error) {
	t, err := c.resolve(ctx, &managerpb.ResolveTaskRequest{Id: string(id), Cluster: c.lastState().Cluster})
	if err == nil && t.ID != id {
		return nil, pieces.Errorf(pieces.Integrity, "the manager answers task %s for %s", t.ID.Short(), id.Short())
	}
	return t, err
}

// ResolveName is ResolveTask for a name.
func (c *Client) ResolveName(ctx context.Context, name string) (*pieces.Task, error) {
	return c.resolve(ctx, &managerpb.ResolveTaskRequest{Name: name, Cluster: c.lastState().Cluster})
}

func (c *Client) resolve(ctx context.Context, req *managerpb.ResolveTaskRequest) (*pieces.Task, error) {
	var r *managerpb.ResolveTaskReply
	err := c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) (err error) {
		r, err = mc.ResolveTask(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	t, err := wire.TaskFrom(r.Task)
	if err == nil {
		err = t.CheckID()
	}
	if err != nil {
		return nil, pieces.WithKind(pieces.Integrity, err, "catalogue entry from the manager")
	}
	return t, c.guard(t)
}

// namesPage is how many names one call asks for, maxNames how many are taken
// in all.
const (
	namesPage = 1000
	maxNames  = 100 * namesPage
)

// Names returns the manager's names and their Tasks.
func (c *Client) Names(ctx context.Context) (map[string]pieces.TaskID, error) {
	names := map[string]pieces.TaskID{}
	for after := ""; len(names) < maxNames; {
		var r *managerpb.ListNamesReply
		err := c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) (err error) {
			r, err = mc.ListNames(ctx, &managerpb.ListNamesRequest{After: after, Limit: namesPage, Cluster: c.lastState().Cluster})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, n := range r.Names {
			id, err := pieces.ParseTaskID(n.GetTaskId())
			if err != nil || n.GetName() <= after {
				return nil, pieces.Errorf(pieces.Invalid, "the manager's list of names is out of order or damaged at %.100q", n.GetName())
			}
			after = n.Name
			names[n.Name] = id
		}
		if len(r.Names) == 0 {
			break
		}
	}
	return names, nil
}

// PutTask adds a public Task to the manager's catalogue, with a name unless it
// is empty: Exists if the name belongs to another Task.
func (c *Client) PutTask(ctx context.Context, t *pieces.Task, name string) error {
	return c.RenameTask(ctx, t, "", name)
}

// RenameTask is PutTask of a Task that was called from until now, unless that is
// empty; a manager of an older release keeps it.
func (c *Client) RenameTask(ctx context.Context, t *pieces.Task, from, name string) error {
	if err := c.guard(t); err != nil {
		return err
	}
	return c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) error {
		_, err := mc.PutTask(ctx, &managerpb.PutTaskRequest{Task: wire.TaskTo(t), Name: name, InsteadOf: from, Cluster: c.lastState().Cluster})
		return err
	})
}

// RemoveTask takes a Task off the manager's catalogue.
func (c *Client) RemoveTask(ctx context.Context, id pieces.TaskID) error {
	return c.managers.call(ctx, func(ctx context.Context, mc managerpb.ManagerClient) error {
		_, err := mc.RemoveTask(ctx, &managerpb.RemoveTaskRequest{Id: string(id)})
		return err
	})
}
