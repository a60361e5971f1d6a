// Package controltest offers a hand-written control.Engine that serves
// contents from memory, for tests of whatever speaks with a daemon.
package controltest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// Host is who the fake daemon is.
var Host = pieces.Host{
	ID: "0123456789abcdef0123456789abcdef", Hostname: "fake", IP: "127.0.0.1", PeerPort: 65000, UploadPort: 65002,
}

// Engine is a control.Engine over Contents. Its fields may be set before it is
// used; its methods are safe for concurrent use.
type Engine struct {
	// Contents by canonical URL; others are NotFound at the origin.
	Contents map[string][]byte
	// Dir is where content files are put. Empty: contents lie in no file.
	Dir string
	// Full makes the status say that nothing is cached.
	Full bool
	// Gate, if not nil, holds every Fetch back until it is closed.
	Gate chan struct{}
	// Fail, if not nil, is what every Fetch ends with.
	Fail error
	// Arrive, if not nil, is what each Fetch puts into the content file, until it
	// is closed.
	Arrive chan Arrival
	// Remote are names that only the manager knows; RemoteFail is why not.
	Remote     map[string]pieces.TaskID
	RemoteFail error

	mu      sync.Mutex
	tasks   map[pieces.TaskID]*entry // guarded by mu
	names   map[string]pieces.TaskID // guarded by mu
	handles int                      // guarded by mu
	fetched []control.Range          // guarded by mu
}

type entry struct {
	task  *pieces.Task
	owner control.Owner
	facts *pieces.Facts
	fill  string
	// order is the access order, held what was fetched.
	order, held []control.Range
}

// NewTask implements control.Engine, as do the methods below.
func (e *Engine) NewTask(url string, o pieces.Options) (*pieces.Task, error) {
	return pieces.NewTask(url, o, []byte("fake secret"))
}

// Add keeps the first owner.
func (e *Engine) Add(_ context.Context, t *pieces.Task, name string, owner control.Owner) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tasks == nil {
		e.tasks, e.names = map[pieces.TaskID]*entry{}, map[string]pieces.TaskID{}
	}
	if id, taken := e.names[name]; taken && id != t.ID {
		return pieces.Errorf(pieces.Exists, "name %q belongs to another URL", name)
	}
	if name != "" {
		e.names[name] = t.ID
	}
	if e.tasks[t.ID] == nil {
		e.tasks[t.ID] = &entry{task: t, owner: owner}
	}
	return nil
}

// Resolve knows the names that were added, and Remote.
func (e *Engine) Resolve(_ context.Context, ref string) (pieces.TaskID, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if id, ok := e.names[ref]; ok {
		return id, nil
	}
	if id, ok := e.Remote[ref]; ok {
		return id, nil
	}
	if t := e.tasks[pieces.TaskID(ref)]; t != nil {
		return t.task.ID, nil
	}
	return "", pieces.Errorf(pieces.NotFound, "%q is no task here", ref)
}

// Info shows everything as uncached.
func (e *Engine) Info(_ context.Context, id pieces.TaskID) (control.TaskInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tasks[id]
	if t == nil {
		return control.TaskInfo{}, pieces.Errorf(pieces.NotFound, "no task %s", id.Short())
	}
	return e.info(t), nil
}

func (e *Engine) info(t *entry) control.TaskInfo {
	info := control.TaskInfo{
		ID: t.task.ID, URL: t.task.PublicURL, Tag: t.task.Tag, Private: !t.task.Public(), Owner: t.owner,
		State: control.StateUnknown, Added: time.Unix(1e9, 0).UTC(), Facts: t.facts, Fill: t.fill,
	}
	if t.facts != nil {
		info.State, info.Version = control.StateIdle, t.facts.VersionID()
	}
	for name, id := range e.names {
		if id == t.task.ID {
			info.Names = append(info.Names, name)
		}
	}
	return info
}

