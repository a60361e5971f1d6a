package fusefs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

func TestTree(t *testing.T) {
	b := newFake()
	a := b.add("a", 1234)
	b.names["model.bin"] = a.Key.Task
	b.names["bad/name"] = a.Key.Task // can't be listed, must not spoil the rest
	m := mount(t, b)

	var got []string
	require.NoError(t, filepath.Walk(m.Dir(), func(p string, _ os.FileInfo, err error) error {
		got = append(got, strings.TrimPrefix(p, m.Dir()))
		return err
	}))
	id := string(a.Key.Task)
	require.ElementsMatch(t, []string{"", "/.df", "/.df/status", "/.df/accesslog", "/.df/tasks", "/.df/tasks/" + id + ".json", "/" + id, "/by-name", "/by-name/model.bin"}, got)

	target, err := os.Readlink(m.Dir() + "/by-name/model.bin")
	require.NoError(t, err)
	require.Equal(t, "../"+id, target)
	require.Equal(t, a.content, readAll(t, m.Dir()+"/by-name/model.bin"))
	status := string(readAll(t, m.Dir()+"/.df/status"))
	require.True(t, strings.HasPrefix(status, "all is well\nmount "+m.Dir()+": "), status)
	require.Equal(t, "{\"id\":\""+id+"\"}\n", string(readAll(t, m.Dir()+"/.df/tasks/"+id+".json")))
}

func TestOnlyTaskIDsAreLookedUp(t *testing.T) {
	b := newFake()
	a := b.add("a", 1)
	m := mount(t, b)
	id := string(a.Key.Task)
	for _, name := range []string{"x", "README", id[:63], id + "0", strings.ToUpper(id), "by-name/none", ".df/none", ".df/tasks/" + id, ".df/tasks/x.json"} {
		_, err := os.Stat(filepath.Join(m.Dir(), name))
		require.ErrorIs(t, err, unix.ENOENT, name)
	}
	require.Zero(t, b.lookups.Load())
}

func TestMissesAreNotCached(t *testing.T) {
	b := newFake()
	m := mount(t, b)
	path := filepath.Join(m.Dir(), string(taskID("late")))
	_, err := os.Stat(path)
	require.ErrorIs(t, err, unix.ENOENT)
	b.add("late", 7)
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 7, st.Size())
}

func TestStat(t *testing.T) {
	b := newFake()
	a := b.add("a", 5_000_000)
	a.Private, a.UID, a.GID = true, 1234, 5678
	p := b.add("p", 42)
	m := mount(t, b)

	var st unix.Stat_t
	require.NoError(t, unix.Stat(m.path(a), &st))
	require.EqualValues(t, unix.S_IFREG|0o400, st.Mode)
	require.EqualValues(t, 1234, st.Uid)
	require.EqualValues(t, 5678, st.Gid)
	require.EqualValues(t, 5_000_000, st.Size)
	require.EqualValues(t, 1_700_000_000, st.Mtim.Sec)
	require.EqualValues(t, fileAttr(a.Key).Ino, st.Ino)

	require.NoError(t, unix.Stat(m.path(p), &st))
	require.EqualValues(t, unix.S_IFREG|0o444, st.Mode)
	require.EqualValues(t, os.Geteuid(), st.Uid)

	json := m.Dir() + "/.df/tasks/" + string(a.Key.Task) + ".json"
	require.NoError(t, unix.Stat(json, &st))
	require.EqualValues(t, unix.S_IFREG|0o400, st.Mode)
	require.EqualValues(t, 1234, st.Uid)

	require.NoError(t, unix.Stat(m.Dir(), &st))
	require.EqualValues(t, unix.S_IFDIR|0o555, st.Mode)
	require.EqualValues(t, 1, st.Ino)
}

// Private files are closed to others by the kernel (default_permissions),
// public ones open to all (allow_other).
func TestPermissions(t *testing.T) {
	b := newFake()
	a, p := b.add("a", 3), b.add("p", 3)
	a.Private, a.UID = true, 1234
	m := mount(t, b)
	openParents(t, m.Dir())
	require.ErrorIs(t, asUser(t, 4321, m.path(a)), unix.EACCES)
	require.NoError(t, asUser(t, 1234, m.path(a)))
	require.NoError(t, asUser(t, 4321, m.path(p)))
}

