package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
	"damselfly/pieces/missing"
)

// The test binary plays dfdaemon when this variable is set.
const playDaemon = "TEST_PLAY_DFDAEMON"

func TestMain(m *testing.M) {
	// A daemon in the test's process starts this binary as its supervisor, and to
	// probe its store.
	if os.Getenv(playDaemon) != "" || len(os.Args) > 1 && slices.Contains([]string{superviseCommand, probeWord}, os.Args[1]) {
		main()
	}
	os.Exit(m.Run())
}

// machine is where a daemon of a test lives.
type machine struct {
	t    *testing.T
	dir  string
	sock string
	mnt  string
	args []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	m := &machine{t: t, dir: dir, sock: filepath.Join(dir, "d.sock"), mnt: filepath.Join(dir, "mnt")}
	require.NoError(t, os.Mkdir(m.mnt, 0o755))
	m.args = []string{"--data-dir", filepath.Join(dir, "data"), "--socket", m.sock,
		"--peer-port", "0", "--upload-port", "0", "--metrics", "127.0.0.1:0", "--log-level", "warn"}
	return m
}

func needFUSE(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		missing.Skip(t, "no FUSE here: ", err)
	}
	f.Close()
}

// running is a daemon in the test's process.
type running struct {
	client *control.Client
	// stop ends it as SIGTERM does and returns its exit code.
	stop func() int
	// ended is closed when it ended.
	ended  chan struct{}
	stderr *bytes.Buffer // to be read after ended
}

// start starts a daemon and waits until it is ready.
func (m *machine) start(args ...string) *running {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{ended: make(chan struct{}), stderr: &bytes.Buffer{}}
	code := 0
	go func() {
		defer close(r.ended)
		code = boot.Execute(ctx, newCommand(), append(append([]string{}, m.args...), args...), io.Discard, r.stderr)
	}()
	r.stop = func() int {
		cancel()
		<-r.ended
		return code
	}
	m.t.Cleanup(func() { r.stop() })
	r.client = m.ready(r.ended)
	return r
}

// ready waits for a daemon that serves the machine's socket.
func (m *machine) ready(ended <-chan struct{}) *control.Client {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		conn, err := net.Dial("unix", m.sock)
		if err != nil {
			return false // not there, or left by one that was killed
		}
		conn.Close()
		return true
	}, 20*time.Second, time.Millisecond)
	c, err := control.Dial(m.sock)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = c.Ping(ctx)
	require.NoError(m.t, err)
	return c
}

func (m *machine) mounted() bool {
	_, err := os.Stat(filepath.Join(m.mnt, ".df", "status"))
	return err == nil
}

// execute runs a daemon that is expected to end by itself.
func (m *machine) execute(args ...string) (code int, stderr string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var e bytes.Buffer
	code = boot.Execute(ctx, newCommand(), append(append([]string{}, m.args...), args...), io.Discard, &e)
	return code, e.String()
}

func origin(t *testing.T, data []byte) (url string, requests func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n++
		mu.Unlock()
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s.URL + "/f", func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 >> 4)
	}
	return b
}

func TestUsageErrors(t *testing.T) {
	m := newMachine(t)
	config := filepath.Join(m.dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte("log:\n  level: loud\n"), 0o600))
	wrong := filepath.Join(m.dir, "wrong.yaml")
	require.NoError(t, os.WriteFile(wrong, []byte("seed-peer: maybe\n"), 0o600))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"extra"}, `unknown command "extra" for "dfdaemon"`},
		{[]string{"--nope"}, "unknown flag: --nope"},
		{[]string{"--manager", "m"}, `--manager "m": want HOST:PORT`},
		{[]string{"--cache-size", "x"}, `size "x": want bytes`},
		{[]string{"--metrics", "9000"}, `--metrics "9000": want HOST:PORT`},
		{[]string{"--all-in-one", "--scheduler", "s:1"}, "--all-in-one brings its own manager"},
		{[]string{"--config", wrong}, wrong + `:1: seed-peer: want true or false, not "maybe"`},
		{[]string{"--mount", filepath.Join(m.dir, "none")}, "does not exist; make it with 'mkdir -p"},
	} {
		code, stderr := m.execute(c.args...)
		require.Contains(t, stderr, c.want)
		require.Equal(t, boot.ExitUsage, code, stderr)
	}
	m.args = m.args[:len(m.args)-2] // --log-level would win
	code, stderr := m.execute("--config", config)
	require.Contains(t, stderr, `log level "loud": want error, warn`)
	require.Equal(t, boot.ExitUsage, code)
	require.NoFileExists(t, m.sock)
}

