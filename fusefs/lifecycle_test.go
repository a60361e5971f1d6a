package fusefs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/fusefs/attach"
	"damselfly/pieces"
)

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestMountLooksRight(t *testing.T) {
	m := mount(t, newFake(), func(o *Options) { o.Source = "my label" })
	top, ok, err := attach.Top(m.Dir())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "fuse.dfmount", top.FSType)
	require.Equal(t, "my label", top.Source)
	mounts, err := os.ReadFile("/proc/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.Dir()) {
			for _, option := range []string{"ro,", "nosuid", "nodev", "default_permissions", "allow_other", "max_read=1048576"} {
				require.Contains(t, line, option)
			}
		}
	}
}

func TestUnmount(t *testing.T) {
	b := newFake()
	a := b.add("a", size)
	m := mount(t, b)
	f, err := os.Open(m.path(a))
	require.NoError(t, err)
	require.Equal(t, 1, m.OpenHandles())
	err = m.Unmount(short(t), false)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err), "in use: %v", err)

	// Lazy: the name goes, the handle can still be read.
	require.NoError(t, m.Unmount(short(t), true))
	names, err := readNames(m.Dir())
	require.NoError(t, err)
	require.Empty(t, names)
	got := make([]byte, size)
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, a.content, got)
	require.NoError(t, f.Close())
	require.NoError(t, m.Wait())
	require.NoError(t, m.Unmount(short(t), false), "again")
}

func TestUnmountIdle(t *testing.T) {
	b := newFake()
	a := b.add("a", size).finish(t)
	m := mount(t, b)
	readAll(t, m.path(a))
	require.NoError(t, m.Unmount(short(t), false))
	require.NoError(t, m.Wait())
	require.Zero(t, m.OpenHandles())
	require.Zero(t, b.opened.Load())
}

func TestUnmountedByOthers(t *testing.T) {
	m := mount(t, newFake())
	require.NoError(t, unix.Unmount(m.Dir(), 0))
	require.Equal(t, pieces.Unavailable, pieces.KindOf(m.Wait()))
}

// Close ends readers that wait.
func TestCloseCutsReaders(t *testing.T) {
	b := newFake()
	a, began, _ := blocked(b, "a")
	m := mount(t, b)
	err := make(chan error)
	go func() { err <- preadErr(m.path(a), 4096, unix.O_DIRECT) }()
	<-began
	start := time.Now()
	require.NoError(t, m.Close(short(t)))
	require.Error(t, <-err)
	require.Less(t, time.Since(start), time.Second)
}

// When New's context ends, who waits is told at once.
func TestContextEnds(t *testing.T) {
	needFUSE(t)
	b := newFake()
	a, began, _ := blocked(b, "a")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m, err := New(ctx, Options{Dir: t.TempDir(), Backend: b})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close(short(t))) })
	got := make(chan error)
	go func() { got <- preadErr(m.path(a), 4096, unix.O_DIRECT) }()
	<-began
	cancel()
	require.ErrorIs(t, <-got, unix.EIO)
}

// The serving process may itself read what it serves, with one processor too.
func TestServerReadsItsOwnMount(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	t.Cleanup(func() { require.NoError(t, CleanStale(dir)) })
	own := startChild(t, "own", dir)
	stuck := time.AfterFunc(20*time.Second, func() { _ = own.Process.Kill() })
	defer stuck.Stop()
	require.Equal(t, "true", own.line(t))
	require.NoError(t, own.Wait())
}

// The daemon is killed. Who waits for it gets an error at once, who reads in
// passthrough notices nothing, and the next daemon replaces the dead mount.
func TestKilledDaemon(t *testing.T) {
	needFUSE(t)
	dir := t.TempDir()
	daemon := startChild(t, "serve", dir)
	t.Cleanup(func() { require.NoError(t, CleanStale(dir)) })
	require.Equal(t, "serving", daemon.line(t))
	b := servedTasks()
	complete, err := os.Open(filepath.Join(dir, string(taskID("complete"))))
	require.NoError(t, err)
	defer complete.Close()
	waiting := make(chan error)
	go func() { waiting <- preadErr(filepath.Join(dir, string(taskID("silent"))), 4096, 0) }()
	require.Equal(t, "reading", daemon.line(t))

	killed := time.Now()
	require.NoError(t, daemon.Process.Kill())
	require.Error(t, daemon.Wait())
	require.Error(t, <-waiting)
	require.Less(t, time.Since(killed), time.Second)
	var st unix.Statfs_t
	require.ErrorIs(t, unix.Statfs(dir, &st), unix.ENOTCONN)
	content := b.tasks[taskID("complete")].content
	got := make([]byte, len(content))
	_, err = complete.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, content, got)

	again := mountAt(t, dir, b)
	a := b.tasks[taskID("complete")]
	require.Equal(t, a.content, readAll(t, again.path(a)))

	require.NoError(t, CleanStale(dir), "a living mount is left alone")
	require.Equal(t, a.content, readAll(t, again.path(a)))
}

