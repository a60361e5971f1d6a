package manager

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// ListTasks searches the catalogue, newest first.
func (a admin) ListTasks(ctx context.Context, req *managerpb.ListTasksRequest) (*managerpb.ListTasksReply, error) {
	limit, token, err := page(req.PageSize, req.PageToken, req.Search, req.Tag)
	if err != nil {
		return nil, err
	}
	if _, err := clusterName(req.Cluster); err != nil {
		return nil, err
	}
	after, err := placeOf(token)
	if err != nil {
		return nil, err
	}
	f := store.TaskFilter{Search: req.Search, Tag: req.Tag, Cluster: req.Cluster}
	entries, err := a.store.Tasks(ctx, f, after, limit, a.opts.Now())
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListTasksReply{NextPageToken: tokenOf(len(entries), limit, func() string {
		last := entries[limit-1]
		return strconv.FormatInt(last.Added.UnixMilli(), 10) + " " + string(last.Task.ID)
	})}
	reply.Tasks, err = a.entriesTo(ctx, entries)
	return reply, err
}

// placeOf reads the token of a list of Tasks.
func placeOf(token string) (p store.TaskPlace, err error) {
	if token == "" {
		return p, nil
	}
	added, id, _ := strings.Cut(token, " ")
	ms, err := strconv.ParseInt(added, 10, 64)
	if err == nil {
		p.ID, err = pieces.ParseTaskID(id)
	}
	if err != nil {
		return p, errToken
	}
	p.Added = time.UnixMilli(ms)
	return p, nil
}

func (a admin) entriesTo(ctx context.Context, entries []store.Entry) ([]*managerpb.TaskEntry, error) {
	ids := make([]pieces.TaskID, len(entries))
	for i := range entries {
		ids[i] = entries[i].Task.ID
	}
	names, err := a.store.NamesOfAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]*managerpb.TaskEntry, len(entries))
	for i := range entries {
		out[i] = entryTo(&entries[i], names[ids[i]])
	}
	return out, nil
}

func entryTo(e *store.Entry, names []store.ClusterName) *managerpb.TaskEntry {
	t := &e.Task
	m := &managerpb.TaskEntry{
		Id: string(t.ID), Url: t.PublicURL, Tag: t.Tag, Application: t.Application, Digest: string(t.Digest), FilterQuery: t.FilterQuery,
		Added: stamp(e.Added), Expires: stamp(e.Expires), Etag: etagOf(e.Revision),
	}
	for _, n := range names {
		m.Names = append(m.Names, &managerpb.TaskName{Cluster: n.Cluster, Name: n.Name})
	}
	if f := e.Facts; f != nil {
		m.Known = &managerpb.KnownVersion{Version: string(f.VersionID()), Size: f.Size, Modified: stamp(f.Modified), Seen: stamp(e.FactsSeen)}
		for _, x := range e.Order {
			m.Known.AccessOrder = append(m.Known.AccessOrder, uint32(x.First), uint32(x.End))
		}
	}
	return m
}

// GetTask answers one entry, or NotFound.
func (a admin) GetTask(ctx context.Context, req *managerpb.GetTaskRequest) (*managerpb.TaskEntry, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	e, err := a.store.Task(ctx, id, a.opts.Now())
	if err != nil {
		return nil, err
	}
	all, err := a.entriesTo(ctx, []store.Entry{e})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// publicTask makes the Task of a URL that anybody may read. One with a user, or
// with values of parameters that are to be filtered, is refused: those are
// secrets, and secrets stay on hosts.
func publicTask(url string, o pieces.Options) (*pieces.Task, error) {
	for what, s := range map[string]string{"tag": o.Tag, "application": o.Application} {
		if err := checkText(what, s); err != nil {
			return nil, err
		}
	}
	t, err := pieces.NewTask(url, o, nil)
	switch {
	case err != nil:
		return nil, err
	case !t.Public():
		return nil, pieces.Errorf(pieces.Invalid, "%s: a URL with a user needs a credential, which the manager must not have; add it on a host with dfmount add", t)
	case t.HasSecrets():
		return nil, pieces.Errorf(pieces.Invalid, "%s: leave out the filtered parameters, which the manager must not have; hosts add theirs with dfmount add", t)
	}
	return t, nil
}

// AddTask adds a public URL.
func (a admin) AddTask(ctx context.Context, req *managerpb.AddTaskRequest) (*managerpb.TaskEntry, error) {
	t, err := publicTask(req.Url, pieces.Options{
		Tag: req.Tag, Application: req.Application, Digest: pieces.Digest(req.Digest), FilterQuery: req.FilterQuery,
	})
	if err != nil {
		return nil, err
	}
	put := store.Put{Task: t, Name: req.Name, Now: a.opts.Now()}
	if put.Cluster, err = clusterName(req.Cluster); err != nil {
		return nil, err
	}
	if req.Name != "" {
		if err := pieces.CheckName(req.Name); err != nil {
			return nil, err
		}
	}
	if put.Expires, err = a.future(req.Expires); err != nil {
		return nil, err
	}
	if err := a.putTask(ctx, put); err != nil {
		return nil, err
	}
	return a.GetTask(ctx, &managerpb.GetTaskRequest{Id: string(t.ID)})
}

// future accepts a time to come; the zero time if none is given.
func (a admin) future(m *timestamppb.Timestamp) (time.Time, error) {
	if m == nil {
		return time.Time{}, nil
	}
	if t := m.AsTime(); m.IsValid() && t.After(a.opts.Now()) {
		return t, nil
	}
	return time.Time{}, pieces.Errorf(pieces.Invalid, "expires: want a time to come")
}

// UpdateTask changes when an entry ends.
func (a admin) UpdateTask(ctx context.Context, req *managerpb.UpdateTaskRequest) (*managerpb.TaskEntry, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	expires, err := a.future(req.Expires)
	if err != nil {
		return nil, err
	}
	rev, any, err := revision(ctx, req.Etag)
	if any && err == nil {
		var e store.Entry
		e, err = a.store.Task(ctx, id, a.opts.Now())
		rev = e.Revision
	}
	if err != nil {
		return nil, err
	}
	if err := a.store.SetExpiry(ctx, id, expires, rev); err != nil {
		return nil, err
	}
	a.answers.forget()
	return a.GetTask(ctx, &managerpb.GetTaskRequest{Id: req.Id})
}

// DeleteTask takes an entry and its names off the catalogue.
func (a admin) DeleteTask(ctx context.Context, req *managerpb.DeleteTaskRequest) (*managerpb.DeleteTaskReply, error) {
	id, err := pieces.ParseTaskID(req.Id)
	if err != nil {
		return nil, err
	}
	rev, any, err := revision(ctx, req.Etag)
	if err != nil {
		return nil, err
	}
	if !any && rev == 0 {
		return nil, pieces.Errorf(pieces.Changed, "etag 0 is of no state this had")
	}
	return &managerpb.DeleteTaskReply{}, a.removeTask(ctx, id, rev)
}

// DeleteName takes a name off; its Task stays.
func (a admin) DeleteName(ctx context.Context, req *managerpb.DeleteNameRequest) (*managerpb.DeleteNameReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	if err := pieces.CheckName(req.Name); err != nil {
		return nil, err
	}
	defer a.answers.forget()
	return &managerpb.DeleteNameReply{}, a.store.RemoveName(ctx, cluster, req.Name)
}
