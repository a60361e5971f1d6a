package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/proto/managerpb"

	"github.com/stretchr/testify/require"
)

// preheatSize of a file; full runs have that of the promise, on links that
// nothing slows down.
var (
	preheatSize = either[int64](24*miB, giB)
	preheatRate = either(linkRate, 0)
)

// A file is brought to a seed and eight hosts, before anybody reads it: the
// origin is read exactly once, what each host has can be seen to grow, and each
// says how it ended. Then another one, and the manager that runs the job is
// killed: the other takes it up within 10 s, and the origin is still read once.
func TestPreheatOfEightHosts(t *testing.T) {
	w := newWorld(t, either[time.Duration](3, 15)*time.Minute)
	m := w.managed(1, 8, preheatRate)
	const victim, heir = 0, 1

	f, url := w.serve("warm.bin", preheatSize)
	began := time.Now()
	job := m.preheatBy(victim, url)
	m.watched(heir, job.Id, f, nil)
	t.Logf("%d MiB to 9 hosts in %v; load %s", f.Size/miB, time.Since(began).Round(time.Millisecond), loadAverage())
	m.brought(heir, job, f)

	f, url = w.serve("killed.bin", preheatSize)
	began = time.Now()
	job = m.preheatBy(victim, url)
	var killed time.Time
	m.watched(heir, job.Id, f, func(done int64) {
		if killed.IsZero() && done > 9*f.Size/4 {
			w.ok(m.managers[victim].Kill())
			killed = time.Now()
		}
		if !killed.IsZero() && !m.runs(heir, job.Id) {
			bound(w, "without a manager", time.Since(killed), 10*time.Second)
		}
	})
	dead(t, m.managers[victim].Proc)
	require.False(t, killed.IsZero(), "it was over before a quarter was done")
	require.True(t, m.runs(heir, job.Id))
	t.Logf("with a manager killed after %v: %v; load %s", killed.Sub(began).Round(time.Millisecond), time.Since(began).Round(time.Millisecond), loadAverage())
	m.brought(heir, job, f)
}

// watched follows a job by one manager until it has succeeded. What a host has
// never shrinks, and each host is seen with a part of the file. look is called
// now and then with the bytes of all; may be nil.
func (m *managed) watched(i int, job string, f content.File, look func(done int64)) {
	m.Helper()
	last, partly := map[string]int64{}, map[string]bool{}
	for state := ""; state != "succeeded"; {
		j, err := m.admins[i].GetJob(m.ctx, &managerpb.GetJobRequest{Id: job})
		m.ok(err)
		state = j.State
		require.Contains(m, []string{"running", "succeeded"}, state, j.Error)
		var sum int64
		for _, item := range m.items(i, job) {
			require.GreaterOrEqual(m, item.Done, last[item.HostId], "bytes at %s", item.Hostname)
			last[item.HostId] = item.Done
			if item.Done > 0 && item.Done < f.Size {
				partly[item.HostId] = true
			}
			sum += item.Done
		}
		if look != nil {
			look(sum)
		}
		require.NoError(m, context.Cause(m.ctx))
		time.Sleep(100 * time.Millisecond)
	}
	require.Len(m, partly, 9, "hosts that were seen under way")
}

func (m *managed) items(i int, job string) []*managerpb.JobItem {
	m.Helper()
	r, err := m.admins[i].ListJobItems(m.ctx, &managerpb.ListJobItemsRequest{Job: job})
	m.ok(err)
	return r.Items
}

// brought wants the result of each host, the file on it, and no more read of the
// origin than the file.
func (m *managed) brought(i int, job *managerpb.Job, f content.File) {
	m.Helper()
	require.Equal(m, f.Size, m.sent(f), "origin bytes")
	items := m.items(i, job.Id)
	require.Len(m, items, 9)
	for _, item := range items {
		require.Equal(m, []any{"succeeded", f.Size, f.Size, ""}, []any{item.State, item.Done, item.Total, item.Error}, item.Hostname)
		require.NotEmpty(m, item.Result.GetFields(), "what %s answered", item.Hostname)
	}
	for _, d := range m.hosts {
		m.check(f, d.Path(job.TaskIds[0]))
		st, err := d.Task(job.TaskIds[0])
		m.ok(err)
		require.Equal(m, f.Size, st.CachedBytes, d.Host.Name)
	}
	require.Equal(m, f.Size, m.sent(f), "origin bytes after all was read")
}

// loadAverage of the machine, of the last minute.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(b), " ")
	return load
}
