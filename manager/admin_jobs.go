package manager

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"damselfly/manager/jobs"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// StartJob adds a job; whichever manager is free runs it.
func (a admin) StartJob(ctx context.Context, req *managerpb.StartJobRequest) (*managerpb.Job, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	timeout := jobs.DefaultTimeout
	if req.Timeout != nil {
		timeout = req.Timeout.AsDuration()
	}
	if timeout < jobs.MinTimeout || timeout > jobs.MaxTimeout {
		return nil, pieces.Errorf(pieces.Invalid, "timeout %s: want 1 second to 7 days", timeout)
	}
	kind := jobs.Kind(req.Kind)
	if len(req.Urls) > 0 && kind != jobs.Preheat {
		return nil, pieces.Errorf(pieces.Invalid, "urls are for a preheat; name the tasks by their ids")
	}
	if len(req.Urls)+len(req.TaskIds) > jobs.MaxTasks {
		return nil, pieces.Errorf(pieces.Invalid, "%d tasks, at most %d are allowed in one job", len(req.Urls)+len(req.TaskIds), jobs.MaxTasks)
	}
	spec := jobs.Spec{Target: jobs.Target{
		Who: jobs.Who(req.GetTarget().GetKind()), Host: pieces.HostID(req.GetTarget().GetHostId()), Labels: req.GetTarget().GetLabels(),
	}}
	added, err := a.tasksOf(ctx, req, &spec)
	if err != nil {
		return nil, err
	}
	if err := spec.Check(kind); err != nil {
		return nil, err
	}
	if err := a.putTask(ctx, added...); err != nil {
		return nil, err
	}
	text, err := spec.Encode()
	if err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "the job can't be written down: %w", err)
	}
	j := store.Job{ID: jobID(a.opts.Now()), Kind: req.Kind, Cluster: cluster, Spec: text, Created: a.opts.Now(), Timeout: timeout}
	if err := a.store.AddJob(ctx, j); err != nil {
		return nil, err
	}
	a.jobs.Wake()
	return a.GetJob(ctx, &managerpb.GetJobRequest{Id: j.ID})
}

// tasksOf puts the Tasks of a request into spec, each once, and answers those
// that are to be added to the catalogue.
func (a admin) tasksOf(ctx context.Context, req *managerpb.StartJobRequest, spec *jobs.Spec) (added []store.Put, err error) {
	seen := map[pieces.TaskID]bool{}
	for _, text := range req.TaskIds {
		id, err := pieces.ParseTaskID(text)
		if err != nil {
			return nil, err
		}
		// What was removed from the catalogue may still lie on hosts.
		if jobs.Kind(req.Kind) == jobs.Preheat {
			if _, err := a.store.Task(ctx, id, a.opts.Now()); err != nil {
				return nil, err
			}
		}
		if !seen[id] {
			seen[id] = true
			spec.Tasks = append(spec.Tasks, id)
		}
	}
	for _, url := range req.Urls {
		t, err := publicTask(url, pieces.Options{Tag: req.Tag, Application: req.Application})
		if err != nil {
			return nil, err
		}
		if !seen[t.ID] {
			seen[t.ID] = true
			spec.Tasks = append(spec.Tasks, t.ID)
			added = append(added, store.Put{Task: t, Now: a.opts.Now()})
		}
	}
	return added, nil
}

// jobID makes an id that grows with time.
func jobID(now time.Time) string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%012x%s", now.UnixMilli(), hex.EncodeToString(b[:]))
}

func checkJobID(id string) error {
	if b, err := hex.DecodeString(id); err != nil || len(b) != 12 {
		return pieces.Errorf(pieces.Invalid, "job %.40q: want 24 hex digits", id)
	}
	return nil
}

// GetJob answers one job, or NotFound.
func (a admin) GetJob(ctx context.Context, req *managerpb.GetJobRequest) (*managerpb.Job, error) {
	if err := checkJobID(req.Id); err != nil {
		return nil, err
	}
	j, err := a.store.Job(ctx, req.Id)
	if err != nil {
		return nil, err
	}
	return jobTo(j)
}

