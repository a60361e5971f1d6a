package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
	"damselfly/proto/managerpb"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// keepAlive of the test; that of managers is 5 s unless they are told otherwise.
const keepAlive = 3 * time.Second

// One of two managers is killed while hosts come and go, files are added and
// found by their names and ids, and a preheat runs: the one that everybody asks
// and that runs the preheat. No read, no dfget and no dfmount add fails, and each
// scheduler and host is with the other within one keep-alive. Then the other is
// killed, too: what is known is opened and read on, dfget goes on, and daemons
// and schedulers that are started then know what the managers said last.
func TestManagersDie(t *testing.T) {
	w := newWorld(t, 3*time.Minute)
	m := w.managed(2, 3, 0, "--keep-alive", keepAlive.String(), "--job-lease", "2s")
	const victim, heir = 0, 1
	comes, err := m.start("h4", 0, lab.DaemonOptions{Mount: true})
	w.ok(err)
	w.ok(m.knows(comes))
	known, knownURL := w.serve("known.bin", 24*miB)
	id := filepath.Base(m.addNamed(m.hosts[0], knownURL, "known"))

	tr := w.beside()
	for _, d := range m.hosts {
		tr.run("read", func(int) error { return readSome(d, known, id, "by-name/known") })
	}
	tr.run("add", func(n int) error { return m.addAndFind(n) })
	tr.run("dfget", func(n int) error { return m.getNew(m.hosts[2], n) })
	w.ok(comes.Terminate(15 * time.Second))
	tr.run("come and go", func(int) error {
		if err := comes.Start(w.ctx); err != nil {
			return err
		}
		if err := readSome(comes, known, id, "by-name/known"); err != nil {
			return err
		}
		return comes.Terminate(15 * time.Second)
	})
	tr.expect("read", "add", "dfget", "come and go")
	tr.more(2)
	warmed, _ := w.serve("warmed.bin", 6*miB)
	job := m.preheatBy(victim, m.origin.URL("slow", warmed.Name))

	calls, nodes := m.asked(victim)
	require.GreaterOrEqual(t, nodes, 6.0, "all keep themselves alive at the one that is killed")
	require.Greater(t, calls, 20.0)
	calls, nodes = m.asked(heir)
	require.Zero(t, calls+nodes, "nobody asks the other")
	before, err := m.seen(heir)
	w.ok(err)
	delete(before, comes.Host.IP)
	killed := time.Now()
	w.ok(m.managers[victim].Kill())
	dead(t, m.managers[victim].Proc)

	m.moved(heir, killed, before)
	w.ok(lab.Until(w.ctx, healTime, "the preheat to end", func() error {
		j, err := m.admins[heir].GetJob(w.ctx, &managerpb.GetJobRequest{Id: job.Id})
		if err == nil && j.State != "succeeded" {
			err = fmt.Errorf("it is %s: %s", j.State, j.Error)
		}
		return err
	}))
	t.Logf("the preheat has ended %v after the kill", time.Since(killed))
	require.True(t, m.runs(heir, job.Id))
	tr.more(2)
	tr.end()
	for _, d := range m.hosts {
		w.check(warmed, d.Path(job.TaskIds[0]))
	}
	w.sentAtMost(warmed, warmed.Size)

	m.withoutManagers(heir, known, id, comes)
}

// moved wants every node of before to be heard of within one keep-alive.
func (m *managed) moved(heir int, killed time.Time, before map[string]time.Time) {
	m.Helper()
	first := map[string]time.Duration{}
	m.ok(lab.Until(m.ctx, healTime, "all nodes at the other manager", func() error {
		now, err := m.seen(heir)
		if err != nil {
			return err
		}
		for name := range before {
			if _, known := first[name]; !known && now[name].After(killed) {
				first[name] = now[name].Sub(killed)
			}
		}
		if missing := len(before) - len(first); missing > 0 {
			return fmt.Errorf("%d are missing", missing)
		}
		return nil
	}))
	m.Logf("heard of again after %v", first)
	for name, d := range first {
		// Who misses one comes after two.
		bound(m.world, name+" at the other manager", d, keepAlive+keepAlive/2)
	}
}

// readSome opens the file at one of its paths in the mount and reads and checks
// 64 KiB of it that the kernel is to ask for.
func readSome(d *lab.Daemon, f content.File, paths ...string) error {
	file, err := os.Open(filepath.Join(d.Mount, paths[rand.IntN(len(paths))]))
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, 64*kiB)
	off := rand.Int64N(f.Size - int64(len(buf)))
	_ = unix.Fadvise(int(file.Fd()), off, int64(len(buf)), unix.FADV_DONTNEED)
	n, err := file.ReadAt(buf, off)
	if err != nil {
		return err
	}
	time.Sleep(50 * time.Millisecond) // others want to run, too
	return f.Check(buf[:n], off)
}

