package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// run is one job while this manager works on it.
type run struct {
	*Engine
	job  store.Job
	spec Spec
	log  *logrus.Entry

	mu sync.Mutex
	// Guarded by mu.
	items   []store.JobItem
	changed map[int]store.JobItem // what is not written yet, by number
	tasks   map[pieces.TaskID]*pieces.Task
	noted   map[pieces.TaskID]bool
}

// keep renews the lease and writes progress until ctx ends. It stops the work
// when the job was canceled, or when the lease could not be renewed for so long
// that somebody else may have it.
func (r *run) keep(ctx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(r.o.Renew)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking, cancel := context.WithTimeout(ctx, r.o.Lease/2)
		canceled, err := r.o.Store.Renew(asking, r.job.ID, r.job.Fence, r.o.Lease)
		if err == nil {
			renewed = time.Now()
			err = r.flush(asking)
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case pieces.KindOf(err) == pieces.Changed, time.Since(renewed) > r.o.Lease:
			stop(errLost)
			return
		case err != nil:
			r.log.WithError(err).Warn("the job's progress can't be written; trying on")
		case canceled:
			stop(errCanceled)
		}
	}
}

// itemPage is how many items are read at a time.
const itemPage = 5000

// work plans the job unless that was done, and does what is left of it. An
// error says why the job as a whole can't be done.
func (r *run) work(ctx context.Context) (err error) {
	if r.spec, err = DecodeSpec(r.job.Spec); err != nil {
		return &pieces.Error{Kind: pieces.Invalid, Msg: "the stored job", Permanent: true, Err: err}
	}
	if Kind(r.job.Kind) == Delete {
		if err := r.removeTasks(ctx); err != nil {
			return err
		}
	}
	if !r.job.Planned {
		hosts, err := r.liveHosts(ctx, r.job.Cluster, r.spec.Target)
		if err != nil {
			return err
		}
		items, err := plan(Kind(r.job.Kind), r.spec, hosts)
		if err != nil {
			return err
		}
		if err := r.o.Store.Plan(ctx, r.job.ID, r.job.Fence, items, r.o.Now()); err != nil {
			return err
		}
	}
	for after := 0; ; {
		page, err := r.o.Store.Items(ctx, r.job.ID, "", after, itemPage)
		if err != nil {
			return err
		}
		r.items = append(r.items, page...)
		if len(page) < itemPage {
			break
		}
		after = page[len(page)-1].Number
	}
	r.doAll(ctx)
	return nil
}

// removeTasks takes the Tasks off the catalogue first, so that nobody who asks
// while the job runs is told of them.
func (r *run) removeTasks(ctx context.Context) error {
	defer r.o.Changed()
	for _, id := range r.spec.Tasks {
		if err := r.o.Store.RemoveTask(ctx, id, 0); err != nil && pieces.KindOf(err) != pieces.NotFound {
			return err
		}
	}
	return nil
}

// doAll does the items that are not done, some at a time, until all are or ctx
// ends.
func (r *run) doAll(ctx context.Context) {
	slots := semaphore.NewWeighted(int64(r.o.Items))
	var doing sync.WaitGroup
	defer doing.Wait()
	for i := range r.items {
		if r.items[i].State.Done() {
			continue
		}
		if slots.Acquire(ctx, 1) != nil {
			return
		}
		doing.Go(func() {
			defer slots.Release(1)
			r.do(ctx, i)
		})
	}
}