// uid, gid and umask say who reads what is nobody's in particular; a private
// file stays its owner's.
func TestOwnerAndUmask(t *testing.T) {
	b := newFake()
	a, p := b.add("a", 3), b.add("p", 3)
	a.Private, a.UID, a.GID = true, 1234, 5678
	m := mount(t, b, func(o *Options) {
		for _, option := range []string{"uid=4321", "gid=8765", "umask=0337", "allow_other"} {
			require.NoError(t, o.Set(option))
		}
	})
	var st unix.Stat_t
	for path, mode := range map[string]uint32{
		m.Dir(): unix.S_IFDIR | 0o440, m.path(p): unix.S_IFREG | 0o440, m.Dir() + "/.df/status": unix.S_IFREG | 0o440,
	} {
		require.NoError(t, unix.Stat(path, &st))
		require.Equal(t, mode, st.Mode, path)
		require.EqualValues(t, 4321, st.Uid)
		require.EqualValues(t, 8765, st.Gid)
	}
	require.NoError(t, unix.Stat(m.path(a), &st))
	require.EqualValues(t, unix.S_IFREG|0o400, st.Mode)
	require.EqualValues(t, 1234, st.Uid)
}

// A umask shuts others out.
func TestUmaskShutsOut(t *testing.T) {
	b := newFake()
	p := b.add("p", 3)
	m := mount(t, b, func(o *Options) {
		require.NoError(t, o.Set("uid=4321"))
		require.NoError(t, o.Set("umask=077"))
	})
	openParents(t, m.Dir())
	require.NoError(t, asUser(t, 4321, m.path(p)))
	require.ErrorIs(t, asUser(t, 4322, m.path(p)), unix.EACCES)
}

func TestSet(t *testing.T) {
	var o Options
	for _, option := range []string{"uid=-1", "uid=4294967295", "gid=", "gid=root", "umask=8", "umask=1777", "source=", "allow_other=1", "other", ""} {
		require.Equal(t, pieces.Invalid, pieces.KindOf(o.Set(option)), option)
	}
	require.Equal(t, Options{}, o)
	require.NoError(t, o.Set("private"))
	require.True(t, o.Private)
	require.NoError(t, o.Set("allow_other"))
	require.True(t, o.AllowOther)
	require.False(t, o.Private)
}

// openParents lets everybody reach dir.
func openParents(t *testing.T, dir string) {
	for d := filepath.Dir(dir); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
}

// asUser opens path as another user, in a process of its own.
func asUser(t *testing.T, uid uint32, path string) error {
	attr := &os.ProcAttr{Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}}
	cat, err := os.StartProcess("/bin/sh", []string{"sh", "-c", `exec <"$0"`, path}, attr)
	require.NoError(t, err)
	st, err := cat.Wait()
	require.NoError(t, err)
	if !st.Success() {
		return unix.EACCES
	}
	return nil
}

func TestLookupIsCachedAndBounded(t *testing.T) {
	b := newFake()
	a := b.add("a", 3)
	m := mount(t, b, func(o *Options) { o.LookupDeadline = 200 * time.Millisecond })
	for range 20 {
		_, err := os.Stat(m.path(a))
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, b.lookups.Load(), "stat of a known file asks nobody")

	b.change(func() {
		b.lookup = func(ctx context.Context, _ pieces.TaskID) error { <-ctx.Done(); return ctx.Err() }
	})
	began := time.Now()
	_, err := os.Stat(filepath.Join(m.Dir(), string(taskID("slow"))))
	require.ErrorIs(t, err, unix.ETIMEDOUT)
	require.Less(t, time.Since(began), 2*time.Second)
	_, err = os.Stat(m.path(a))
	require.NoError(t, err)
}

func TestStatfsAsksNobody(t *testing.T) {
	b := newFake()
	m := mount(t, b)
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(m.Dir(), &st))
	require.EqualValues(t, 255, st.Namelen)
	require.Zero(t, b.lookups.Load())
}

func TestDots(t *testing.T) {
	b := newFake()
	b.names["n"] = b.add("a", 1).Key.Task
	m := mount(t, b)
	for _, dir := range []string{"", "/by-name", "/.df", "/.df/tasks"} {
		fd, err := unix.Open(m.Dir()+dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		require.NoError(t, err)
		buf := make([]byte, 4096)
		n, err := unix.Getdents(fd, buf)
		require.NoError(t, err)
		require.NoError(t, unix.Close(fd))
		require.Contains(t, string(buf[:n]), "\x04.\x00", dir)
		require.Contains(t, string(buf[:n]), "\x04..\x00", dir)
	}
}

// One listing is complete though it takes many READDIRs, and causes no lookup.
func TestManyFiles(t *testing.T) {
	b := newFake()
	for i := range 3000 {
		b.add("task"+string(rune(i)), 0)
	}
	m := mount(t, b)
	names, err := readNames(m.Dir())
	require.NoError(t, err)
	require.Len(t, names, 3000+2)
	require.Zero(t, b.lookups.Load())
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
