package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/proto/schedulerpb"

	"github.com/stretchr/testify/require"
)

// A daemon told to stop in the middle of a transfer leaves first: its children
// have other parents before its process ends, and nothing is read again.
func TestLeavingHostHandsItsChildrenOver(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	c := w.crowd(1, 3, lab.ClusterOptions{})
	s := w.readAll(c, "leaving.bin", either[int64](24, 512)*miB, c.Hosts...)
	leaver, rest := s.rs[0], s.rs[1:]
	s.reach(.2, s.rs...)

	child, err := w.simulate(w.ctx, w.host("child"), c.Schedulers[0], 1)
	w.ok(err)
	news := make(chan []string, 1024)
	w.ok(child.open(w.ctx, func(m *schedulerpb.SchedulerMessage) bool {
		if p := m.GetParents(); p != nil {
			news <- addresses(p.Parents)
		}
		return true
	}, func(err error) { t.Errorf("the child's session: %v", err) }))
	defer func() { child.stop() }()
	r, err := child.register(w.ctx, w.task(s.url))
	w.ok(err)
	for parents := addresses(r.Parents); !slices.Contains(parents, leaver.Host.IP); {
		select {
		case parents = <-news:
		case <-time.After(20 * time.Second):
			t.Fatalf("h1 never became a parent; they are %v", parents)
		}
	}
	s.midway(s.rs...)
	w.ok(leaver.Signal(syscall.SIGTERM))
	began := time.Now()
	for parents := []string{leaver.Host.IP}; len(parents) == 0 || slices.Contains(parents, leaver.Host.IP); {
		select {
		case parents = <-news:
			t.Logf("parents after %v: %v", time.Since(began).Round(time.Millisecond), parents)
		case <-leaver.Done():
			t.Fatalf("h1 ended and its child still followed %v", parents)
		}
	}
	select { // a second signal would end it at once
	case <-leaver.Done():
	case <-time.After(15 * time.Second):
		t.Fatal("h1 still runs")
	}
	require.Zero(t, leaver.ExitCode())
	t.Logf("h1 ended after %v", time.Since(began).Round(time.Millisecond))
	<-leaver.done
	require.Error(t, leaver.err, "it was reading")
	t.Logf("longest read of the others %v", s.finish(3*time.Second, rest...))
	s.once()
}

// A stopped host is out of parents within 3 s, and is forgotten with all its
// Peers when its time is over. When it goes on it is a parent again.
func TestSilentHostIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2*time.Minute)
	times := filepath.Join(w.lab.Dir, "scheduler.yaml")
	const ttl = 6 * time.Second
	w.ok(os.WriteFile(times, []byte("times: {peer-ttl: 6s, host-ttl: 6s}\n"), 0o644))
	c := w.crowd(1, 2, lab.ClusterOptions{SchedulerExtra: []string{"--config", times}})
	s := w.readAll(c, "silent.bin", 4*miB, c.Hosts...)
	s.finish(10*time.Second, s.rs...)
	task, sched, from := w.task(s.url), c.Schedulers[0], w.host("asker")
	silent := c.Hosts[0]
	follows := func() bool { return slices.Contains(w.parents(from, sched, task), silent.Host.IP) }
	counts := func() [3]float64 {
		return [3]float64{w.gauge(sched, "hosts"), w.gauge(sched, "sessions"), w.gauge(sched, "members")}
	}
	want := func(what string, most time.Duration, want [3]float64) {
		t.Helper()
		w.ok(lab.Until(w.ctx, most, what, func() error {
			if got := counts(); got != want {
				return fmt.Errorf("hosts, sessions, members: %v", got)
			}
			return nil
		}))
	}
	require.True(t, follows(), "it is a parent")
	want("all to take part", time.Second, [3]float64{3, 3, 3})

	w.ok(silent.Stop())
	stopped := time.Now()
	defer func() { _ = silent.Continue() }()
	for follows() {
		require.Less(t, time.Since(stopped), 10*time.Second, "still a parent")
		time.Sleep(20 * time.Millisecond)
	}
	out := time.Since(stopped)
	bound(w, "the time to be out of parents", out, 4*time.Second) // three heartbeats of 1 s, and the time to ask
	require.Equal(t, [3]float64{3, 2, 3}, counts(), "it is still known")
	want("it to be forgotten", 3*ttl, [3]float64{2, 2, 2})
	gone := time.Since(stopped)
	require.Greater(t, gone, ttl, "not before its time")
	t.Logf("out of parents after %v, forgotten after %v of %v", out, gone, ttl)
	require.NoError(t, silent.Alive())

	w.ok(silent.Continue())
	want("it to be back", 20*time.Second, [3]float64{3, 3, 3})
	require.True(t, follows(), "it is a parent again")
	w.check(s.f, silent.Path(s.path))
	s.once()
}

// A daemon that has been idle for long enough leaves its Tasks and its
// scheduler, then exits 0.
func TestIdleDaemonLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	s, err := w.host("sched").StartScheduler(w.ctx)
	w.ok(err)
	d := w.daemon("h1", lab.DaemonOptions{Schedulers: []string{s.Addr}, Extra: []string{"--idle-timeout", "2s"}})
	f, url := w.serve("idle.bin", 2*miB)
	out := filepath.Join(d.Host.Dir, "out")
	r, err := d.Dfget(w.ctx, url, "-O", out)
	w.ok(err)
	w.ok(r.Err())
	w.check(f, out)
	used := time.Now()
	require.EqualValues(t, 1, w.gauge(s, "members"), "it takes part")
	require.Zero(t, w.calls(s, "LeaveTask")+w.calls(s, "LeaveHost"))
	select {
	case <-d.Done():
	case <-w.ctx.Done():
		t.Fatal("it never left")
	}
	require.Zero(t, d.ExitCode())
	require.Greater(t, time.Since(used), time.Second, "not before it was idle")
	require.EqualValues(t, 1, w.calls(s, "LeaveTask"))
	require.EqualValues(t, 1, w.calls(s, "LeaveHost"))
	require.Zero(t, w.gauge(s, "members"))
	require.Zero(t, w.gauge(s, "hosts"))
}

// calls returns how often a scheduler answered a call without error.
func (w *world) calls(s *lab.Scheduler, method string) (sum float64) {
	w.Helper()
	m, err := s.Host.Metrics(w.ctx)
	w.ok(err)
	for name, v := range m {
		if strings.HasPrefix(name, "damselfly_rpc_handled_total{") && strings.Contains(name, "/"+method+`"`) && strings.Contains(name, `"OK"`) {
			sum += v
		}
	}
	return sum
}
