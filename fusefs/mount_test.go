package fusefs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces/missing"
)

// childEnv names the child command that the test binary is to run instead of
// tests. What would block a thread of the serving process beyond the Go
// scheduler's knowledge (page faults) happens in such a child.
const childEnv = "FUSEFS_TEST_CHILD"

func TestMain(m *testing.M) {
	if cmd := os.Getenv(childEnv); cmd != "" {
		if err := children[cmd](os.Args[1:]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a running child command.
type child struct {
	*exec.Cmd
	out *bufio.Reader
}

// startChild runs a child command; it is dead at the end of the test.
func startChild(t testing.TB, name string, args ...string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command("/proc/self/exe", args...)}
	c.Env = append(os.Environ(), childEnv+"="+name)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	c.out = bufio.NewReader(out)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	return c
}

// line reads one line of the child's output.
func (c *child) line(t testing.TB) string {
	t.Helper()
	s, err := c.out.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(s)
}

// runChild runs a child command to its end and returns its output.
func runChild(t testing.TB, name string, args ...string) string {
	t.Helper()
	c := startChild(t, name, args...)
	out, err := io.ReadAll(c.out)
	require.NoError(t, err)
	require.NoError(t, c.Wait(), "%s", out)
	return strings.TrimSpace(string(out))
}

// mount mounts b under the test's directory and takes it off at the end,
// whatever is still open.
func mount(t testing.TB, b Backend, change ...func(*Options)) *Mount {
	t.Helper()
	needFUSE(t)
	dir := filepath.Join(t.TempDir(), "mnt")
	require.NoError(t, os.Mkdir(dir, 0o755))
	return mountAt(t, dir, b, change...)
}

func mountAt(t testing.TB, dir string, b Backend, change ...func(*Options)) *Mount {
	t.Helper()
	o := Options{Dir: dir, Backend: b, ProbeDir: t.TempDir()}
	for _, c := range change {
		c(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m, err := New(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, m.Close(ctx))
	})
	return m
}

func needFUSE(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing.Skip(t, "needs /dev/fuse")
	}
}

// path is where a fake's Task is seen.
func (m *Mount) path(t *fakeTask) string { return filepath.Join(m.Dir(), string(t.Key.Task)) }

// readAll opens and reads a file to its end.
func readAll(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// preadErr opens path, reads n bytes at 0 and returns the errno of either.
func preadErr(path string, n, flags int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Pread(fd, make([]byte, n), 0)
	return err
}

// settled waits until cond holds, for what the kernel does behind a syscall
// (RELEASE after close).
func settled(t testing.TB, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 5*time.Second, time.Millisecond)
}