func TestReadThroughAMountAndStopCleanly(t *testing.T) {
	needFUSE(t)
	m := newMachine(t)
	data := content(3_000_000)
	url, _ := origin(t, data)
	r := m.start("--mount", m.mnt)
	ctx := context.Background()
	_, paths, err := r.client.Add(ctx, url, pieces.Options{}, "nice")
	require.NoError(t, err)
	require.Equal(t, []string{m.mnt + "/by-name/nice"}, paths)
	got, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	st, err := r.client.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", st.Host.IP, "a host alone keeps to the loopback")
	checks, err := r.client.Doctor(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, checks)

	require.Zero(t, r.stop(), r.stderr.String())
	require.False(t, m.mounted())
	require.NoFileExists(t, m.sock)
	require.False(t, control.Served(m.sock))

	// After a clean stop nothing is mounted by itself.
	r = m.start()
	require.False(t, m.mounted())
	require.Zero(t, r.stop(), r.stderr.String())
}

func TestOneDaemonPerSocketAndDataDir(t *testing.T) {
	m := newMachine(t)
	r := m.start()
	code, stderr := m.execute()
	require.Equal(t, boot.ExitFailed, code)
	require.Contains(t, stderr, "a daemon (pid ")
	code, stderr = m.execute("--socket", m.sock+"2")
	require.Equal(t, boot.ExitFailed, code, stderr)
	require.NoFileExists(t, m.sock+"2")
	_, err := r.client.Ping(context.Background())
	require.NoError(t, err, "the first one is not harmed")
}

func TestStandardPortsGiveWay(t *testing.T) {
	m := newMachine(t)
	m.args = m.args[:4] // the standard ports
	first := m.start()
	n := newMachine(t)
	n.args = n.args[:4]
	second := n.start()
	a, err := first.client.Status(context.Background())
	require.NoError(t, err)
	b, err := second.client.Status(context.Background())
	require.NoError(t, err)
	require.NotEqual(t, a.Host.PeerPort, b.Host.PeerPort)
	require.NotEqual(t, a.Host.UploadPort, b.Host.UploadPort)

	taken := newMachine(t)
	code, stderr := taken.execute("--metrics", "127.0.0.1:"+strconv.Itoa(b.Host.PeerPort))
	require.Equal(t, boot.ExitFailed, code, "a port that was asked for does not")
	require.Contains(t, stderr, "the port is in use")
}

func TestLeavesWhenIdle(t *testing.T) {
	m := newMachine(t)
	r := m.start("--idle-timeout", "300ms")
	<-r.ended
	require.Zero(t, r.stop(), r.stderr.String())
}

func TestLeavesAfterItsLastUmount(t *testing.T) {
	needFUSE(t)
	m := newMachine(t)
	r := m.start("--until-unmount", "--idle-timeout", "300ms")
	ctx := context.Background()
	require.NoError(t, r.client.Mount(ctx, m.mnt, []string{"source=here"}))
	time.Sleep(500 * time.Millisecond) // a mount keeps it from being idle
	stopping, err := r.client.Unmount(ctx, m.mnt, false)
	require.NoError(t, err)
	require.True(t, stopping)
	<-r.ended
	require.Zero(t, r.stop(), r.stderr.String())
}

func TestMountsComeBackAfterAKill(t *testing.T) {
	needFUSE(t)
	m := newMachine(t)
	data := content(3_000_000)
	url, requests := origin(t, data)
	cmd := exec.Command(os.Args[0], append(m.args, "--mount", m.mnt)...)
	cmd.Env = append(os.Environ(), playDaemon+"=1")
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		fusefs.CleanStale(m.mnt)
	})
	ctx := context.Background()
	c := m.ready(ended)
	_, paths, err := c.Add(ctx, url, pieces.Options{}, "")
	require.NoError(t, err)
	got, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	_, err = c.Warm(ctx, control.Ref{Text: url}, control.Whole, nil)
	require.NoError(t, err)
	kept := keptSink{}
	require.NoError(t, c.Download(ctx, url, pieces.Options{}, control.Whole, nil, &kept))
	require.True(t, kept.got, "pieces are written behind their readers: all of them are on disk now")
	before := requests()
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	<-ended
	require.False(t, m.mounted())

	r := m.start()
	require.True(t, m.mounted(), "made again without being asked")
	got, err = os.ReadFile(paths[0])
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	require.LessOrEqual(t, requests(), before+1, "nothing but facts is read again")
	require.Zero(t, r.stop(), r.stderr.String())
}

// keptSink hears of content that is on disk, and copies nothing.
type keptSink struct {
	io.Writer
	got bool
}

func (s *keptSink) Parts() control.Parts { return nil }

func (s *keptSink) CopyFile(context.Context, *os.File, int64, int64) error {
	s.got = true
	return nil
}

