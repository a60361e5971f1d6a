package daemon

import (
	"cmp"
	"context"
	"os"
	"time"

	"damselfly/daemon/control"
	"damselfly/daemon/engine"
	"damselfly/daemon/readahead"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/trace"
)

// Control is the daemon as dfmount and dfget speak with it.
func (d *Daemon) Control() control.Engine { return controlled{d} }

type controlled struct{ d *Daemon }

func (c controlled) NewTask(url string, o pieces.Options) (*pieces.Task, error) {
	return pieces.NewTask(url, o, c.d.id.secret)
}

// Add puts spec in the catalogue here and, if it has no secrets, at the
// manager. A manager that can't be reached is told later by nobody: the Task
// works here all the same, so that is only logged.
func (c controlled) Add(ctx context.Context, spec *pieces.Task, name string, owner control.Owner) error {
	d := c.d
	t, err := d.taskHere(spec.ID)
	if pieces.KindOf(err) == pieces.NotFound && err != nil {
		t, err = d.remember(store.Entry{Task: *spec}, false), nil
	}
	if err != nil {
		return err
	}
	if spec.Public() && len(d.o.Managers) > 0 {
		switch err := d.announce.PutTask(ctx, spec, name); pieces.KindOf(err) {
		case pieces.Exists, pieces.Invalid:
			return err
		default:
			if err != nil {
				d.o.Log.WithError(err).Warn("the manager's catalogue could not be told yet")
				if err := t.add(spec, name, owner); err != nil {
					return err
				}
				if !d.untold.add(spec.ID, news{name: name}) {
					d.o.Log.Warnf("over %d entries that the manager has not heard of: this one stays here", maxUntold)
				}
				return nil
			}
		}
	}
	return t.add(spec, name, owner)
}

func (c controlled) Resolve(ctx context.Context, ref string) (pieces.TaskID, error) {
	if id, err := pieces.ParseTaskID(ref); err == nil {
		_, err := c.d.task(ctx, id)
		return id, err
	}
	id, err := c.d.LookupName(ctx, ref)
	if err != nil && pieces.KindOf(err) == pieces.NotFound {
		return "", pieces.Errorf(pieces.NotFound, "no file %.100q here; see: dfmount ls", ref)
	}
	return id, err
}

func (c controlled) Info(_ context.Context, id pieces.TaskID) (control.TaskInfo, error) {
	t, err := c.d.taskHere(id)
	if err != nil {
		return control.TaskInfo{}, err
	}
	return t.describe(c.d.stored()), nil
}

func (c controlled) List(context.Context) ([]control.TaskInfo, error) {
	entries, err := c.d.store.Entries()
	if err != nil {
		return nil, err
	}
	held := c.d.stored()
	out := make([]control.TaskInfo, 0, len(entries))
	for _, e := range entries {
		out = append(out, c.d.remember(e, true).describe(held))
	}
	return out, nil
}

// stored returns what the store holds, by Key.
func (d *Daemon) stored() map[pieces.Key]store.VersionInfo {
	out := map[pieces.Key]store.VersionInfo{}
	for _, v := range d.store.Versions() {
		out[v.Key] = v
	}
	return out
}

// describe returns the Task as people see it.
func (t *task) describe(held map[pieces.Key]store.VersionInfo) control.TaskInfo {
	t.mu.Lock()
	e, facts := t.entry, t.facts
	t.mu.Unlock()
	info := control.TaskInfo{
		ID: t.id, URL: e.Task.PublicURL, Tag: e.Task.Tag, Application: e.Task.Application, Digest: e.Task.Digest,
		Private: !e.Task.Public(), Owner: control.Owner{UID: e.UID, GID: e.GID}, Names: e.Names,
		Added: e.Added, State: control.StateUnknown, Fill: cmp.Or(e.Fill, readahead.FillAuto.String()),
	}
	if facts == nil {
		return info
	}
	key := pieces.Key{Task: t.id, Version: facts.VersionID()}
	g, _ := facts.Geometry()
	info.Facts, info.Version, info.Pieces, info.PieceSize = facts, key.Version, g.Count(), g.PieceSize
	info.State = control.StateIdle
	if v, ok := held[key]; ok {
		info.CachedBytes, info.CachedPieces, info.Accessed = v.Bytes, v.Pieces, v.Accessed
		info.OpenHandles = v.Open
		if v.Complete {
			info.State = control.StateComplete
		}
	}
	if c := t.d.engine.Lookup(key); c != nil {
		info.CachedBytes, info.CachedPieces, info.State = heldBytes(c), c.Held().Count(), stateOf(c)
		info.Traffic = trafficOf(c.Traffic())
	}
	return info
}