// List implements control.Engine.
func (e *Engine) List(context.Context) ([]control.TaskInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var infos []control.TaskInfo
	for _, t := range e.tasks {
		infos = append(infos, e.info(t))
	}
	return infos, nil
}

// Open learns the facts.
func (e *Engine) Open(_ context.Context, id pieces.TaskID) (control.Handle, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.tasks[id]
	if t == nil {
		return nil, pieces.Errorf(pieces.NotFound, "no task %s", id.Short())
	}
	data, ok := e.Contents[t.task.URL]
	if !ok {
		return nil, pieces.Errorf(pieces.NotFound, "origin of %s answered 404", t.task.PublicURL)
	}
	t.facts = &pieces.Facts{Size: int64(len(data)), Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`}, Ranges: true}
	e.handles++
	return &handle{engine: e, entry: t, data: data}, nil
}

// Evict frees the content's size if its facts are known.
func (e *Engine) Evict(_ context.Context, id pieces.TaskID) (int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.tasks[id]; t != nil && t.facts != nil {
		return t.facts.Size, nil
	}
	return 0, nil
}

// Remove implements control.Engine.
func (e *Engine) Remove(ctx context.Context, id pieces.TaskID) (int64, error) {
	freed, err := e.Evict(ctx, id)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.tasks, id)
	return freed, err
}

// Status implements control.Engine.
func (e *Engine) Status(context.Context) (control.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return control.Status{
		Host: Host, Started: time.Unix(1e9, 0).UTC(), DataDir: e.Dir, CacheSize: 1 << 40, Caching: !e.Full,
		Tasks: len(e.tasks), OpenHandles: e.handles, Schedulers: []control.SchedulerState{{Address: "s:8002", Connected: true}},
	}, nil
}

// Handles is how many handles are open.
func (e *Engine) Handles() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.handles
}

// Fetched are the ranges fetched so far, in order.
func (e *Engine) Fetched() []control.Range {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]control.Range(nil), e.fetched...)
}

type handle struct {
	engine *Engine
	entry  *entry
	data   []byte
	growth growth
}

func (h *handle) path() string { return filepath.Join(h.engine.Dir, string(h.entry.task.ID)) }

func (h *handle) Facts() pieces.Facts { return *h.entry.facts }

func (h *handle) Key() pieces.Key {
	return pieces.Key{Task: h.entry.task.ID, Version: h.entry.facts.VersionID()}
}

// Fetch reports half and all of the bytes as read from the origin.
func (h *handle) Fetch(ctx context.Context, off, n int64, progress func(done, total int64, tr control.Traffic)) error {
	if progress != nil {
		progress(n/2, n, control.Traffic{Origin: n / 2})
	}
	if h.engine.Gate != nil {
		select {
		case <-h.engine.Gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if h.engine.Arrive != nil {
		if err := h.arrive(ctx); err != nil {
			return err
		}
	}
	if h.engine.Fail != nil {
		return h.engine.Fail
	}
	if d := h.entry.task.Digest; d != "" && n == int64(len(h.data)) {
		sum := d.Hash()
		sum.Write(h.data)
		if err := d.Verify(sum); err != nil {
			return err
		}
	}
	h.engine.mu.Lock()
	h.engine.fetched = append(h.engine.fetched, control.Range{Off: off, N: n})
	h.entry.held = append(h.entry.held, control.Range{Off: off, N: n})
	h.engine.mu.Unlock()
	if progress != nil {
		progress(n, n, control.Traffic{Origin: n})
	}
	return nil
}

func (h *handle) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return copy(p, h.data[off:]), nil
}

func (h *handle) Content() (*os.File, bool) {
	if h.engine.Dir == "" {
		return nil, false
	}
	if h.engine.Arrive == nil && os.WriteFile(h.path(), h.data, 0o600) != nil {
		return nil, false
	}
	f, err := os.Open(h.path())
	return f, err == nil
}

func (h *handle) Close() error {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	h.engine.handles--
	return nil
}
