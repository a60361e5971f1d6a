package console

import (
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

type tasksView struct {
	Tasks  []*managerpb.TaskEntry
	Filter filter
}

func (v *visit) listTasks() (tasksView, error) {
	r, err := v.admin().ListTasks(v.ctx, &managerpb.ListTasksRequest{
		Search: v.query("search"), Tag: v.query("tag"), Cluster: v.query("cluster"), PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return tasksView{}, err
	}
	return tasksView{r.Tasks, v.filter(len(r.Tasks), r.NextPageToken)}, nil
}

func (v *visit) tasks() error {
	list, err := v.listTasks()
	if err != nil {
		return err
	}
	return v.ok("tasks", "Tasks", list)
}

// taskView is one Task and who holds what of it.
type taskView struct {
	*managerpb.TaskEntry
	Swarms []swarmMap
	Silent []string
	// Asked is the last job that asked all hosts; nil if none did of late.
	Asked  *managerpb.Job
	Holds  []holding
	Expiry *form
}

// swarmMap is who takes part in one Version at one scheduler.
type swarmMap struct {
	*commonpb.Swarm
	Rows []mapRow
}

type mapRow struct {
	*commonpb.SwarmPeer
	Map pieceMap
}

// holding is what a host said to hold of one Version.
type holding struct {
	Host, Hostname, Version string
	Bytes, Size             int64
	Held, Count             int
	Map                     pieceMap
}

func (v *visit) task() error { return v.showTask(200, nil) }

// showTask shows a Task; ends is the form of when its entry ends as somebody
// filled it in, or nil.
func (v *visit) showTask(status int, ends *form) error {
	id := v.r.PathValue("id")
	t, err := v.admin().GetTask(v.ctx, &managerpb.GetTaskRequest{Id: id})
	if err != nil {
		return err
	}
	swarm, err := v.admin().GetSwarm(v.ctx, &managerpb.GetTaskSwarmRequest{Id: id, MaxPeers: perPage})
	if err != nil {
		return err
	}
	if ends == nil {
		ends = newForm(url.Values{})
		if t.Expires != nil {
			ends.Values.Set("expires", t.Expires.AsTime().UTC().Format(inputTime))
		}
	}
	view := taskView{TaskEntry: t, Silent: swarm.Silent, Expiry: ends}
	for _, s := range swarm.Swarms {
		m := swarmMap{Swarm: s}
		for _, p := range s.Peers {
			m.Rows = append(m.Rows, mapRow{p, newPieceMap(p.Extents, int(s.Pieces))})
		}
		view.Swarms = append(view.Swarms, m)
	}
	if err := v.holders(&view); err != nil {
		return err
	}
	return v.show(status, "task", "Task "+short(t.Id), view)
}

// holders adds what hosts answered when they were asked last. Only the newest
// jobs are looked through.
func (v *visit) holders(view *taskView) error {
	jobs, err := v.admin().ListJobs(v.ctx, &managerpb.ListJobsRequest{Kind: "holders", PageSize: perPage})
	if err != nil {
		return err
	}
	for _, j := range jobs.Jobs {
		if len(j.TaskIds) == 1 && j.TaskIds[0] == view.Id {
			view.Asked = j
			break
		}
	}
	if view.Asked == nil {
		return nil
	}
	items, err := v.admin().ListJobItems(v.ctx, &managerpb.ListJobItemsRequest{Job: view.Asked.Id, State: "succeeded", PageSize: 4 * perPage})
	if err != nil {
		return err
	}
	for _, i := range items.Items {
		view.Holds = append(view.Holds, holdingsOf(i)...)
	}
	return nil
}

// holdingsOf reads the result of a job of kind holders.
func holdingsOf(i *managerpb.JobItem) (all []holding) {
	for _, one := range i.GetResult().GetFields()["versions"].GetListValue().GetValues() {
		f := one.GetStructValue().GetFields()
		number := func(name string) int64 { return int64(f[name].GetNumberValue()) }
		h := holding{
			Host: i.HostId, Hostname: i.Hostname, Version: f["version"].GetStringValue(),
			Bytes: number("bytes"), Size: number("size"), Held: int(number("pieces")), Count: int(number("count")),
		}
		var extents []*commonpb.Extent
		for _, pair := range f["extents"].GetListValue().GetValues() {
			if p := pair.GetListValue().GetValues(); len(p) == 2 {
				extents = append(extents, &commonpb.Extent{First: uint32(p[0].GetNumberValue()), End: uint32(p[1].GetNumberValue())})
			}
		}
		h.Map = newPieceMap(extents, h.Count)
		all = append(all, h)
	}
	return all
}

// expireTask sets when the entry ends; empty is never.
func (v *visit) expireTask() error {
	f := newForm(v.r.PostForm)
	req := &managerpb.UpdateTaskRequest{Id: v.r.PathValue("id"), Etag: v.field("etag")}
	var err error
	if req.Expires, err = expiry(v.field("expires")); err == nil {
		_, err = v.admin().UpdateTask(v.ctx, req)
	}
	switch {
	case err == nil:
		return v.done("/tasks/"+req.Id, "saved")
	case !correctable(err):
		return err
	}
	f.blame(err, "expires", "expires")
	return v.showTask(v.o.Status(err), f)
}

// inputTime is how an input of a date and time writes them.
const inputTime = "2006-01-02T15:04:05"

// expiry reads what an input of a date and time gives, as UTC.
func expiry(text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{inputTime, "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, pieces.Errorf(pieces.Invalid, "expires %.40q: want a date and a time", text)
}

func (v *visit) deleteTask() error {
	if _, err := v.admin().DeleteTask(v.ctx, &managerpb.DeleteTaskRequest{Id: v.r.PathValue("id"), Etag: v.field("etag")}); err != nil {
		return err
	}
	return v.done("/catalogue", "deleted")
}

// taskJob starts a job for this Task alone.
func (v *visit) taskJob() error {
	return v.start(&managerpb.StartJobRequest{
		Kind: v.field("kind"), Cluster: v.field("cluster"), TaskIds: []string{v.r.PathValue("id")},
		Target: target(v.field("target"), "", nil),
	})
}

// target is nil for the one the service chooses.
func target(kind, host string, labels map[string]string) *managerpb.Target {
	if kind == "" {
		return nil
	}
	return &managerpb.Target{Kind: kind, HostId: host, Labels: labels}
}
