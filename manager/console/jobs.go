package console

import (
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

type jobsView struct {
	Jobs   []*managerpb.Job
	Filter filter
}

func (v *visit) jobs() error {
	r, err := v.admin().ListJobs(v.ctx, &managerpb.ListJobsRequest{
		Cluster: v.query("cluster"), Kind: v.query("kind"), State: v.query("state"), PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return err
	}
	return v.ok("jobs", "Jobs", jobsView{r.Jobs, v.filter(len(r.Jobs), r.NextPageToken)})
}

type jobView struct {
	*managerpb.Job
	Rows   []*managerpb.JobItem
	Filter filter
}

// Over reports whether nothing will change any more.
func (j jobView) Over() bool { return j.State != "queued" && j.State != "running" }

// Failed items and those of all states.
func (j jobView) Failed() uint32 { return j.Items["failed"] + j.Items["canceled"] }
func (j jobView) All() (n uint32) {
	for _, k := range j.Items {
		n += k
	}
	return n
}

func (v *visit) job() error {
	id := v.r.PathValue("id")
	j, err := v.admin().GetJob(v.ctx, &managerpb.GetJobRequest{Id: id})
	if err != nil {
		return err
	}
	items, err := v.admin().ListJobItems(v.ctx, &managerpb.ListJobItemsRequest{
		Job: id, State: v.query("state"), PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return err
	}
	return v.ok("job", "Job "+short(id), jobView{j, items.Items, v.filter(len(items.Items), items.NextPageToken)})
}

func (v *visit) newJob() error {
	values := url.Values{"kind": {"preheat"}, "target": {"seed"}}
	for k := range v.r.URL.Query() {
		values.Set(k, v.query(k))
	}
	return v.ok("newjob", "New job", newForm(values))
}

func (v *visit) startJob() error {
	f := newForm(v.r.PostForm)
	req := &managerpb.StartJobRequest{
		Kind: v.field("kind"), Cluster: v.field("cluster"), Tag: v.field("tag"), Application: v.field("application"),
	}
	for _, line := range v.lines("what") {
		if _, err := pieces.ParseTaskID(line); err == nil {
			req.TaskIds = append(req.TaskIds, line)
		} else {
			req.Urls = append(req.Urls, line)
		}
	}
	labels := labelsOf(f, v.lines("labels"))
	req.Target = target(v.field("target"), v.field("host"), labels)
	if text := v.field("timeout"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			f.wrong("timeout", "want a duration such as 30m or 2h")
		}
		req.Timeout = durationpb.New(d)
	}
	if req.Kind != "collect" && len(req.Urls)+len(req.TaskIds) == 0 {
		f.wrong("what", "which files? one URL or task id a line")
	}
	if f.failed() {
		return v.show(400, "newjob", "New job", f)
	}
	j, err := v.admin().StartJob(v.ctx, req)
	if err == nil {
		return v.done("/jobs/"+j.Id, "started")
	}
	if !correctable(err) {
		return err
	}
	f.blame(err, "timeout", "timeout", "label", "labels", "target", "target", "host", "host", "cluster", "cluster",
		"tag", "tag", "application", "application", "URL", "what", "url", "what", "task", "what")
	return v.show(v.o.Status(err), "newjob", "New job", f)
}

// labelsOf reads lines of KEY=VALUE.
func labelsOf(f *form, lines []string) map[string]string {
	labels := map[string]string{}
	for _, line := range lines {
		k, value, ok := strings.Cut(line, "=")
		if !ok || k == "" {
			f.wrong("labels", "%.60q: want KEY=VALUE", line)
			continue
		}
		labels[strings.TrimSpace(k)] = strings.TrimSpace(value)
	}
	return labels
}

// steerJob cancels or retries.
func (v *visit) steerJob() (err error) {
	id, etag, notice := v.r.PathValue("id"), v.field("etag"), ""
	switch v.r.PathValue("verb") {
	case "cancel":
		notice = "canceled"
		_, err = v.admin().CancelJob(v.ctx, &managerpb.CancelJobRequest{Id: id, Etag: etag})
	case "retry":
		notice = "retried"
		_, err = v.admin().RetryJob(v.ctx, &managerpb.RetryJobRequest{Id: id, Etag: etag})
	default:
		err = pieces.Errorf(pieces.NotFound, "a job can be canceled or retried")
	}
	if err != nil {
		return err
	}
	return v.done("/jobs/"+id, notice)
}
