package jobs

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/semaphore"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// Store is where jobs, hosts and the catalogue are; see package store.
type Store interface {
	Claim(ctx context.Context, owner string, lease time.Duration, now time.Time) (store.Job, bool, error)
	Renew(ctx context.Context, id string, fence int64, lease time.Duration) (canceled bool, err error)
	Release(ctx context.Context, id string, fence int64) error
	Plan(ctx context.Context, id string, fence int64, items []store.JobItem, now time.Time) error
	Items(ctx context.Context, job string, state store.JobState, after, limit int) ([]store.JobItem, error)
	PutItems(ctx context.Context, id string, fence int64, items []store.JobItem) error
	Finish(ctx context.Context, id string, fence int64, state store.JobState, why string, now time.Time) error
	RemoveJobs(ctx context.Context, t time.Time) (int, error)

	Hosts(ctx context.Context, f store.HostFilter, after pieces.HostID, limit int) ([]store.Host, error)
	Host(ctx context.Context, id pieces.HostID) (store.Host, error)
	Task(ctx context.Context, id pieces.TaskID, now time.Time) (store.Entry, error)
	NoteTask(ctx context.Context, id pieces.TaskID, f pieces.Facts, order []pieces.Extent, seen time.Time) error
	RemoveTask(ctx context.Context, id pieces.TaskID, revision uint64) error
}

// Outcome is what a host answered.
type Outcome struct {
	// Result is JSON, for people and scripts.
	Result any
	// Facts of the Task as the host read it; nil = it did not say.
	Facts *pieces.Facts
	// Done and Total in bytes.
	Done, Total int64
}

// Hosts does one item on a host. It is called by many goroutines.
type Hosts interface {
	// Preheat tells progress now and then; total is -1 while it is not known.
	Preheat(ctx context.Context, h pieces.Host, t *pieces.Task, progress func(done, total int64)) (Outcome, error)
	Delete(ctx context.Context, h pieces.Host, t pieces.TaskID) (Outcome, error)
	Holding(ctx context.Context, h pieces.Host, t pieces.TaskID) (Outcome, error)
	Collect(ctx context.Context, h pieces.Host) (Outcome, error)
}

// Options of an Engine; Store, Hosts, Owner and Since must be set, zero values
// of the others are the defaults named here.
type Options struct {
	Store Store
	Hosts Hosts
	// Owner names this manager in the rows it claims.
	Owner string
	// Since is since when a host must have been seen to count as live.
	Since func() time.Time
	// Changed is called when a job took Tasks off the catalogue; nil = not.
	Changed func()
	// Ended is called when a job ended here; nil = not.
	Ended func(kind string, state store.JobState)

	// Lease is how long a claim lasts without renewal (DefaultLease), Renew how often
	// it is renewed, progress is written and a cancellation is noticed (1 s, or
	// a sixth of a shorter Lease), Poll how often work is looked for (1 s). A job of a manager that was killed is taken up after
	// Lease + Poll at the latest.
	Lease, Renew, Poll time.Duration
	// Attempts is how often an item is tried (4), RetryWait the first pause
	// between two, which doubles (1 s).
	Attempts  int
	RetryWait time.Duration
	// Jobs run at once (8), Items at once in one of them (256).
	Jobs, Items int
	// Keep is how long jobs that are done are kept (7 days).
	Keep time.Duration
	Now  func() time.Time
	Log  *logrus.Entry // nil discards
}

