package daemon

import (
	"context"
	"sync"
	"time"

	"damselfly/daemon/control"
	"damselfly/pieces"
	"damselfly/pieces/store"
)

// task is a Task as this host knows it.
type task struct {
	d  *Daemon
	id pieces.TaskID

	mu    sync.Mutex
	entry store.Entry // Task with the credentials that memory alone keeps
	// kept: the entry is in the store.
	kept bool
	// local: somebody on this host gave the URL, with all its parameters.
	local bool
	// facts of the current Version as of checked; nil = unknown.
	facts   *pieces.Facts
	checked time.Time
	// doubted: a reader found another Version at the origin; lookups wait for
	// the flight. sets counts how often facts became known.
	doubted bool
	sets    int
	// flight is the learning of facts under way; its result stands in facts,
	// or in err until errTo. fails counts failures in a row.
	flight *flight
	err    error
	errTo  time.Time
	// tired: until then nobody waits for an origin that asks to be left alone,
	// since somebody has just done so in vain.
	tired time.Time
	fails int
	// spooling is the reading of the whole content under way, if its Version
	// is its digest.
	spooling *spooling
}

// spec returns the Task; it is never changed after it was made.
func (t *task) spec() *pieces.Task {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.entry.Task
	return &s
}

// canFetch reports whether this host can read the origin: it has the
// credentials of a private Task and the filtered parameters.
func (t *task) canFetch() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.entry.Task
	if !s.Public() {
		return len(s.Header) > 0
	}
	return len(s.FilterQuery) == 0 || s.URL != s.PublicURL || t.local
}

// taskHere returns a Task known on this host; NotFound otherwise.
func (d *Daemon) taskHere(id pieces.TaskID) (*task, error) {
	d.mu.Lock()
	t := d.tasks[id]
	d.mu.Unlock()
	if t != nil {
		return t, nil
	}
	e, err := d.store.Entry(id)
	if err != nil {
		return nil, err
	}
	return d.remember(e, true), nil
}

// remember returns the task of an entry, making it if it is new.
func (d *Daemon) remember(e store.Entry, kept bool) *task {
	id := e.Task.ID
	facts, checked, err := d.store.Facts(id)
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.tasks[id]; t != nil {
		return t
	}
	t := &task{d: d, id: id, entry: e, kept: kept}
	if err == nil {
		t.facts, t.checked = &facts, checked
	}
	d.tasks[id] = t
	d.unknown.forget(id)
	return t
}

// task returns a Task known here or to the manager.
func (d *Daemon) task(ctx context.Context, id pieces.TaskID) (*task, error) {
	t, err := d.taskHere(id)
	if err == nil || pieces.KindOf(err) != pieces.NotFound {
		return t, err
	}
	nobody := pieces.Errorf(pieces.NotFound, "no task %s here; add its URL with: dfmount add URL", id.Short())
	if len(d.o.Managers) == 0 || d.unknown.has(id) {
		return nil, nobody
	}
	if err := d.unknown.wait(ctx); err != nil {
		return nil, err
	}
	spec, err := d.announce.ResolveTask(ctx, id)
	if pieces.KindOf(err) == pieces.NotFound {
		d.unknown.add(id)
		return nil, nobody
	}
	if err != nil {
		return nil, err
	}
	if err := spec.CheckID(); err != nil {
		return nil, err
	}
	return d.remember(store.Entry{Task: *spec}, false), nil
}

// keep puts the entry in the store, once.
func (t *task) keep() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept {
		return nil
	}
	if err := t.d.store.PutEntry(t.entry); err != nil {
		return err
	}
	t.kept = true
	return nil
}

// add is Daemon.add for this task.
func (t *task) add(spec *pieces.Task, name string, owner control.Owner) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entry
	e.Task = *spec
	if e.Added.IsZero() {
		e.Added, e.UID, e.GID = time.Now(), owner.UID, owner.GID
	}
	if name != "" && !contains(e.Names, name) {
		e.Names = append(append([]string(nil), e.Names...), name)
	}
	err := t.d.store.PutEntry(e)
	if err != nil && (pieces.KindOf(err) != pieces.Full || len(e.Names) > 0) {
		return err
	}
	if err != nil { // it can be read until the daemon stops, and may be kept when it is opened
		t.d.o.Log.WithError(err).Warn("a task is added, but not kept")
	}
	t.entry, t.kept, t.local = e, err == nil, true
	t.err, t.fails = nil, 0
	return nil
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
