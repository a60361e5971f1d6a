package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// readerProc is a playReader as the test sees it.
type readerProc struct {
	mode string
	cmd  *exec.Cmd
	done chan struct{} // closed when it was waited for and all it said was heard

	mu     sync.Mutex
	tid    int
	oks    int
	errs   map[string]int
	slow   time.Duration // the longest read
	alarms int
	wrong  string
}

// startReader starts one; it is dead at the end of the test.
func (w *world) startReader(mode, path string, f content.File) *readerProc {
	w.Helper()
	r := &readerProc{mode: mode, done: make(chan struct{}), errs: map[string]int{}}
	r.cmd = exec.Command("/proc/self/exe", mode, path, f.Name, strconv.FormatInt(f.Size, 10))
	r.cmd.Env = append(os.Environ(), readerEnv+"=1", "GOMAXPROCS=1")
	r.cmd.Stderr = os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := r.cmd.StdoutPipe()
	w.ok(err)
	w.ok(r.cmd.Start())
	go func() {
		defer close(r.done)
		for in := bufio.NewScanner(out); in.Scan(); {
			r.heard(strings.Fields(in.Text()))
		}
		_ = r.cmd.Wait() // it was killed
	}()
	w.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.done
	})
	return r
}

// heard takes a line.
func (r *readerProc) heard(words []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, _ := strconv.Atoi(words[len(words)-1])
	switch words[0] {
	case "tid":
		r.tid = n
	case "alarms":
		r.alarms = n
	case "ok":
		r.oks++
		r.slow = max(r.slow, time.Duration(n)*time.Millisecond)
	case "err":
		r.errs[words[1]]++
		r.slow = max(r.slow, time.Duration(n)*time.Millisecond)
	default:
		r.wrong = strings.Join(words, " ")
	}
}

func (r *readerProc) count() (oks, errs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.errs {
		errs += n
	}
	return r.oks, errs
}

// slowest is how long its longest read took, of those that ended.
func (r *readerProc) slowest() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.slow
}

// signalled is how many signals it has noticed, in tens.
func (r *readerProc) signalled() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alarms
}

// readers are those of one test, with what /proc says of them.
type readers struct {
	w   *world
	all []*readerProc

	mu      sync.Mutex
	deepest time.Duration // the longest stay in state D
}

// watch looks at the state of every reader until the test ends.
func (w *world) watch(all []*readerProc) *readers {
	rs := &readers{w: w, all: all}
	quit, done := make(chan struct{}), make(chan struct{})
	w.Cleanup(func() { close(quit); <-done })
	go func() {
		defer close(done)
		since := map[*readerProc]time.Time{}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			for _, r := range all {
				rs.look(r, since)
			}
		}
	}()
	return rs
}

// look notes how long r has been in state D, uninterrupted as far as one can
// see: readers pause between reads.
func (rs *readers) look(r *readerProc, since map[*readerProc]time.Time) {
	r.mu.Lock()
	tid := r.tid
	r.mu.Unlock()
	now := time.Now()
	if tid == 0 || threadState(r.cmd.Process.Pid, tid) != 'D' {
		delete(since, r)
		return
	}
	if since[r].IsZero() {
		since[r] = now
	}
	rs.mu.Lock()
	rs.deepest = max(rs.deepest, now.Sub(since[r]))
	rs.mu.Unlock()
}

// threadState is the letter of proc(5), 0 if there is no such thread.
func threadState(pid, tid int) byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
	i := bytes.LastIndexByte(b, ')')
	if err != nil || i < 0 || i+2 >= len(b) {
		return 0
	}
	return b[i+2]
}

// mark is what a reader had counted at some moment.
type mark struct{ oks, errs int }

func (rs *readers) marks() map[*readerProc]mark {
	m := map[*readerProc]mark{}
	for _, r := range rs.all {
		oks, errs := r.count()
		m[r] = mark{oks, errs}
	}
	return m
}

