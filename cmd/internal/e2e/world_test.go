package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

const (
	kiB = 1 << 10
	miB = 1 << 20
	giB = 1 << 30

	// seed of all content.
	seed = 2026
)

// world is one test's lab, with its origin. Methods fail the test.
type world struct {
	*testing.T
	ctx    context.Context
	lab    *lab.Lab
	origin *lab.Origin
	probes int // hosts simulated by parents
}

// raced says that the programs under test have the race detector in them, and so
// need several times the memory.
var raced = os.Getenv("DAMSELFLY_RACE") != ""

// newWorld makes a lab that lasts as long as the test. After limit everything
// in it is killed, so that no reader hangs. A test that passed must leave every
// process able to stop cleanly, and none may have raced, panicked, or been in
// state D for longer than a read may take.
func newWorld(t *testing.T, limit time.Duration) *world {
	t.Helper()
	if os.Getenv("DAMSELFLY_E2E") == "" {
		t.Skip("end-to-end: run with make e2e")
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("%s took longer than %s", t.Name(), limit))
	l, err := lab.New(ctx, lab.Options{Bin: bin, Keep: os.Getenv("DAMSELFLY_KEEP") != ""})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	stopWatchdog := context.AfterFunc(ctx, l.Kill)
	w := &world{T: t, ctx: ctx, lab: l}
	began := time.Now()
	t.Cleanup(func() {
		stopWatchdog()
		w.checkStays(began)
		w.end()
		cancel()
		if err := l.Close(); err != nil {
			t.Errorf("end of the lab: %v", err)
		}
	})
	w.origin, err = l.StartOrigin(ctx)
	require.NoError(t, err)
	return w
}

// end stops what still runs, last started first, and looks through the logs.
func (w *world) end() {
	procs := w.lab.Procs()
	for _, p := range slices.Backward(procs) {
		if !w.Failed() && p.Alive() == nil {
			if err := p.Terminate(15 * time.Second); err != nil {
				w.Error(err)
			}
		}
	}
	files, _ := filepath.Glob(filepath.Join(w.lab.Dir, "logs", "*.log"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			w.Error(err)
		}
		for _, mark := range []string{"WARNING: DATA RACE", "panic:", "fatal error:", " [running]:"} {
			if i := strings.Index(string(b), mark); i >= 0 {
				w.Errorf("%s: %.4000s", filepath.Base(file), b[i:])
			}
		}
	}
	if !w.Failed() {
		return
	}
	for _, file := range files {
		b, _ := os.ReadFile(file)
		w.Logf("end of %s:\n%s", filepath.Base(file), b[max(0, len(b)-4000):])
	}
}

// ok fails the test on an error.
func (w *world) ok(err error) {
	w.Helper()
	require.NoError(w, err)
}

// host adds a host.
func (w *world) host(name string) *lab.Host {
	w.Helper()
	h, err := w.lab.AddHost(w.ctx, name)
	w.ok(err)
	return h
}

// daemon adds a host with a daemon on it.
func (w *world) daemon(name string, o lab.DaemonOptions) *lab.Daemon {
	w.Helper()
	d, err := w.host(name).StartDaemon(w.ctx, o)
	w.ok(err)
	return d
}

// alone adds a host whose daemon has a mount and knows neither manager nor
// scheduler.
func (w *world) alone(name string, extra ...string) *lab.Daemon {
	w.Helper()
	return w.daemon(name, lab.DaemonOptions{Mount: true, Extra: extra})
}

// serve puts a new file on the origin and returns it with its URL.
func (w *world) serve(name string, size int64) (content.File, string) {
	w.Helper()
	f := content.New(seed, name, size)
	url, err := w.origin.Add(f)
	w.ok(err)
	return f, url
}

// add adds a URL on d and returns its path in d's mount.
func (w *world) add(d *lab.Daemon, url string, args ...string) string {
	w.Helper()
	path, err := d.Add(w.ctx, url, args...)
	w.ok(err)
	require.Equal(w, d.Mount, filepath.Dir(path), "the printed path lies in the mount")
	return path
}

// check reads all of path and fails unless it is f.
func (w *world) check(f content.File, path string) {
	w.Helper()
	w.ok(checkFile(f, path))
}

func checkFile(f content.File, path string) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return f.CheckReader(r, 0, f.Size)
}

// sent returns the bytes the origin sent of f.
func (w *world) sent(f content.File) int64 {
	w.Helper()
	n, err := w.origin.Sent(w.ctx, f.Name)
	w.ok(err)
	return n
}

// sentOnce fails unless the origin sent all of f, and at most 1 % more.
func (w *world) sentOnce(f content.File) {
	w.Helper()
	w.sentAtMost(f, f.Size+f.Size/100)
}

// sentAtMost fails unless the origin sent all of f, and at most so many bytes.
func (w *world) sentAtMost(f content.File, most int64) {
	w.Helper()
	n := w.sent(f)
	if n < f.Size || n > most {
		w.logRequests(f)
	}
	require.GreaterOrEqual(w, n, f.Size, "origin bytes of %s", f.Name)
	bound(w, "origin bytes of "+f.Name, n, most)
}

// bound fails the test if got is over most.
func bound[T int64 | float64 | time.Duration](w *world, what string, got, most T) {
	w.Helper()
	if got > most {
		w.Errorf("%s is %v, want at most %v", what, got, most)
	}
}

// logRequests shows who read what of f from the origin.
func (w *world) logRequests(f content.File) {
	w.Helper()
	rs, err := w.origin.Requests(f.Name)
	w.ok(err)
	for _, r := range rs {
		w.Logf("%.3f, after %.3f s: %s %s %d: %d bytes", r.Time, r.Seconds, r.Remote, r.Range, r.Status, r.Sent)
	}
}

// run runs a command on a host and wants exit code 0.
func (w *world) run(h *lab.Host, argv ...string) string {
	w.Helper()
	r, err := h.Run(w.ctx, argv...)
	w.ok(err)
	w.ok(r.Err())
	return r.Stdout
}

// cluster starts a whole installation.
func (w *world) cluster(schedulers, hosts int, rate lab.Rate) *lab.Cluster {
	w.Helper()
	c, err := w.lab.StartCluster(w.ctx, lab.ClusterOptions{Schedulers: schedulers, Hosts: hosts, Rate: rate})
	w.ok(err)
	return c
}
