package host

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/boot"
	"damselfly/fusefs"
	"damselfly/fusefs/attach"
	"damselfly/pieces"
	"damselfly/pieces/missing"
)

// emptyBackend has no Tasks.
type emptyBackend struct{}

func none() error { return pieces.Errorf(pieces.NotFound, "nothing here") }

func (emptyBackend) Lookup(context.Context, pieces.TaskID) (fusefs.Entry, error) {
	return fusefs.Entry{}, none()
}
func (emptyBackend) Name(context.Context, string) (pieces.TaskID, error) { return "", none() }
func (emptyBackend) Names(context.Context) ([]string, error)             { return nil, nil }
func (emptyBackend) Here(context.Context, pieces.TaskID) (fusefs.Entry, error) {
	return fusefs.Entry{}, none()
}
func (emptyBackend) List(context.Context) ([]fusefs.Entry, error)          { return nil, nil }
func (emptyBackend) Open(context.Context, pieces.Key) (fusefs.File, error) { return nil, none() }
func (emptyBackend) Status() []byte                                        { return []byte("all is well\n") }
func (emptyBackend) TaskJSON(pieces.TaskID) ([]byte, error)                { return nil, none() }

func newTestMounts(t *testing.T, last func()) (*Mounts, string) {
	t.Helper()
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		missing.Skip(t, "no FUSE here: ", err)
	} else {
		f.Close()
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	m := NewMounts(MountsOptions{
		FUSE:   fusefs.Options{Backend: emptyBackend{}, NoPassthrough: true},
		Record: filepath.Join(dir, "mounts"), Last: last, Log: boot.Discard(),
	})
	for _, d := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, m.Close(ctx))
	})
	return m, dir
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(dir, ".df", "status"))
	return err == nil
}

func paths(m *Mounts) []string {
	list := []string{}
	for _, i := range m.List() {
		list = append(list, i.Path)
	}
	return list
}

func recorded(t *testing.T, m *Mounts) []string {
	t.Helper()
	list, _, err := readRecord(m.o.Record)
	require.NoError(t, err)
	var paths []string
	for _, l := range list {
		paths = append(paths, l.Path)
	}
	return paths
}

// A mount that an unclean stop left comes back with its options.
func TestRestoreWithOptions(t *testing.T) {
	ctx := context.Background()
	m, dir := newTestMounts(t, nil)
	a := filepath.Join(dir, "a")
	line, err := encodeRecord([]mountLine{{Path: a, Options: []string{"umask=027", "source=here"}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.o.Record, line, 0o600))
	require.NoError(t, m.Restore(ctx))
	st, err := os.Stat(a)
	require.NoError(t, err)
	require.EqualValues(t, 0o550, st.Mode().Perm())
	top, ok, err := attach.Top(a)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "here", top.Source)
	again, err := os.ReadFile(m.o.Record)
	require.NoError(t, err)
	require.Equal(t, string(line), string(again))
	require.Equal(t, pieces.Invalid, pieces.KindOf(m.Mount(ctx, filepath.Join(dir, "b"), []string{"umask=9"})))
}

