package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/proto/commonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

const (
	// limit of the whole test; it takes a quarter of it on an idle machine.
	limit = 3 * time.Minute
	// patience with one thing that must happen.
	patience = 40 * time.Second
	miB      = 1 << 20
)

// world is a cluster on the loopback: a manager, a scheduler, a seed and some
// hosts without mounts, and a web server to read from.
type world struct {
	*testing.T
	ctx context.Context
	dir string
	// URLs of the console and of the web server.
	url, origin        string
	manager, scheduler string
	password           string
	// release lets "/slow" be read.
	release chan struct{}
}

func newWorld(t *testing.T) *world {
	if os.Getenv("DAMSELFLY_E2E") == "" {
		t.Skip("end-to-end: run with make e2e")
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	w := &world{T: t, ctx: ctx, dir: t.TempDir()}
	w.origin = w.serve()
	ports := w.ports(3)
	w.manager, w.url, w.scheduler = "127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1], "127.0.0.1:"+ports[2]
	out := w.start("manager", nil, "dfmanager", "--grpc", w.manager, "--http", "127.0.0.1:"+ports[1], "--database", "sqlite:"+filepath.Join(w.dir, "manager.db"))
	w.until("the manager serves", func() bool { return healthy(w.url + "/healthz") })
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	m := regexp.MustCompile(`password\s+(\S+)`).FindSubmatch(b)
	require.NotNil(t, m, "the first start shows a password: %s", b)
	w.password = string(m[1])
	w.start("scheduler", nil, "dfscheduler", "--listen", w.scheduler, "--advertise", w.scheduler, "--manager", w.manager, "--metrics", "127.0.0.1:0")
	w.until("the scheduler serves", func() bool { _, err := w.totals(); return err == nil })
	return w
}

// ports answers n free ports of the loopback.
func (w *world) ports(n int) (ports []string) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w, err)
		defer l.Close()
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports
}

// host starts a daemon on a machine of that name.
func (w *world) host(name string, args ...string) { w.hostCalled(name, name, args...) }

// called gives the machine a name of its own, whatever stands in it.
const called = "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"

// hostCalled is host with a name that can't be a file's.
func (w *world) hostCalled(name, hostname string, args ...string) {
	w.start(name, []string{"unshare", "--uts", "python3", "-c", called, hostname}, "dfdaemon",
		append([]string{"--manager", w.manager, "--advertise-ip", "127.0.0.1", "--peer-port", "0", "--upload-port", "0",
			"--metrics", "127.0.0.1:0", "--data-dir", filepath.Join(w.dir, name), "--socket", filepath.Join(w.dir, name+".sock")}, args...)...)
}

// start runs a program until the test ends and returns the file with its
// standard output. It dies with this process.
func (w *world) start(name string, before []string, program string, args ...string) (out string) {
	argv := append(append(before, filepath.Join(bin, program)), args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	home := filepath.Join(w.dir, "home")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_STATE_HOME=" + home, "XDG_RUNTIME_DIR=" + w.dir, "TMPDIR=" + w.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := os.Create(filepath.Join(w.dir, name+".out"))
	require.NoError(w, err)
	defer stdout.Close()
	log, err := os.Create(filepath.Join(w.dir, name+".log"))
	require.NoError(w, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = stdout, log
	require.NoError(w, cmd.Start(), "%v", argv)
	w.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait() // its log says how it ended
		kill.Stop()
		b, _ := os.ReadFile(log.Name())
		for _, mark := range []string{"panic:", "fatal error:", "WARNING: DATA RACE"} {
			if i := strings.Index(string(b), mark); i >= 0 {
				w.Errorf("%s: %.2000s", name, b[i:])
			}
		}
		if w.Failed() {
			w.Logf("end of %s:\n%s", name, b[max(0, len(b)-2000):])
		}
	})
	return stdout.Name()
}

// serve starts the origin: every path is a file, of 64 MiB; "/small" is of 1,
// and so is "/slow", which waits for release. "/page" links to the console.
func (w *world) serve() string {
	w.release = make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		size := int64(64 * miB)
		if r.URL.Path == "/page" {
			fmt.Fprintf(rw, `<!doctype html><a href="%s/hosts?seeds=1">a link</a>`, w.url)
			return
		}
		if r.URL.Path == "/small" {
			size = miB
		}
		if r.URL.Path == "/slow" {
			size = miB
			select {
			case <-w.release:
			case <-r.Context().Done():
			case <-w.ctx.Done():
			}
		}
		f := content.New(1, r.URL.Path, size)
		rw.Header().Set("ETag", `"1"`)
		http.ServeContent(rw, r, "", time.Unix(1_700_000_000, 0), f.Reader())
	}))
	w.Cleanup(s.Close)
	return s.URL
}

func healthy(url string) bool {
	r, err := http.Get(url)
	if err != nil {
		return false
	}
	defer r.Body.Close()
	return r.StatusCode == http.StatusOK
}

// until waits for something outside the browser.
func (w *world) until(what string, ok func() bool) {
	w.Helper()
	late := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(late) {
			w.Fatalf("waited for %s for %v", what, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// totals asks the scheduler itself.
func (w *world) totals() (*commonpb.SchedulerTotals, error) {
	conn, err := rpc.Dial(w.scheduler, rpc.DialOptions{})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return schedulerpb.NewCensusClient(conn).GetTotals(w.ctx, &schedulerpb.GetTotalsRequest{})
}