// await waits until each reader of these modes satisfies ok, and returns how
// long that took.
func (rs *readers) await(d time.Duration, what string, modes []string, ok func(r *readerProc) bool) time.Duration {
	rs.w.Helper()
	began := time.Now()
	rs.w.ok(lab.Until(rs.w.ctx, d, what, func() error {
		missing := map[string]int{}
		for _, r := range rs.all {
			if slices.Contains(modes, r.mode) && !ok(r) {
				missing[r.mode]++
			}
		}
		if len(missing) == 0 {
			return nil
		}
		return fmt.Errorf("readers that did not: %v", missing)
	}))
	return time.Since(began)
}

// begun waits until every reader is about to read.
func (rs *readers) begun() {
	rs.w.Helper()
	rs.await(20*time.Second, "readers to begin", []string{buffered, direct, mapped, passthrough}, func(r *readerProc) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.tid != 0
	})
}

// failed waits until the readers got an error each since m was taken.
func (rs *readers) failed(d time.Duration, m map[*readerProc]mark, modes ...string) time.Duration {
	rs.w.Helper()
	return rs.await(d, "an error for every reader", modes, func(r *readerProc) bool {
		_, errs := r.count()
		return errs > m[r].errs
	})
}

// healed waits until all readers have read rightly, n times since m.
func (rs *readers) healed(d time.Duration, m map[*readerProc]mark, n int, modes ...string) time.Duration {
	rs.w.Helper()
	return rs.await(d, "right bytes for every reader", modes, func(r *readerProc) bool {
		oks, _ := r.count()
		return oks >= m[r].oks+n
	})
}

// check fails the test if a byte was wrong, a reader was gone, or one was in
// state D for longer than limit. It returns the errors they got.
func (rs *readers) check(limit time.Duration) map[string]map[string]int {
	rs.w.Helper()
	errs := map[string]map[string]int{}
	for _, r := range rs.all {
		r.mu.Lock()
		require.Empty(rs.w, r.wrong, "%s reader", r.mode)
		require.Zero(rs.w, r.errs["EINTR"], "EINTR for the %s reader", r.mode)
		for name, n := range r.errs {
			if errs[r.mode] == nil {
				errs[r.mode] = map[string]int{}
			}
			errs[r.mode][name] += n
		}
		r.mu.Unlock()
		select {
		case <-r.done:
			rs.w.Errorf("a %s reader ended by itself", r.mode)
		default:
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	require.LessOrEqual(rs.w, rs.deepest, limit, "the longest stay in state D")
	rs.w.Logf("longest stay in state D: %s; errors: %v", rs.deepest.Round(time.Millisecond), errs)
	return errs
}

// kill kills all readers at once and returns how long the last took to go.
func (rs *readers) kill(d time.Duration) time.Duration {
	rs.w.Helper()
	began := time.Now()
	for _, r := range rs.all {
		rs.w.ok(r.cmd.Process.Kill())
	}
	for _, r := range rs.all {
		select {
		case <-r.done:
		case <-time.After(d - time.Since(began)):
			rs.w.Fatalf("a killed %s reader is still there after %s", r.mode, d)
		}
	}
	return time.Since(began)
}

// unmounted waits until the supervisor of a dead daemon has taken its mount
// off.
func (w *world) unmounted(d *lab.Daemon) {
	w.Helper()
	w.ok(lab.Until(w.ctx, 5*time.Second, "the mount to be taken off", func() error {
		if lab.Mounted(d.Mount) {
			return errors.New("still mounted")
		}
		return nil
	}))
}

// configured is alone with a config file.
func (w *world) configured(name, config string, extra ...string) *lab.Daemon {
	w.Helper()
	h := w.host(name)
	path := filepath.Join(h.Dir, "dfdaemon.yaml")
	w.ok(os.WriteFile(path, []byte(config), 0o644))
	d, err := h.StartDaemon(w.ctx, lab.DaemonOptions{Mount: true, Extra: append([]string{"--config", path}, extra...)})
	w.ok(err)
	return d
}