func TestMountsComeAndGo(t *testing.T) {
	ctx := context.Background()
	last := make(chan struct{})
	m, dir := newTestMounts(t, func() { close(last) })
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	require.False(t, m.IdleSince().IsZero())
	require.NoError(t, m.Mount(ctx, a, nil))
	require.NoError(t, os.Symlink("b", filepath.Join(dir, "link")))
	require.NoError(t, m.Mount(ctx, filepath.Join(dir, "link"), nil))
	require.True(t, mounted(t, a))
	require.True(t, mounted(t, b))
	require.Equal(t, []string{a, b}, paths(m))
	require.ElementsMatch(t, []string{a, b}, recorded(t, m))
	require.True(t, m.IdleSince().IsZero())
	require.Equal(t, pieces.Exists, pieces.KindOf(m.Mount(ctx, a, nil)))

	stopping, err := m.Unmount(ctx, a, false)
	require.NoError(t, err)
	require.False(t, stopping)
	require.False(t, mounted(t, a))
	require.Equal(t, []string{b}, recorded(t, m))

	// Somebody else's umount counts as well.
	require.NoError(t, unix.Unmount(b, 0))
	<-last
	require.Empty(t, paths(m))
	require.Eventually(t, func() bool { return len(recorded(t, m)) == 0 }, 5*time.Second, time.Millisecond)
	_, err = m.Unmount(ctx, b, false)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestMountPointErrors(t *testing.T) {
	m, dir := newTestMounts(t, nil)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for path, want := range map[string]string{
		"none": "does not exist; make it with 'mkdir -p",
		"file": "is not a directory",
	} {
		err := m.Mount(context.Background(), filepath.Join(dir, path), nil)
		require.ErrorContains(t, err, want)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
}

func TestUnmountOfABusyMount(t *testing.T) {
	ctx := context.Background()
	last := make(chan struct{})
	m, dir := newTestMounts(t, func() { close(last) })
	a := filepath.Join(dir, "a")
	require.NoError(t, m.Mount(ctx, a, nil))
	f, err := os.Open(a)
	require.NoError(t, err)
	_, err = m.Unmount(ctx, a, false)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err), "%v", err)
	require.Equal(t, []string{a}, recorded(t, m))
	stopping, err := m.Unmount(ctx, a, true)
	require.NoError(t, err)
	require.True(t, stopping)
	require.Empty(t, recorded(t, m))
	require.True(t, m.IdleSince().IsZero(), "it is still in use")
	f.Close()
	<-last
	require.False(t, m.IdleSince().IsZero())
}

func TestCloseCutsOffWhoStays(t *testing.T) {
	ctx := context.Background()
	m, dir := newTestMounts(t, nil)
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, d := range []string{a, b} {
		require.NoError(t, m.Mount(ctx, d, nil))
		f, err := os.Open(d)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() }) // before that of the mounts
	}
	_, err := m.Unmount(ctx, b, true)
	require.NoError(t, err)
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	require.NoError(t, m.Close(within))
	require.False(t, mounted(t, a))
	require.Empty(t, recorded(t, m))
}

func TestRestore(t *testing.T) {
	ctx := context.Background()
	m, dir := newTestMounts(t, nil)
	a := filepath.Join(dir, "a")
	require.NoError(t, m.Restore(ctx), "there may be no record")
	record, err := encodeRecord([]mountLine{{Path: a}, {Path: dir + "/gone"}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(m.o.Record, record, 0o600))
	require.NoError(t, m.Restore(ctx))
	require.True(t, mounted(t, a))
	require.Equal(t, []string{a}, recorded(t, m))

	require.NoError(t, os.WriteFile(m.o.Record, []byte(`[broken`), 0o600))
	require.NoError(t, m.Restore(ctx))
}

// tellingGuard says that it ended every mount.
type tellingGuard struct{ asked chan string }

func (g tellingGuard) Add(dir, dev string) func(bool) bool {
	return func(ask bool) bool {
		if ask {
			g.asked <- dir
		}
		return ask
	}
}

// A mount that the guard ended is made again, and its daemon does not leave.
func TestMountThatTheGuardEndedIsMadeAgain(t *testing.T) {
	ctx := context.Background()
	m, dir := newTestMounts(t, func() { t.Error("the last mount is not gone") })
	g := tellingGuard{asked: make(chan string)} // it answers when its work is done
	m.o.Guard = g
	a := filepath.Join(dir, "a")
	require.NoError(t, m.Mount(ctx, a, []string{"source=label"}))
	before, _, err := attach.Top(a)
	require.NoError(t, err)
	h := attach.Hold(a, before.Dev)
	defer h.Close()
	require.NoError(t, h.Abort())
	was, err := h.Detach(ctx)
	require.NoError(t, err)
	require.True(t, was)
	require.Equal(t, a, <-g.asked)
	require.Eventually(t, func() bool { return mounted(t, a) }, 5*time.Second, time.Millisecond)
	after, _, err := attach.Top(a)
	require.NoError(t, err)
	require.Equal(t, "label", after.Source)
	require.Equal(t, []string{a}, recorded(t, m))

	// The hold is on the first mount, whatever its numbers.
	was, err = h.Detach(ctx)
	require.NoError(t, err)
	require.False(t, was)
	require.NoError(t, h.Abort())
	require.True(t, mounted(t, a))

	m.o.Last = nil
	_, err = m.Unmount(ctx, a, false) // our own is no question to the guard
	require.NoError(t, err)
	require.False(t, mounted(t, a))
}