// With --restart the supervisor starts another daemon, which serves the mount
// again; stopped cleanly, that one is not followed by a third.
func TestRestart(t *testing.T) {
	needFUSE(t)
	m := newMachine(t)
	config := filepath.Join(m.dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte("supervisor: {beat: 50ms, restart-every: 100ms}\n"), 0o600))
	cmd := exec.Command(os.Args[0], append(m.args, "--mount", m.mnt, "--restart", "--config", config)...)
	cmd.Env = append(os.Environ(), playDaemon+"=1")
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	m.ready(ended)
	first := m.pid()
	require.Equal(t, cmd.Process.Pid, first)
	require.Eventually(t, func() bool { return m.mounted() && supervised(first) }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	<-ended
	require.Eventually(t, m.mounted, 10*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool { return control.Served(m.sock) }, 10*time.Second, 10*time.Millisecond)
	second := m.pid()
	require.NotEqual(t, first, second)
	require.NoError(t, syscall.Kill(second, syscall.SIGTERM))
	require.Eventually(t, func() bool { return !m.mounted() && !control.Served(m.sock) }, 10*time.Second, 10*time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	require.False(t, m.mounted())
	require.False(t, control.Served(m.sock))
}

// supervised reports whether a child of the process looks after its mounts.
func supervised(pid int) bool {
	lists, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			command, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if bytes.Contains(command, []byte("\x00"+superviseCommand+"\x00")) {
				return true
			}
		}
	}
	return false
}

// pid is the process that serves the machine's socket.
func (m *machine) pid() int {
	m.t.Helper()
	var pid int
	require.Eventually(m.t, func() bool {
		conn, err := net.Dial("unix", m.sock)
		if err != nil {
			return false
		}
		defer conn.Close()
		raw, err := conn.(*net.UnixConn).SyscallConn()
		require.NoError(m.t, err)
		require.NoError(m.t, raw.Control(func(fd uintptr) {
			c, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
			require.NoError(m.t, err)
			pid = int(c.Pid)
		}))
		return true
	}, 10*time.Second, 10*time.Millisecond)
	return pid
}

func TestIdleFor(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	require.Equal(t, 10*time.Second, idleFor(now, at(900), at(990)))
	require.Zero(t, idleFor(now, at(900), time.Time{}))
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		change          func(*process)
		advertise, bind string
	}{
		{func(*process) {}, "127.0.0.1", "127.0.0.1"},
		{func(p *process) { p.o.AdvertiseIP = "10.1.2.3" }, "10.1.2.3", ""},
		{func(p *process) { p.o.Managers = []string{"127.0.0.1:65003"} }, "127.0.0.1", ""},
	} {
		p := &process{}
		c.change(p)
		advertise, bind := p.addresses()
		require.Equal(t, c.advertise, advertise)
		require.Equal(t, c.bind, bind)
	}
}

func TestHelp(t *testing.T) {
	var out, errOut bytes.Buffer
	require.Zero(t, boot.Execute(context.Background(), newCommand(), []string{"--help"}, &out, &errOut))
	for _, flag := range strings.Fields("--manager --scheduler --seed-peer --all-in-one --advertise-ip --peer-port --upload-port --data-dir --socket --metrics --mount --manager-grpc --manager-http --scheduler-listen --database --cache-size --upload-rate --download-rate --origin-rate --idle-timeout --idc --location --label --config --version") {
		require.Contains(t, out.String(), flag+" ", flag)
	}
}

func TestAllInOneAndAHostThatJoins(t *testing.T) {
	m := newMachine(t)
	data := content(5_000_000)
	url, _ := origin(t, data)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	one := m.start("--all-in-one", "--manager-grpc", "127.0.0.1:0", "--manager-http", "127.0.0.1:0", "--scheduler-listen", "127.0.0.1:0")
	st, err := one.client.Status(ctx)
	require.NoError(t, err)
	require.Equal(t, pieces.SeedHost, st.Host.Type)
	require.True(t, st.ManagerOK)
	require.Len(t, st.Managers, 1)
	require.Len(t, st.Schedulers, 1)
	p, err := one.client.Warm(ctx, control.Ref{Text: url}, control.Whole, nil)
	require.NoError(t, err)
	require.EqualValues(t, len(data), p.Traffic.Origin)

	j := newMachine(t)
	joined := j.start("--manager", st.Managers[0])
	require.Eventually(t, func() bool {
		st, err := joined.client.Status(ctx)
		return err == nil && len(st.Schedulers) == 1
	}, 20*time.Second, 10*time.Millisecond)
	p, err = joined.client.Warm(ctx, control.Ref{Text: url}, control.Whole, nil)
	require.NoError(t, err)
	require.Zero(t, p.Traffic.Origin)
	require.EqualValues(t, len(data), p.Traffic.Peers+p.Traffic.Seeds)
	require.Zero(t, joined.stop(), joined.stderr.String())
	require.Zero(t, one.stop(), one.stderr.String())
}