// DefaultLease of a claim.
const DefaultLease = 6 * time.Second

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func (o Options) withDefaults() Options {
	or(&o.Lease, DefaultLease)
	or(&o.Renew, min(time.Second, o.Lease/6))
	or(&o.Poll, time.Second)
	or(&o.Attempts, 4)
	or(&o.RetryWait, time.Second)
	or(&o.Jobs, 8)
	or(&o.Items, 256)
	or(&o.Keep, 7*24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Ended == nil {
		o.Ended = func(string, store.JobState) {}
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// Engine runs jobs. Its methods may be called at any time from any goroutine.
type Engine struct {
	o    Options
	wake chan struct{}
}

// New makes an Engine.
func New(o Options) *Engine {
	return &Engine{o: o.withDefaults(), wake: make(chan struct{}, 1)}
}

// Wake has the engine look for work at once: there is a new job.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// tidyEvery is how often old jobs are removed.
const tidyEvery = time.Hour

// Run claims and runs jobs until ctx ends; then it gives those under way back
// and returns. A database that fails is logged and asked again.
func (e *Engine) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	slots := semaphore.NewWeighted(int64(e.o.Jobs))
	poll, tidy := time.NewTicker(e.o.Poll), time.NewTicker(tidyEvery)
	defer poll.Stop()
	defer tidy.Stop()
	failing := false
	for {
		for slots.TryAcquire(1) {
			j, ok, err := e.o.Store.Claim(ctx, e.o.Owner, e.o.Lease, e.o.Now())
			if err != nil && !failing && ctx.Err() == nil {
				e.o.Log.WithError(err).Warn("jobs can't be looked for; trying on")
			}
			failing = err != nil
			if !ok {
				slots.Release(1)
				break
			}
			running.Go(func() {
				defer e.Wake() // there may be more than slots
				defer slots.Release(1)
				e.run(ctx, j)
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-poll.C:
		case <-tidy.C:
			if _, err := e.o.Store.RemoveJobs(ctx, e.o.Now().Add(-e.o.Keep)); err != nil && ctx.Err() == nil {
				e.o.Log.WithError(err).Warn("old jobs can't be removed yet")
			}
		}
	}
}

// Why a job stops before its items are done.
var (
	errCanceled = errors.New("canceled")
	errTimeout  = errors.New("its time was up")
	errLost     = errors.New("another manager has it")
)

// run works on one claimed job until it is done, or somebody else's.
func (e *Engine) run(engine context.Context, j store.Job) {
	log := e.o.Log.WithFields(logrus.Fields{"job": j.ID, "kind": j.Kind})
	log.WithField("claim", j.Fence).Info("job taken up")
	r := &run{Engine: e, job: j, log: log, changed: map[int]store.JobItem{}, tasks: map[pieces.TaskID]*pieces.Task{}}
	ctx, stop := context.WithCancelCause(engine)
	defer stop(nil)
	left := j.Timeout - e.o.Now().Sub(j.Started)
	expire := time.AfterFunc(left, func() { stop(errTimeout) })
	defer expire.Stop()
	if j.Canceled {
		stop(errCanceled)
	}

	var keeping sync.WaitGroup
	kept, done := context.WithCancel(context.WithoutCancel(engine))
	keeping.Go(func() { r.keep(kept, stop) })
	err := r.work(ctx)
	done()
	keeping.Wait()

	// Last words are said even when the engine stops.
	last, cancel := context.WithTimeout(context.WithoutCancel(engine), e.o.Lease)
	defer cancel()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errLost):
		log.Warn("job lost: the lease could not be renewed")
		return
	case engine.Err() != nil:
		err = errors.Join(r.flush(last), e.o.Store.Release(last, j.ID, j.Fence))
		log.WithError(err).Info("job given back")
		return
	case errors.Is(cause, errCanceled):
		err = r.end(last, store.Canceled, "")
	case errors.Is(cause, errTimeout):
		err = r.end(last, store.Failed, "its time was up after "+j.Timeout.String())
	case err != nil && !permanent(err):
		// The database did not answer: whoever claims it next tries on.
		log.WithError(err).Warn("job interrupted")
		return
	case err != nil:
		err = r.end(last, store.Failed, err.Error())
	default:
		state, why := r.verdict()
		err = r.end(last, state, why)
	}
	if err != nil {
		log.WithError(err).Warn("the job's end can't be written; it will be taken up again")
	}
}

// permanent reports whether the job itself can't be done.
func permanent(err error) bool {
	return pieces.IsPermanent(err) || pieces.KindOf(err) == pieces.Full
}