func TestNewRefuses(t *testing.T) {
	b := newFake()
	m := mount(t, b)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, c := range map[string]struct {
		o    Options
		kind pieces.Kind
		says string
	}{
		"mounted already": {Options{Dir: m.Dir(), Backend: b}, pieces.Exists, "umount"},
		"no directory":    {Options{Dir: "/nonexistent/dir", Backend: b}, pieces.NotFound, "/nonexistent"},
		"missing":         {Options{Dir: t.TempDir() + "/none", Backend: b}, pieces.NotFound, "mkdir -p"},
		"a file":          {Options{Dir: file, Backend: b}, pieces.Invalid, "not a directory"},
		"no dir":          {Options{Backend: b}, pieces.Invalid, "empty"},
		"no backend":      {Options{Dir: t.TempDir()}, pieces.Invalid, "backend"},
		"negative":        {Options{Dir: t.TempDir(), Backend: b, ReadDeadline: -1}, pieces.Invalid, "negative"},
	} {
		_, err := New(short(t), c.o)
		require.Equal(t, c.kind, pieces.KindOf(err), "%s: %v", name, err)
		require.ErrorContains(t, err, c.says, name)
	}
}

// fusermount3 mounts and unmounts as well.
func TestHelper(t *testing.T) {
	b := newFake()
	a := b.add("a", size)
	m := mount(t, b, func(o *Options) { o.Helper = true; o.Source = "with, comma" })
	require.Equal(t, a.content, readAll(t, m.path(a)))
	top, _, err := attach.Top(m.Dir())
	require.NoError(t, err)
	require.Equal(t, "fuse.dfmount", top.FSType)
	require.Equal(t, "with, comma", top.Source)
	settled(t, func() bool { return m.OpenHandles() == 0 })
	require.NoError(t, m.Unmount(short(t), false))
	require.NoError(t, m.Wait())
}

// An ordinary user mounts where the device is open to all: here in a mount
// namespace of its own.
func TestOrdinaryUser(t *testing.T) {
	needFUSE(t)
	dir, err := os.MkdirTemp("", "fusefs-user")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/test", self, 0o755))
	require.NoError(t, os.Mkdir(dir+"/mnt", 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chown(dir+"/mnt", 65534, 65534))
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", `
		mknod $0/fuse c 10 229; chmod 0666 $0/fuse; mount --bind $0/fuse /dev/fuse
		cd $0; exec setpriv --reuid 65534 --regid 65534 --clear-groups $0/test $0/mnt`, dir)
	cmd.Env = append(os.Environ(), childEnv+"=user", "TMPDIR=/tmp")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "false the daemon lacks CAP_SYS_ADMIN\n", string(out))
}

// No child inherits the connection: it would keep readers hanging.
func TestDeviceIsCloseOnExec(t *testing.T) {
	for _, helper := range []bool{false, true} {
		m := mount(t, newFake(), func(o *Options) { o.Helper = helper })
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		devices := 0
		for _, fd := range fds {
			target, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			if target != "/dev/fuse" {
				continue
			}
			devices++
			info, err := os.ReadFile("/proc/self/fdinfo/" + fd.Name())
			require.NoError(t, err)
			require.Regexp(t, `flags:\s+0?2[0-7]{6}\n`, string(info), "O_CLOEXEC")
		}
		require.Equal(t, 1, devices)
		require.NoError(t, m.Close(short(t)))
	}
}

func TestMetrics(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	bad := b.add("bad", 4096)
	bad.read = fails(pieces.Errorf(pieces.Denied, "no"))
	reg := prometheus.NewRegistry()
	m := mount(t, b, func(o *Options) { o.Registry = reg })
	readAll(t, m.path(a))
	require.Error(t, preadErr(m.path(bad), 1, 0))
	require.InDelta(t, 4096, testutil.ToFloat64(m.metrics.readBytes[pieces.HitNone]), 0)
	require.InDelta(t, 2, testutil.ToFloat64(m.metrics.opens.WithLabelValues("cached")), 0)
	require.GreaterOrEqual(t, testutil.ToFloat64(m.metrics.errors.WithLabelValues("read", "EACCES")), 1.0)
	families, err := reg.Gather()
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(families), 5)
	settled(t, func() bool { return m.OpenHandles() == 0 })
	require.NoError(t, m.Unmount(short(t), false))
	require.NoError(t, m.Wait())
	families, err = reg.Gather()
	require.NoError(t, err)
	require.Empty(t, families, "unregistered")
}
