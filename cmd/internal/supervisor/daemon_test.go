package supervisor

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/fusefs"
	"damselfly/fusefs/attach"
	"damselfly/pieces"
	"damselfly/pieces/missing"
)

// Roles of the test binary.
const (
	roleEnv   = "SUPERVISOR_TEST_ROLE"
	supervise = "supervise"
)

// Short timings, and such that a loaded machine makes no difference.
const (
	testBeat = 50 * time.Millisecond
	testMute = 2 * time.Second
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == supervise:
		o := RunOptions{Beat: testBeat, Mute: testMute, RestartEvery: time.Second, Log: textLog()}
		if len(os.Args) > 2 {
			o.Restart, o.Dir = os.Args[2:], "/"
		}
		err = Run(o)
	case role == "daemon":
		err = playDaemon(os.Args[1], append(os.Args[2:], "")[0])
	case role == "reader":
		err = unix.Statx(unix.AT_FDCWD, filepath.Join(os.Args[1], strings.Repeat("0", 64)), 0, 0, new(unix.Statx_t))
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func textLog() *logrus.Entry { return logrus.NewEntry(logrus.StandardLogger()) }

// silent is a backend that keeps everybody waiting.
type silent struct{ fusefs.Backend }

func (silent) Lookup(ctx context.Context, _ pieces.TaskID) (fusefs.Entry, error) {
	<-ctx.Done()
	return fusefs.Entry{}, ctx.Err()
}

// playDaemon serves a mount on dir, in which whoever looks waits, and does what
// it reads from stdin. How may be "restart": the supervisor is to restart it; or
// "deaf": it does not even serve the mount.
func playDaemon(dir, how string) error {
	var dev string
	unmount := func(context.Context, bool) error { return nil }
	if how == "deaf" {
		_, point, err := attach.Attach(context.Background(), attach.Options{Dir: dir, Source: "test", Subtype: "test", MaxRead: 4096})
		if err != nil {
			return err
		}
		dev = point.Dev()
	} else {
		m, err := fusefs.New(context.Background(), fusefs.Options{Dir: dir, Backend: silent{}, LookupDeadline: time.Minute, NoPassthrough: true})
		if err != nil {
			return err
		}
		dev, unmount = m.Dev(), m.Unmount
	}
	command := []string{"test", supervise}
	if how == "restart" {
		command = append(command, os.Args...)
	}
	g := New(Options{Beat: testBeat, Pause: 10 * time.Millisecond, Command: command, Log: textLog()})
	remove := g.Add(dir, dev)
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch in.Text() {
		case "child":
			g.mu.Lock()
			if g.child != nil {
				fmt.Println(g.child.pid())
			} else {
				fmt.Println(0)
			}
			g.mu.Unlock()
		case "remove":
			fmt.Println(remove(true))
		case "wedge":
			g.mu.Lock() // for ever: no more beats
			fmt.Println("wedged")
		case "close":
			err := unmount(context.Background(), true)
			remove(false)
			fmt.Println(err, g.Close())
			return nil
		}
	}
	select {} // a restarted daemon has no stdin
}

// daemon is a running playDaemon.
type daemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	dir   string
	in    io.Writer
	out   *bufio.Reader
	ended chan struct{}
	// mounts is the mountinfo of where the daemon lives; enter leads there, as
	// the user it has.
	mounts string
	enter  []string

	mu  sync.Mutex
	log bytes.Buffer
}

// Write takes what daemon and supervisor log.
func (d *daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(p)
}

func (d *daemon) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// startDaemon starts one as root.
func startDaemon(t *testing.T, extra ...string) *daemon {
	t.Helper()
	d := newDaemon(t)
	d.enter = []string{self}
	d.start(extra...)
	return d
}

// newDaemon makes a place for one. Most of a test is waiting, so they run in
// parallel.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing.Skip(t, "needs /dev/fuse")
	}
	top, err := os.MkdirTemp("", "supervisor-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(top)) })
	require.NoError(t, os.Chmod(top, 0o755))
	d := &daemon{t: t, dir: filepath.Join(top, "mnt"), ended: make(chan struct{}), mounts: "/proc/self/mountinfo"}
	require.NoError(t, os.Mkdir(d.dir, 0o755))
	return d
}

