package fusefs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// fake is a Backend in memory.
type fake struct {
	lookups atomic.Int64
	opened  atomic.Int64 // Files open now

	mu    sync.Mutex
	tasks map[pieces.TaskID]*fakeTask
	names map[string]pieces.TaskID
	// lookup, if set, runs before a Lookup is answered.
	lookup func(ctx context.Context, id pieces.TaskID) error
}

// fakeTask is one Task; set its fields before it is mounted, or under
// fake.mu.
type fakeTask struct {
	Entry
	content []byte
	// complete is the path of the content file, if the Task is complete.
	complete string
	openErr  error
	// read, if set, replaces the read from content.
	read func(ctx context.Context, p []byte, off int64) (int, error)
	// from, if set, makes the File a Sourced: so it says of every byte.
	from pieces.Hit
	// progress, if set, makes the File a Progresser.
	progress func() time.Time
}

func newFake() *fake {
	return &fake{tasks: map[pieces.TaskID]*fakeTask{}, names: map[string]pieces.TaskID{}}
}

// taskID is an id made of a name.
func taskID(name string) pieces.TaskID {
	sum := sha256.Sum256([]byte(name))
	return pieces.TaskID(hex.EncodeToString(sum[:]))
}

func versionID(name string) pieces.VersionID { return pieces.VersionID(taskID(name)[:32]) }

// add makes a Task of size bytes that look random.
func (b *fake) add(name string, size int) *fakeTask {
	seed := sha256.Sum256([]byte(name))
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(content)
	t := &fakeTask{content: content, Entry: Entry{
		Key: pieces.Key{Task: taskID(name), Version: versionID(name + " v1")}, Size: int64(size), Known: true,
		Modified: time.Unix(1_700_000_000, 0),
	}}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tasks[t.Key.Task] = t
	return t
}

// finish writes the content file, so that the Task is complete.
func (t *fakeTask) finish(tb testing.TB) *fakeTask {
	f, err := os.CreateTemp(tb.TempDir(), "content")
	require.NoError(tb, err)
	defer f.Close()
	_, err = f.Write(t.content)
	require.NoError(tb, err)
	t.complete = f.Name()
	return t
}

// change runs f with the lock that guards all of b, Tasks included.
func (b *fake) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *fake) task(id pieces.TaskID) (*fakeTask, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tasks[id]; t != nil {
		return t, nil
	}
	return nil, pieces.Errorf(pieces.NotFound, "no task %s", id.Short())
}

func (b *fake) Lookup(ctx context.Context, id pieces.TaskID) (Entry, error) {
	b.lookups.Add(1)
	b.mu.Lock()
	hook := b.lookup
	b.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, id); err != nil {
			return Entry{}, err
		}
	}
	t, err := b.task(id)
	if err != nil {
		return Entry{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return t.Entry, nil
}

func (b *fake) Name(_ context.Context, name string) (pieces.TaskID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if id, ok := b.names[name]; ok {
		return id, nil
	}
	return "", pieces.Errorf(pieces.NotFound, "no name %q", name)
}

func (b *fake) Names(context.Context) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var names []string
	for n := range b.names {
		names = append(names, n)
	}
	return names, nil
}

func (b *fake) Here(_ context.Context, id pieces.TaskID) (Entry, error) {
	t, err := b.task(id)
	if err != nil {
		return Entry{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return t.Entry, nil
}

func (b *fake) List(context.Context) ([]Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var es []Entry
	for _, t := range b.tasks {
		es = append(es, t.Entry)
	}
	return es, nil
}

func (b *fake) Open(_ context.Context, key pieces.Key) (File, error) {
	t, err := b.task(key.Task)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.openErr != nil {
		return nil, t.openErr
	}
	if t.Key != key {
		return nil, pieces.Errorf(pieces.Changed, "%s was replaced", key)
	}
	b.opened.Add(1)
	f := &fakeFile{b: b, t: t, complete: t.complete, read: t.read}
	if t.progress != nil {
		return progressFile{f, t.progress}, nil
	}
	if t.from != pieces.HitNone {
		return sourcedFile{f, t.from}, nil
	}
	return f, nil
}

func (b *fake) Status() []byte { return []byte("all is well\n") }

func (b *fake) TaskJSON(id pieces.TaskID) ([]byte, error) {
	if _, err := b.task(id); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "{\"id\":%q}\n", id), nil
}

type fakeFile struct {
	b        *fake
	t        *fakeTask
	complete string
	read     func(ctx context.Context, p []byte, off int64) (int, error)
	closed   atomic.Bool
}

func (f *fakeFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.closed.Load() {
		panic("read after close")
	}
	if f.read != nil {
		return f.read(ctx, p, off)
	}
	return copy(p, f.t.content[off:]), nil
}

func (f *fakeFile) Passthrough() (*os.File, bool) {
	if f.complete == "" {
		return nil, false
	}
	c, err := os.Open(f.complete)
	return c, err == nil
}

func (f *fakeFile) Attr(name string) (string, bool) {
	if name == "sources" {
		return "", false
	}
	return "value of " + name, true
}

func (f *fakeFile) Close() error {
	if f.closed.Swap(true) {
		panic("closed twice")
	}
	f.b.opened.Add(-1)
	return nil
}

type progressFile struct {
	*fakeFile
	progress func() time.Time
}

func (f progressFile) Progress() time.Time { return f.progress() }

type sourcedFile struct {
	*fakeFile
	from pieces.Hit
}

func (f sourcedFile) ReadFrom(ctx context.Context, p []byte, off int64) (n int, from pieces.HitBytes, err error) {
	n, err = f.ReadAt(ctx, p, off)
	from[f.from] = int64(n)
	return n, from, err
}