func stateOf(c *engine.Content) control.State {
	switch {
	case c.Held().Count() == c.Geometry().Count():
		return control.StateComplete
	case c.Fetching():
		return control.StateFetching
	}
	return control.StateIdle
}

func trafficOf(t engine.Traffic) control.Traffic {
	return control.Traffic{Origin: t.Origin, Peers: t.Peers, Seeds: t.Seeds, Cache: t.Cache, Uploaded: t.Uploaded}
}

func (c controlled) Open(ctx context.Context, id pieces.TaskID) (control.Handle, error) {
	t, err := c.d.task(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	file, err := t.open(f, func(c *engine.Content) (*engine.Handle, error) {
		c.OpenedBy(trace.Of(ctx))
		return c.Open()
	})
	if err != nil {
		return nil, err
	}
	return controlHandle{file}, nil
}

// controlHandle is a File as control needs it.
type controlHandle struct{ *File }

func (h controlHandle) Facts() pieces.Facts { return h.h.Content().Facts() }
func (h controlHandle) Key() pieces.Key     { return h.h.Content().Key() }

func (h controlHandle) Fetch(ctx context.Context, off, n int64, progress func(done, total int64, tr control.Traffic)) error {
	return h.h.Fetch(ctx, off, n, h.follow(progress))
}

// Content waits for what is in memory to be on disk, then opens it.
func (h controlHandle) Content() (*os.File, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), h.t.d.o.FactsTimeout)
	defer cancel()
	if !h.h.Content().Cached() || h.h.Settled(ctx) != nil {
		return nil, false
	}
	return h.h.File()
}

func (c controlled) Evict(_ context.Context, id pieces.TaskID) (int64, error) {
	if _, err := c.d.taskHere(id); err != nil {
		return 0, err
	}
	return c.d.store.Evict(id)
}

func (c controlled) Remove(ctx context.Context, id pieces.TaskID) (int64, error) {
	t, err := c.d.taskHere(id)
	if err != nil {
		return 0, err
	}
	freed, err := c.d.store.Evict(id)
	if err != nil {
		return freed, err
	}
	if err := c.d.store.DeleteEntry(id); err != nil {
		return freed, err
	}
	c.d.mu.Lock()
	delete(c.d.tasks, id)
	c.d.mu.Unlock()
	c.d.untold.drop(id)
	c.d.names.forget(id)
	if len(c.d.o.Managers) > 0 && t.spec().Public() {
		if err := c.d.announce.RemoveTask(ctx, id); err != nil && pieces.KindOf(err) != pieces.NotFound {
			return freed, pieces.WithKind(pieces.KindOf(err), err, "removed here, but not from the manager's catalogue")
		}
	}
	return freed, nil
}

func (c controlled) Status(context.Context) (control.Status, error) {
	d := c.d
	u := d.store.Usage()
	d.mu.Lock()
	handles := d.handles
	d.mu.Unlock()
	tasks, err := d.store.EntryCount()
	if err != nil {
		return control.Status{}, err
	}
	s := control.Status{
		Version: d.o.Version, Host: d.host, Started: d.started, DataDir: d.o.DataDir,
		Managers: d.o.Managers, ManagerOK: d.announce.ManagerOK(),
		CacheUsed: u.Used, CacheSize: u.Size, DiskFree: u.DiskFree, Caching: u.Caching,
		RemovedFiles: u.Removed, RemovedBytes: u.RemovedBytes,
		Tasks: tasks, OpenHandles: handles, Uploads: d.upload.Uploads(), Traffic: trafficOf(d.engine.Traffic()),
		Reads: readsOf(d.engine.Reads()), Work: control.Work(d.engine.Work()), Files: d.activity(),
	}
	for _, sch := range d.announce.Schedulers() {
		s.Schedulers = append(s.Schedulers, control.SchedulerState{Address: sch.Address, Connected: sch.Connected})
	}
	return s, nil
}

// uptime is for the status text.
func (d *Daemon) uptime() time.Duration { return time.Since(d.started).Round(time.Second) }
