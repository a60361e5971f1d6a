package fusefs

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openMode opens path and returns the mode that the mount says it is in.
func openMode(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	return xattr(t, path, "user.df.mode")
}

func xattr(t testing.TB, path, name string) string {
	t.Helper()
	buf := make([]byte, 256)
	n, err := unix.Getxattr(path, name, buf)
	require.NoError(t, err, name)
	return string(buf[:n])
}

func TestPassthroughIsOn(t *testing.T) {
	m := mount(t, newFake())
	on, why := m.Passthrough()
	require.True(t, on, why)
	probes, err := os.ReadDir(m.o.ProbeDir)
	require.NoError(t, err)
	require.Empty(t, probes, "the scratch file is gone")
}

// patient waits for every RELEASE, however busy the machine is.
func patient(o *Options) { o.ReleaseGrace = 5 * time.Second }

// A file read to its end becomes complete: reopened, the kernel reads it.
func TestReopenedInPassthrough(t *testing.T) {
	b := newFake()
	a := b.add("a", size)
	m := mount(t, b, patient)
	for range 20 {
		readAll(t, m.path(a))
	}
	require.NotZero(t, m.Reads())
	require.Equal(t, "cached", openMode(t, m.path(a)))
	b.change(func() { a.finish(t) })
	before := m.Reads()
	for range 20 {
		require.Equal(t, a.content, readAll(t, m.path(a)))
		require.Equal(t, "passthrough", openMode(t, m.path(a)))
	}
	require.Equal(t, before, m.Reads())
}

// While a cached-mode handle is held, a complete file opens in cached mode
// too; the kernel would answer EIO to passthrough.
func TestHeldInCachedMode(t *testing.T) {
	b := newFake()
	a := b.add("a", size)
	m := mount(t, b, patient)
	held, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer held.Close()
	b.change(func() { a.finish(t) })
	for range 10 {
		require.Equal(t, a.content, readAll(t, m.path(a)))
		require.Equal(t, "cached", openMode(t, m.path(a)))
	}
	require.NoError(t, held.Close())
	// Who was found to stay is not waited for: its RELEASE comes behind close(2).
	settled(t, func() bool { return m.OpenHandles() == 0 })
	require.Equal(t, "passthrough", openMode(t, m.path(a)))
}

// Who holds a file in cached mode costs the next opens no wait.
func TestHeldCostsOneWait(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096).finish(t)
	m := mount(t, b, func(o *Options) { o.NoPassthrough = true })
	held, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer held.Close()
	m.pass.mu.Lock()
	m.pass.off = ""
	m.pass.mu.Unlock()
	m.o.ReleaseGrace = 300 * time.Millisecond
	began := time.Now()
	for range 30 {
		readAll(t, m.path(a))
	}
	require.Less(t, time.Since(began), 900*time.Millisecond)
}

// A handle in passthrough brings later ones along, also if their File is not
// complete (any more), and also with O_DIRECT.
func TestHeldInPassthrough(t *testing.T) {
	b := newFake()
	a := b.add("a", size).finish(t)
	m := mount(t, b)
	held, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer held.Close()
	b.change(func() { a.complete = "" })
	require.Equal(t, "passthrough", openMode(t, m.path(a)))
	require.NoError(t, preadErr(m.path(a), 4096, 0))
	fd, err := unix.Open(m.path(a), unix.O_RDONLY|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Pread(fd, aligned(4096), 0)
	require.NoError(t, err)
	require.Zero(t, m.Reads())
}

// Descriptors of content files don't pile up.
func TestPassthroughClosesDescriptors(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096).finish(t)
	m := mount(t, b)
	readAll(t, m.path(a))
	settled(t, func() bool { return m.OpenHandles() == 0 })
	before := openFDs(t)
	for range 50 {
		readAll(t, m.path(a))
	}
	settled(t, func() bool { return m.OpenHandles() == 0 && openFDs(t) <= before })
}

func openFDs(t testing.TB) int {
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(fds)
}

// A content file the kernel does not take (here: on no disk at all) is read
// through us, and the next one is passed through all the same.
func TestRefusedContentFile(t *testing.T) {
	b := newFake()
	bad, good := b.add("bad", 4096), b.add("good", 4096).finish(t)
	bad.complete = "/dev/null" // not a regular file
	m := mount(t, b)
	require.Equal(t, bad.content, readAll(t, m.path(bad)))
	require.Equal(t, "cached", openMode(t, m.path(bad)))
	require.Equal(t, "passthrough", openMode(t, m.path(good)))
}

func TestNoPassthrough(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096).finish(t)
	m := mount(t, b, func(o *Options) { o.NoPassthrough = true })
	on, why := m.Passthrough()
	require.False(t, on)
	require.Equal(t, "switched off", why)
	require.Equal(t, a.content, readAll(t, m.path(a)))
	require.Equal(t, "cached", openMode(t, m.path(a)))
}

// fakeKernel refuses every content file.
type fakeKernel struct{ errno syscall.Errno }

func (k fakeKernel) RegisterBackingFd(*fuse.BackingMap) (int32, syscall.Errno) { return 0, k.errno }
func (k fakeKernel) UnregisterBackingFd(int32) syscall.Errno                   { return 0 }

func TestProbeSaysWhy(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		0:                  "",
		syscall.EPERM:      "CAP_SYS_ADMIN",
		syscall.ELOOP:      "--data-dir",
		syscall.EOPNOTSUPP: "not support",
		syscall.ENOMEM:     "memory",
	} {
		p := &passthrough{kernel: fakeKernel{errno}}
		require.Contains(t, p.probe(t.TempDir()), want)
	}
	require.Contains(t, (&passthrough{}).probe("/nonexistent"), "scratch file")
}

// A content file that was removed while a program has it open is still on the
// disk, and that is shown until the program closes it.
func TestUnlinkedButOpen(t *testing.T) {
	b := newFake()
	a := b.add("a", size).finish(t)
	m := mount(t, b)
	held, err := os.Open(m.path(a))
	require.NoError(t, err)
	defer held.Close()
	cached, passed := m.Open()
	require.Zero(t, cached)
	require.Equal(t, 1, passed)
	files, _ := m.Unlinked()
	require.Zero(t, files)
	require.NotContains(t, m.status(), "removed but open")

	require.NoError(t, os.Remove(a.complete))
	files, bytes := m.Unlinked()
	require.Equal(t, 1, files)
	require.GreaterOrEqual(t, bytes, int64(size))
	require.Contains(t, string(readAll(t, m.Dir()+"/.df/status")), "removed but open: 1 files still take")

	require.NoError(t, held.Close())
	settled(t, func() bool { files, _ := m.Unlinked(); return files == 0 && m.OpenHandles() == 0 })
}