func jobTo(j store.Job) (*managerpb.Job, error) {
	spec, err := jobs.DecodeSpec(j.Spec)
	if err != nil {
		return nil, err
	}
	m := &managerpb.Job{
		Id: j.ID, Kind: j.Kind, Cluster: j.Cluster, State: string(j.State), Error: j.Error,
		Target:  &managerpb.Target{Kind: string(spec.Target.Who), HostId: string(spec.Target.Host), Labels: spec.Target.Labels},
		Created: stamp(j.Created), Started: stamp(j.Started), Finished: stamp(j.Finished), Timeout: durationpb.New(j.Timeout),
		Items: map[string]uint32{}, Done: j.Done, Total: j.Total, Canceling: j.Canceled && !j.State.Done(), Owner: j.Owner, Etag: etagOf(j.Revision),
	}
	for _, id := range spec.Tasks {
		m.TaskIds = append(m.TaskIds, string(id))
	}
	for state, n := range j.Counts {
		m.Items[string(state)] = uint32(n)
	}
	return m, nil
}

// ListJobs answers a page of jobs, newest first.
func (a admin) ListJobs(ctx context.Context, req *managerpb.ListJobsRequest) (*managerpb.ListJobsReply, error) {
	limit, before, err := page(req.PageSize, req.PageToken, req.Kind, req.State)
	if err != nil {
		return nil, err
	}
	if _, err := clusterName(req.Cluster); err != nil {
		return nil, err
	}
	all, err := a.store.Jobs(ctx, store.JobFilter{Cluster: req.Cluster, Kind: req.Kind, State: store.JobState(req.State)}, before, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListJobsReply{NextPageToken: tokenOf(len(all), limit, func() string { return all[limit-1].ID })}
	for _, j := range all {
		m, err := jobTo(j)
		if err != nil {
			return nil, err
		}
		reply.Jobs = append(reply.Jobs, m)
	}
	return reply, nil
}

// ListJobItems answers a page of a job's items, in order.
func (a admin) ListJobItems(ctx context.Context, req *managerpb.ListJobItemsRequest) (*managerpb.ListJobItemsReply, error) {
	limit, token, err := page(req.PageSize, req.PageToken, req.State)
	if err != nil {
		return nil, err
	}
	after := 0
	if token != "" {
		if after, err = strconv.Atoi(token); err != nil {
			return nil, errToken
		}
	}
	if _, err := a.GetJob(ctx, &managerpb.GetJobRequest{Id: req.Job}); err != nil {
		return nil, err
	}
	items, err := a.store.Items(ctx, req.Job, store.JobState(req.State), after, limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListJobItemsReply{NextPageToken: tokenOf(len(items), limit, func() string { return strconv.Itoa(items[limit-1].Number) })}
	for _, i := range items {
		m := &managerpb.JobItem{
			Number: uint32(i.Number), TaskId: string(i.Task), HostId: string(i.Host), Hostname: i.Hostname, State: string(i.State),
			Attempts: uint32(i.Attempts), Done: i.Done, Total: i.Total, Error: i.Error, Updated: stamp(i.Updated), Result: &structpb.Struct{},
		}
		if err := m.Result.UnmarshalJSON([]byte(i.Result)); err != nil {
			return nil, pieces.WithKind(pieces.Internal, err, "the stored result of job "+req.Job)
		}
		reply.Items = append(reply.Items, m)
	}
	return reply, nil
}

// CancelJob ends a job soon; one that is done stays as it is.
func (a admin) CancelJob(ctx context.Context, req *managerpb.CancelJobRequest) (*managerpb.Job, error) {
	return a.steer(ctx, req.Id, req.Etag, a.store.CancelJob)
}

// RetryJob does again what failed or was canceled.
func (a admin) RetryJob(ctx context.Context, req *managerpb.RetryJobRequest) (*managerpb.Job, error) {
	return a.steer(ctx, req.Id, req.Etag, a.store.RetryJob)
}

// steer changes a job. To cancel or retry twice harms nobody, so no etag is
// asked for; one that is given must be right.
func (a admin) steer(ctx context.Context, id, etag string, change func(ctx context.Context, id string, revision uint64) error) (*managerpb.Job, error) {
	if err := checkJobID(id); err != nil {
		return nil, err
	}
	var rev uint64
	if etag != "" {
		var any bool
		var err error
		if rev, any, err = revision(ctx, etag); err != nil {
			return nil, err
		}
		if rev == 0 && !any {
			return nil, pieces.Errorf(pieces.Changed, "etag 0 is of no state this had")
		}
	}
	if err := change(ctx, id, rev); err != nil {
		return nil, err
	}
	// What is answered is the state that the caller brought about.
	m, err := a.GetJob(ctx, &managerpb.GetJobRequest{Id: id})
	a.jobs.Wake()
	return m, err
}
