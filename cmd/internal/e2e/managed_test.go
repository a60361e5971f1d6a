package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/manager/store/pgtest"
	"damselfly/proto/managerpb"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// managed is an installation with two managers on one PostgreSQL. Everybody
// knows both and asks the first.
type managed struct {
	*world
	managers   [2]*lab.Manager
	admins     [2]managerpb.AdminClient
	schedulers []*lab.Scheduler
	seed       *lab.Daemon
	hosts      []*lab.Daemon
}

// resident labels the hosts that an installation begins with: a preheat is for them,
// since it fails on a host that stops in each of its attempts.
var resident = []string{"--label", "resident=yes"}

// managed starts one of so many schedulers and hosts, besides a seed; managers
// have further arguments. Links of seed and hosts have rate; 0 = unshaped.
func (w *world) managed(schedulers, hosts int, rate lab.Rate, args ...string) *managed {
	w.Helper()
	m := &managed{world: w, hosts: make([]*lab.Daemon, hosts)}
	database := pgtest.New(w.T)
	for i := range m.managers {
		var err error
		m.managers[i], err = w.host(fmt.Sprintf("manager%d", i+1)).StartManager(w.ctx,
			append([]string{"--database", database, "--insecure-local-admin"}, args...)...)
		w.ok(err)
		admin, conn, err := m.managers[i].Admin()
		w.ok(err)
		w.Cleanup(func() { _ = conn.Close() })
		m.admins[i] = admin
	}
	for i := range schedulers {
		h := w.host(fmt.Sprintf("sched%d", i+1))
		s, err := h.StartScheduler(w.ctx, "--manager", m.addrs(), "--state-file", filepath.Join(h.Dir, "state.json"))
		w.ok(err)
		m.schedulers = append(m.schedulers, s)
	}
	// Daemons ask for the list when they start, and then only now and then.
	w.ok(lab.Until(w.ctx, healTime, "the schedulers to be listed", func() error {
		r, err := m.admins[0].ListSchedulerNodes(w.ctx, &managerpb.ListSchedulerNodesRequest{})
		if err == nil && len(r.Schedulers) != schedulers {
			err = fmt.Errorf("%d are", len(r.Schedulers))
		}
		return err
	}))
	var starting errgroup.Group
	starting.Go(func() (err error) {
		m.seed, err = m.start("seed", rate, lab.DaemonOptions{Seed: true, Extra: resident})
		return err
	})
	for i := range hosts {
		starting.Go(func() (err error) {
			m.hosts[i], err = m.start(fmt.Sprintf("h%d", i+1), rate, lab.DaemonOptions{Mount: true, Extra: resident})
			return err
		})
	}
	w.ok(starting.Wait())
	for _, d := range append([]*lab.Daemon{m.seed}, m.hosts...) {
		w.ok(m.knows(d))
	}
	return m
}

func (m *managed) addrs() string { return m.managers[0].Addr + "," + m.managers[1].Addr }

// start adds a host with a daemon.
func (m *managed) start(name string, rate lab.Rate, o lab.DaemonOptions) (*lab.Daemon, error) {
	h, err := m.lab.AddHost(m.ctx, name)
	if err != nil {
		return nil, err
	}
	if err := h.Shape(m.ctx, rate, rate); err != nil {
		return nil, err
	}
	o.Managers = []string{m.managers[0].Addr, m.managers[1].Addr}
	return h.StartDaemon(m.ctx, o)
}

// knows waits until a daemon has all schedulers.
func (m *managed) knows(d *lab.Daemon) error {
	return lab.Until(m.ctx, healTime, d.Host.Name+" to know the schedulers", func() error {
		s, err := d.Status(m.ctx)
		if err == nil && len(s.Schedulers) != len(m.schedulers) {
			err = fmt.Errorf("it knows %v", s.Schedulers)
		}
		return err
	})
}

// asked answers how many calls of schedulers and daemons a manager answered, and
// how many of them keep themselves alive there.
func (m *managed) asked(i int) (calls, nodes float64) {
	m.Helper()
	samples, err := m.managers[i].Metrics(m.ctx)
	m.ok(err)
	for name, v := range samples {
		if strings.HasPrefix(name, "damselfly_rpc_handled_total{") && strings.Contains(name, "manager.v1.Manager/") {
			calls += v
		}
	}
	return calls, samples["damselfly_manager_nodes"]
}