// command is this binary in a role, where and as whom the daemon lives.
func (d *daemon) command(role string, args ...string) *exec.Cmd {
	argv := append(append([]string{}, d.enter...), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	return cmd
}

// start starts it, in a process group of its own.
func (d *daemon) start(extra ...string) {
	t := d.t
	t.Helper()
	d.cmd = d.command("daemon", append([]string{d.dir}, extra...)...)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What the daemon inherits without knowing, as from a careless shell.
	gift, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer gift.Close()
	d.cmd.ExtraFiles = []*os.File{gift}
	log, theirs, err := os.Pipe()
	require.NoError(t, err)
	d.cmd.Stderr = theirs
	d.in, err = d.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := d.cmd.StdoutPipe()
	require.NoError(t, err)
	d.out = bufio.NewReader(out)
	require.NoError(t, d.cmd.Start())
	theirs.Close()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(d, log)
	}()
	go func() {
		defer close(d.ended)
		d.cmd.Process.Wait()
	}()
	t.Cleanup(func() {
		d.cmd.Process.Kill()
		<-d.ended
		select { // the end of the log is the end of the supervisor
		case <-copied:
		case <-time.After(10 * time.Second):
			t.Error("the supervisor is still there")
		}
		if t.Failed() {
			t.Log(d.logged())
		}
	})
	require.Equal(t, "ready", d.line())
}

func (d *daemon) line() string {
	d.t.Helper()
	s, err := d.out.ReadString('\n')
	require.NoError(d.t, err, d.logged())
	return strings.TrimSpace(s)
}

// ask has the daemon do something.
func (d *daemon) ask(command string) string {
	d.t.Helper()
	_, err := fmt.Fprintln(d.in, command)
	require.NoError(d.t, err)
	return d.line()
}

// child returns the supervisor's pid.
func (d *daemon) child() int {
	d.t.Helper()
	var pid int
	d.within(5*time.Second, func() bool {
		var err error
		pid, err = strconv.Atoi(d.ask("child"))
		return err == nil && pid != 0
	})
	return pid
}

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	require.NoError(d.t, d.cmd.Process.Signal(s))
}

func (d *daemon) mounted() bool {
	b, err := os.ReadFile(d.mounts)
	require.NoError(d.t, err)
	return strings.Contains(string(b), " "+d.dir+" ")
}

func (d *daemon) within(limit time.Duration, ok func() bool) {
	d.t.Helper()
	require.Eventually(d.t, ok, limit, 5*time.Millisecond, "%s", d.logged())
}

// reader waits in the mount; the channel gets when it got its error.
func (d *daemon) reader() <-chan time.Time {
	d.t.Helper()
	cmd := d.command("reader", d.dir)
	require.NoError(d.t, cmd.Start())
	freed := make(chan time.Time, 1)
	go func() {
		err := cmd.Wait()
		if err != nil && cmd.ProcessState.ExitCode() == 1 { // its read failed
			freed <- time.Now()
		}
		close(freed)
	}()
	d.t.Cleanup(func() { cmd.Process.Kill() })
	stat := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/syscall"
	d.within(5*time.Second, func() bool {
		b, _ := os.ReadFile(stat)
		return strings.HasPrefix(string(b), strconv.Itoa(unix.SYS_STATX)+" ")
	})
	return freed
}

// requireFreed wants the reader to have got an error, at most d after since.
func requireFreed(t *testing.T, freed <-chan time.Time, since time.Time, d time.Duration) {
	t.Helper()
	select {
	case at, ok := <-freed:
		require.True(t, ok, "the reader got no error")
		t.Logf("the reader was freed after %s", at.Sub(since).Round(time.Millisecond))
		require.Less(t, at.Sub(since), d)
	case <-time.After(d + 5*time.Second):
		t.Fatal("the reader hangs")
	}
}