// do does one item, again after a failure that may pass.
func (r *run) do(ctx context.Context, i int) {
	item := r.items[i] // only this goroutine changes it until doAll returns
	for wait := r.o.RetryWait; ; wait *= 2 {
		item.State, item.Attempts = store.Running, item.Attempts+1
		r.put(i, &item)
		out, err := r.attempt(ctx, i, &item)
		if ctx.Err() != nil { // it stays as it was: running, and somebody's to do again
			return
		}
		if err == nil {
			r.succeeded(ctx, i, item, out)
			return
		}
		item.Error = err.Error()
		if permanent(err) || item.Attempts >= r.o.Attempts {
			item.State = store.Failed
			r.put(i, &item)
			return
		}
		item.State = store.Waiting
		r.put(i, &item)
		if !sleep(ctx, max(wait, pieces.RetryAfter(err))) {
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt does the item once, and keeps how far it came in it.
func (r *run) attempt(ctx context.Context, i int, item *store.JobItem) (Outcome, error) {
	h, err := r.o.Store.Host(ctx, item.Host)
	if pieces.KindOf(err) == pieces.NotFound && err != nil || err == nil && h.Seen.Before(r.o.Since()) {
		return Outcome{}, pieces.Errorf(pieces.Unavailable, "host %s is not alive", item.Hostname)
	}
	if err != nil {
		return Outcome{}, err
	}
	switch Kind(r.job.Kind) {
	case Preheat:
		t, err := r.task(ctx, item.Task)
		if err != nil {
			return Outcome{}, err
		}
		return r.o.Hosts.Preheat(ctx, h.Host, t, func(done, total int64) {
			came(item, done, total)
			now := *item
			now.Error = ""
			r.put(i, &now)
		})
	case Delete:
		return r.o.Hosts.Delete(ctx, h.Host, item.Task)
	case Holders:
		return r.o.Hosts.Holding(ctx, h.Host, item.Task)
	default:
		return r.o.Hosts.Collect(ctx, h.Host)
	}
}

// came notes how far an item is. An attempt after another one begins with nothing
// known, while the host looks what it has; that takes nothing back.
func came(item *store.JobItem, done, total int64) {
	item.Done = max(item.Done, done)
	if total >= 0 {
		item.Total, item.Done = total, min(item.Done, total)
	}
}

// task answers a Task of the job, read once.
func (r *run) task(ctx context.Context, id pieces.TaskID) (*pieces.Task, error) {
	r.mu.Lock()
	t := r.tasks[id]
	r.mu.Unlock()
	if t != nil {
		return t, nil
	}
	e, err := r.o.Store.Task(ctx, id, r.o.Now())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks[id] = &e.Task
	return &e.Task, nil
}

// succeeded notes what came of an item; the Version that a host read is the
// catalogue's from now on.
func (r *run) succeeded(ctx context.Context, i int, item store.JobItem, out Outcome) {
	text, err := json.Marshal(out.Result)
	if err != nil || out.Result == nil {
		text = []byte("{}")
	}
	item.State, item.Error, item.Result, item.Done, item.Total = store.Succeeded, "", string(text), out.Done, out.Total
	r.put(i, &item)
	r.mu.Lock()
	news := out.Facts != nil && !r.noted[item.Task]
	if news {
		if r.noted == nil {
			r.noted = map[pieces.TaskID]bool{}
		}
		r.noted[item.Task] = true
	}
	r.mu.Unlock()
	if !news {
		return
	}
	if err := r.o.Store.NoteTask(ctx, item.Task, *out.Facts, nil, r.o.Now()); err != nil {
		r.log.WithError(err).Warn("the task's version can't be noted")
	}
}

// put notes an item, to be written soon.
func (r *run) put(i int, item *store.JobItem) {
	item.Updated = r.o.Now()
	if item.Result == "" {
		item.Result = "{}"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.items[i] = *item
	r.changed[item.Number] = *item
}

// flush writes what changed; what can't be written stays for next time.
func (r *run) flush(ctx context.Context) error {
	r.mu.Lock()
	batch := make([]store.JobItem, 0, len(r.changed))
	for _, item := range r.changed {
		batch = append(batch, item)
	}
	clear(r.changed)
	r.mu.Unlock()
	err := r.o.Store.PutItems(ctx, r.job.ID, r.job.Fence, batch)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, item := range batch {
			if _, newer := r.changed[item.Number]; !newer {
				r.changed[item.Number] = item
			}
		}
	}
	return err
}

// verdict is the state of a job whose items are all done.
func (r *run) verdict() (state store.JobState, why string) {
	failed, first := 0, ""
	for _, item := range r.items {
		if item.State != store.Succeeded {
			if failed++; first == "" {
				first = item.Hostname + ": " + item.Error
			}
		}
	}
	if failed == 0 {
		return store.Succeeded, ""
	}
	return store.Failed, fmt.Sprintf("%d of %d failed; the first: %s", failed, len(r.items), first)
}

// end writes what is left to write.
func (r *run) end(ctx context.Context, state store.JobState, why string) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.o.Store.Finish(ctx, r.job.ID, r.job.Fence, state, why, r.o.Now()); err != nil {
		return err
	}
	r.o.Ended(r.job.Kind, state)
	r.log.WithFields(logrus.Fields{"state": state, "items": len(r.items), "error": why}).Info("job ended")
	return nil
}