// addNamed adds a URL with a name on d, and returns its path by its id.
func (m *managed) addNamed(d *lab.Daemon, url, name string) (path string) {
	m.Helper()
	path = m.add(d, url)
	_, err := d.Add(m.ctx, url, "--name", name)
	m.ok(err)
	return path
}

// addAndFind adds a file with a name on one host, and finds it by its name on
// another and by its id on a third, which know it from a manager alone.
func (m *managed) addAndFind(n int) error {
	f := content.New(seed, fmt.Sprintf("added-%d.bin", n), 100*kiB)
	url, err := m.origin.Add(f)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("added-%d", n)
	if _, err := m.hosts[n%3].Add(m.ctx, url, "--name", name); err != nil {
		return err
	}
	task, err := pieces.NewTask(url, pieces.Options{}, nil)
	if err != nil {
		return err
	}
	byName := m.hosts[(n+1)%3]
	if err := checkFile(f, filepath.Join(byName.Mount, "by-name", name)); err != nil {
		return fmt.Errorf("by its name on %s: %w", byName.Host.Name, err)
	}
	byID := m.hosts[(n+2)%3]
	if err := checkFile(f, byID.Path(string(task.ID))); err != nil {
		return fmt.Errorf("by its id on %s: %w", byID.Host.Name, err)
	}
	return nil
}

// getNew has dfget bring a URL that nobody knows.
func (m *managed) getNew(d *lab.Daemon, n int) error {
	f := content.New(seed, fmt.Sprintf("got-%d.bin", n), 300*kiB)
	url, err := m.origin.Add(f)
	if err != nil {
		return err
	}
	time.Sleep(50 * time.Millisecond) // others want to run, too
	out := filepath.Join(d.Host.Dir, "got.bin")
	r, err := d.Dfget(m.ctx, url, "-O", out)
	if err = errors.Join(err, r.Err()); err != nil {
		return err
	}
	return errors.Join(checkFile(f, out), os.Remove(out))
}

// withoutManagers kills the last manager, which runs again in the end. comes is a
// daemon that does not run.
func (m *managed) withoutManagers(last int, known content.File, id string, comes *lab.Daemon) {
	m.Helper()
	unread, unreadURL := m.serve("unread.bin", 5*miB)
	unreadPath := m.addNamed(m.hosts[0], unreadURL, "unread")
	tr := m.beside()
	for _, d := range m.hosts {
		tr.run("read", func(int) error { return readSome(d, known, id, "by-name/known") })
	}
	tr.run("dfget", func(n int) error { return m.getNew(m.hosts[2], 1000+n) })
	tr.expect("read", "dfget")
	tr.more(1)
	m.ok(m.managers[last].Kill())
	dead(m, m.managers[last].Proc)

	// A daemon and a scheduler start with what the managers said last.
	m.ok(comes.Start(m.ctx))
	m.ok(m.knows(comes))
	restarted := m.schedulers[0]
	m.ok(restarted.Kill())
	m.ok(restarted.Start(m.ctx))
	m.schedules(restarted, comes)
	m.ok(readSome(comes, known, id))
	m.check(unread, unreadPath)
	m.run(m.hosts[0].Host, "env", "DAMSELFLY_SOCKET="+m.hosts[0].Socket, filepath.Join(bin, "dfmount"), "rename", "unread", "read")
	for _, d := range append([]*lab.Daemon{comes}, m.hosts...) {
		s, err := d.Status(m.ctx)
		m.ok(err)
		require.False(m, s.ManagerOK, "%s finds no manager", d.Host.Name)
	}
	tr.more(2)

	// What was done meanwhile reaches the manager that comes back.
	m.ok(m.managers[last].Start(m.ctx))
	names := filepath.Join(comes.Mount, "by-name")
	m.ok(lab.Until(m.ctx, healTime, "the new name elsewhere", func() error { return checkFile(unread, filepath.Join(names, "read")) }))
	_, err := os.Stat(filepath.Join(names, "unread"))
	require.ErrorIs(m, err, os.ErrNotExist, "the old name elsewhere")
	tr.end()
}

// schedules wants new files to come to a scheduler, of which d knows no other
// way than from its last list.
func (m *managed) schedules(s *lab.Scheduler, d *lab.Daemon) {
	m.Helper()
	m.finds(d, s)
	// One in two files hashes to it.
	for n := 0; m.calls(s, "RegisterPeerTask") == 0; n++ {
		require.Less(m, n, 20, "files that did not come to %s", s.Host.Name)
		m.ok(m.getNew(d, 2000+n))
	}
}
