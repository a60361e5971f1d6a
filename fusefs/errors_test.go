package fusefs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// fails is a read that always fails.
func fails(err error) func(context.Context, []byte, int64) (int, error) {
	return func(context.Context, []byte, int64) (int, error) { return 0, err }
}

// Every kind has its errno, and a program sees it from lookup, open and read.
func TestErrnos(t *testing.T) {
	require.Len(t, errnos, len(pieces.Kinds()))
	b := newFake()
	m := mount(t, b, func(o *Options) { o.Timeout = time.Millisecond })
	want := map[pieces.Kind]syscall.Errno{
		pieces.NotFound: unix.ENOENT, pieces.Denied: unix.EACCES, pieces.Changed: unix.ESTALE, pieces.Timeout: unix.ETIMEDOUT,
		pieces.Unauthenticated: unix.EACCES,
	}
	for _, k := range pieces.Kinds() {
		errno, ok := want[k]
		if !ok {
			errno = unix.EIO
		}
		err := pieces.Errorf(k, "a test of %v", k)
		b.change(func() { b.lookup = func(context.Context, pieces.TaskID) error { return err } })
		_, got := os.Stat(filepath.Join(m.Dir(), string(taskID("none"))))
		require.ErrorIs(t, got, errno, "lookup: %v", k)
		b.change(func() { b.lookup = nil })

		a := b.add("open "+k.String(), 4096)
		b.change(func() { a.openErr = err })
		require.ErrorIs(t, preadErr(m.path(a), 1, 0), errno, "open: %v", k)

		a = b.add("read "+k.String(), 4096)
		b.change(func() { a.read = fails(err) })
		require.ErrorIs(t, preadErr(m.path(a), 1, 0), errno, "read: %v", k)
	}
	settled(t, func() bool { return m.OpenHandles() == 0 && b.opened.Load() == 0 })
}

// The kernel reads a failed page again by itself; the second time nobody is
// asked. After a moment it is tried again.
func TestFailureIsRemembered(t *testing.T) {
	b := newFake()
	a := b.add("a", 64<<10)
	var asked atomic.Int64
	a.read = func(_ context.Context, p []byte, off int64) (int, error) {
		asked.Add(1)
		return 0, errors.New("broken")
	}
	m := mount(t, b, func(o *Options) { o.FailureMemory = 200 * time.Millisecond })
	require.ErrorIs(t, preadErr(m.path(a), 4096, 0), unix.EIO)
	require.EqualValues(t, 1, asked.Load())
	require.Greater(t, m.Reads(), int64(1), "the kernel asked twice")
	time.Sleep(250 * time.Millisecond)
	b.change(func() { a.read = nil })
	require.Equal(t, a.content, readAll(t, m.path(a)))
}

func TestReadDeadline(t *testing.T) {
	b := newFake()
	a := b.add("a", 1<<20)
	a.read = func(ctx context.Context, _ []byte, _ int64) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	other := b.add("other", 4096)
	const deadline = 400 * time.Millisecond
	m := mount(t, b, func(o *Options) { o.ReadDeadline = deadline })
	for _, flags := range []int{0, unix.O_DIRECT} {
		began := time.Now()
		err := make(chan error, 1)
		go func() { err <- preadErr(m.path(a), 4096, flags) }()
		require.Equal(t, other.content, readAll(t, m.path(other)), "others are not held up")
		require.ErrorIs(t, <-err, unix.ETIMEDOUT)
		took := time.Since(began)
		require.GreaterOrEqual(t, took, deadline)
		require.Less(t, took, 2*deadline)
		time.Sleep(DefaultFailureMemory)
	}
}

// Progress moves the deadline.
func TestReadDeadlineWithProgress(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	began := time.Now()
	a.progress = time.Now // always just now
	a.read = func(ctx context.Context, p []byte, off int64) (int, error) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(500 * time.Millisecond):
			return copy(p, a.content[off:]), nil
		}
	}
	m := mount(t, b, func(o *Options) { o.ReadDeadline = 100 * time.Millisecond })
	require.Equal(t, a.content, readAll(t, m.path(a)))
	require.GreaterOrEqual(t, time.Since(began), 500*time.Millisecond)
}

// Sixty-four readers of a silent origin keep nobody else waiting.
func TestSilentOriginHoldsUpNobody(t *testing.T) {
	b := newFake()
	silent := b.add("silent", 64<<20)
	silent.read = func(ctx context.Context, _ []byte, _ int64) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	good := b.add("good", size)
	m := mount(t, b, func(o *Options) { o.ReadDeadline = 3 * time.Second })
	done := make(chan error)
	for i := range 64 {
		go func() {
			f, err := os.Open(m.path(silent))
			if err == nil {
				_, err = f.ReadAt(make([]byte, 1), int64(i)<<20)
				f.Close()
			}
			done <- err
		}()
	}
	settled(t, func() bool { return m.OpenHandles() == 64 })
	began := time.Now()
	require.Equal(t, good.content, readAll(t, m.path(good)))
	require.Less(t, time.Since(began), time.Second)
	for range 64 {
		require.ErrorIs(t, <-done, unix.ETIMEDOUT)
	}
}

// A short read is an error: the kernel would fill up with zeros.
func TestShortReadIsEIO(t *testing.T) {
	b := newFake()
	a := b.add("a", 8192)
	a.read = func(_ context.Context, p []byte, off int64) (int, error) {
		return copy(p[:len(p)/2], a.content[off:]), nil
	}
	m := mount(t, b)
	require.ErrorIs(t, preadErr(m.path(a), 8192, 0), unix.EIO)
}

// The inode of a replaced Version can't be opened; the kernel then looks the
// name up again and the program sees the new one, with another inode number.
// An old handle answers as its File does.
func TestReplacedVersion(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	m := mount(t, b)
	old, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer old.Close()
	var before, after unix.Stat_t
	require.NoError(t, unix.Stat(m.path(a), &before))

	next := b.add("b", 5000)
	b.change(func() {
		delete(b.tasks, next.Key.Task)
		next.Key = pieces.Key{Task: a.Key.Task, Version: versionID("a v2")}
		b.tasks[a.Key.Task] = next
	})

	require.Equal(t, next.content, readAll(t, m.path(a)), "within the entry timeout")
	require.NoError(t, unix.Stat(m.path(a), &after))
	require.NotEqual(t, before.Ino, after.Ino)
	require.EqualValues(t, 5000, after.Size)

	_, err = old.ReadAt(make([]byte, 4096), 0)
	require.NoError(t, err, "old bytes are held")
}

func TestOldHandleIsStale(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	a.read = fails(pieces.Errorf(pieces.Changed, "replaced, and the old bytes are gone"))
	m := mount(t, b)
	require.ErrorIs(t, preadErr(m.path(a), 1, 0), unix.ESTALE)
}

// A handler that panics answers EIO; the mount goes on.
func TestPanic(t *testing.T) {
	b := newFake()
	a, good := b.add("a", 4096), b.add("good", 4096)
	a.read = func(context.Context, []byte, int64) (int, error) { panic("on purpose") }
	m := mount(t, b)
	require.ErrorIs(t, preadErr(m.path(a), 1, 0), unix.EIO)
	b.change(func() { b.lookup = func(context.Context, pieces.TaskID) error { panic("on purpose") } })
	_, err := os.Stat(filepath.Join(m.Dir(), string(taskID("none"))))
	require.ErrorIs(t, err, unix.EIO)
	b.change(func() { b.lookup = nil })
	require.Equal(t, good.content, readAll(t, m.path(good)))
	settled(t, func() bool { return m.OpenHandles() == 0 })
}
