package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"
	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// full is set for the sizes of the promises, 512 MiB over 8 hosts; without it
// the same faults meet smaller swarms.
var full = os.Getenv("DAMSELFLY_SOAK") != ""

// either returns short, or long in full runs.
func either[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// swarm is one file that several hosts read at once: every other one as a
// program does that reads its mount in order, the rest as dfmount warm does,
// which then check what they got through the mount.
type swarm struct {
	*world
	*lab.Cluster
	f    content.File
	url  string
	path string
	rs   []*reading
}

// reading is one host that reads a whole file.
type reading struct {
	*lab.Daemon
	done chan struct{}
	// After done: how it ended, and its longest read.
	err     error
	longest time.Duration
}

// linkRate of crowds: slow enough for a machine of two cores to keep up with.
var linkRate = either[lab.Rate](50, 100) * lab.Mbit

// crowd starts n hosts, a seed and schedulers.
func (w *world) crowd(schedulers, n int, o lab.ClusterOptions) *lab.Cluster {
	w.Helper()
	o.Schedulers, o.Hosts, o.Rate = schedulers, n, linkRate
	c, err := w.lab.StartCluster(w.ctx, o)
	w.ok(err)
	return c
}

// readAll has hosts of c read a new file.
func (w *world) readAll(c *lab.Cluster, name string, size int64, hosts ...*lab.Daemon) *swarm {
	w.Helper()
	s := &swarm{world: w, Cluster: c}
	s.f, s.url = w.serve(name, size)
	s.path = w.add(c.Hosts[0], s.url)
	for i, d := range hosts {
		s.rs = append(s.rs, s.read(d, i%2 == 1))
	}
	return s
}

func (s *swarm) read(d *lab.Daemon, warm bool) *reading {
	r := &reading{Daemon: d, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		if warm {
			out, err := d.Dfmount(s.ctx, "warm", s.url)
			if r.err = errors.Join(err, out.Err()); r.err != nil {
				return
			}
		}
		r.err = r.all(s.f, d.Path(s.path))
	}()
	return r
}

// all reads and checks every byte of path.
func (r *reading) all(f content.File, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, 128*kiB)
	for off := int64(0); off < f.Size; {
		began := time.Now()
		n, err := file.ReadAt(buf[:min(int64(len(buf)), f.Size-off)], off)
		r.longest = max(r.longest, time.Since(began))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err := f.Check(buf[:n], off); err != nil {
			return err
		}
		if off += int64(n); n == 0 {
			return fmt.Errorf("%s: ends at %d", path, off)
		}
	}
	return nil
}

// info is what the host's mount says of the file.
func (s *swarm) info(d *lab.Daemon) control.TaskInfo {
	s.Helper()
	info, err := d.Task(s.path)
	s.ok(err)
	return info
}

// reach waits until the hosts hold a share of the file each.
func (s *swarm) reach(share float64, rs ...*reading) {
	s.Helper()
	for _, r := range rs {
		s.ok(lab.Until(s.ctx, either[time.Duration](1, 5)*time.Minute, fmt.Sprintf("%s to hold %.0f %%", r.Host.Name, 100*share), func() error {
			// Before its first open the file is not in .df/tasks.
			info, err := r.Task(s.path)
			if err == nil && float64(info.CachedBytes) < share*float64(s.f.Size) {
				err = fmt.Errorf("it holds %d", info.CachedBytes)
			}
			return err
		}))
	}
}

// midway wants the readings to be in progress still.
func (s *swarm) midway(rs ...*reading) {
	s.Helper()
	require.Len(s, s.running(rs...), len(rs), "who still reads: the fault came too late")
}

// running returns those that still read.
func (s *swarm) running(rs ...*reading) (still []*reading) {
	for _, r := range rs {
		select {
		case <-r.done:
		default:
			still = append(still, r)
		}
	}
	return still
}

// finish wants the readings to end with right bytes, no read having taken
// longer than most; it returns the longest.
func (s *swarm) finish(most time.Duration, rs ...*reading) (longest time.Duration) {
	s.Helper()
	for _, r := range rs {
		select {
		case <-r.done:
		case <-s.ctx.Done():
			s.Fatalf("%s still reads: %v", r.Host.Name, s.ctx.Err())
		}
		require.NoError(s, r.err, r.Host.Name)
		longest = max(longest, r.longest)
	}
	bound(s.world, "the longest read", longest, most)
	return longest
}

// key is the file's Version as d knows it.
func (s *swarm) key(d *lab.Daemon) pieces.Key {
	s.Helper()
	info := s.info(d)
	require.NotEmpty(s, info.Version)
	return pieces.Key{Task: info.ID, Version: info.Version}
}

// held returns the bytes of the file that at least one of the hosts holds.
func (s *swarm) held(from *lab.Host, key pieces.Key, hosts ...*lab.Daemon) (sum int64) {
	s.Helper()
	g, err := pieces.GeometryOf(s.f.Size)
	s.ok(err)
	union := &pieces.Set{}
	for _, d := range hosts {
		held, err := d.Held(s.ctx, from, key)
		s.ok(err)
		for e := range held.Extents() {
			union.AddExtent(e)
		}
	}
	for e := range union.Extents() {
		_, n := g.Bytes(e)
		sum += n
	}
	return sum
}

// fromPeers returns what the hosts say they got from hosts of either type.
func (s *swarm) fromPeers(rs ...*reading) (sum int64) {
	s.Helper()
	for _, r := range rs {
		t := s.info(r.Daemon).Traffic
		sum += t.Peers + t.Seeds
	}
	return sum
}

// asked returns the bytes of the file that the origin sent to a host, and to
// all others.
func (s *swarm) asked(h *lab.Host) (byIt, byOthers int64) {
	s.Helper()
	s.ok(s.origin.Settle(s.ctx))
	rs, err := s.origin.Requests(s.f.Name)
	s.ok(err)
	for _, r := range rs {
		if r.Remote == h.IP {
			byIt += r.Sent
		} else {
			byOthers += r.Sent
		}
	}
	return byIt, byOthers
}

// once fails unless the origin sent each byte once, but for 1 %.
func (s *swarm) once() {
	s.Helper()
	s.told(s.Schedulers...)
	s.sentOnce(s.f)
}

// told logs what schedulers had read again though somebody held it, for demand
// reads that nobody answered within 2 s: bounds on what the origin sends have no
// room for it.
func (s *swarm) told(by ...*lab.Scheduler) {
	s.Helper()
	for _, sched := range by {
		if sched.Alive() != nil {
			continue
		}
		if n := int64(s.gauge(sched, "origin_repeat_bytes_total")); n > 0 {
			s.Logf("%s had %.1f MiB read again by the rule for demands that wait", sched.Host.Name, mib(n))
		}
	}
}

// gauge returns a sample of a scheduler.
func (w *world) gauge(s *lab.Scheduler, name string) float64 {
	w.Helper()
	m, err := s.Host.Metrics(w.ctx)
	w.ok(err)
	v, ok := m["damselfly_scheduler_"+name]
	require.True(w, ok, "the scheduler has no sample %s", name)
	return v
}

// dead wants a process to have been ended by a signal.
func dead(t testing.TB, p *lab.Proc) {
	t.Helper()
	select {
	case <-p.Done():
		require.Equal(t, -1, p.ExitCode(), "%s was to be killed", p.Name)
	default:
		t.Fatalf("%s lives", p.Name)
	}
}