// runs reports whether a manager has taken up a job, as its log says.
func (m *managed) runs(i int, job string) bool {
	m.Helper()
	b, err := os.ReadFile(m.managers[i].LogFile)
	m.ok(err)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "job taken up") && strings.Contains(line, job) {
			return true
		}
	}
	return false
}

// seen answers when each scheduler and host was heard of last.
func (m *managed) seen(i int) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	schedulers, err := m.admins[i].ListSchedulerNodes(m.ctx, &managerpb.ListSchedulerNodesRequest{})
	if err != nil {
		return nil, err
	}
	for _, s := range schedulers.Schedulers {
		all[s.Address] = s.Seen.AsTime()
	}
	hosts, err := m.admins[i].ListHosts(m.ctx, &managerpb.ListHostsRequest{})
	for _, h := range hosts.GetHosts() {
		all[h.Ip] = h.Seen.AsTime()
	}
	return all, err
}

// preheatBy starts a preheat of a URL to all hosts that this manager runs, and
// waits until hosts have begun.
func (m *managed) preheatBy(i int, url string) *managerpb.Job {
	m.Helper()
	for range 10 {
		j, err := m.admins[i].StartJob(m.ctx, &managerpb.StartJobRequest{Kind: "preheat", Urls: []string{url}, Target: &managerpb.Target{Kind: "labels", Labels: map[string]string{"resident": "yes"}}})
		m.ok(err)
		m.ok(lab.Until(m.ctx, healTime, "the preheat to begin", func() error {
			j, err = m.admins[i].GetJob(m.ctx, &managerpb.GetJobRequest{Id: j.Id})
			if err == nil && j.Done == 0 {
				err = fmt.Errorf("it is %s", j.State)
			}
			return err
		}))
		if m.runs(i, j.Id) {
			require.Equal(m, "running", j.State, "while it is looked at")
			return j
		}
		// The other looked for work just when it came.
		_, err = m.admins[i].CancelJob(m.ctx, &managerpb.CancelJobRequest{Id: j.Id})
		m.ok(err)
	}
	m.Fatal("the manager that is asked never runs a preheat")
	return nil
}

// traffic is what goes on beside a fault. Nothing of it may fail.
type traffic struct {
	*world
	stopped atomic.Bool
	running sync.WaitGroup

	mu     sync.Mutex
	errs   []error
	counts map[string]int
}

// beside has nothing to do yet. It has come to its end when the lab ends, of a
// test that failed, too.
func (w *world) beside() *traffic {
	t := &traffic{world: w, counts: map[string]int{}}
	w.Cleanup(func() {
		t.stopped.Store(true)
		t.running.Wait()
	})
	return t
}

// run does something again and again, until it fails or all are stopped.
func (t *traffic) run(name string, once func(n int) error) {
	t.running.Go(func() {
		for n := 0; !t.stopped.Load(); n++ {
			err := once(n)
			t.mu.Lock()
			if err != nil {
				t.errs = append(t.errs, fmt.Errorf("%s, %d: %w", name, n, err))
			} else {
				t.counts[name]++
			}
			t.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
}

func (t *traffic) err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.errs...)
}

// more waits until everything was done n more times without an error.
func (t *traffic) more(n int) {
	t.Helper()
	t.mu.Lock()
	want := map[string]int{}
	for name, had := range t.counts {
		want[name] = had + n
	}
	t.mu.Unlock()
	t.ok(lab.Until(t.ctx, 2*healTime, "more of everything", func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		for name, least := range want {
			if len(t.errs) == 0 && t.counts[name] < least {
				return fmt.Errorf("%s: %d, want %d", name, t.counts[name], least)
			}
		}
		return nil
	}))
	t.ok(t.err())
}

// expect makes more wait for a name that has done nothing yet, too.
func (t *traffic) expect(names ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		t.counts[name] += 0
	}
}

// end lets what is under way come to its end, and fails if anything failed.
func (t *traffic) end() {
	t.Helper()
	t.stopped.Store(true)
	t.running.Wait()
	t.ok(t.err())
	require.NotEmpty(t, t.counts)
	t.Logf("done without an error: %v", t.counts)
}
