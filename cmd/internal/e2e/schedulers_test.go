package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"

	"github.com/stretchr/testify/require"
)

// progress follows what hosts get, by source, until it is told to stop.
type progress struct {
	s       *swarm
	rs      []*reading
	stop    context.CancelFunc
	running sync.WaitGroup

	// After end, by host: what it had at first, how long it was without new
	// bytes from others at most while it lacked some, and until the first.
	before  []control.Traffic
	longest []time.Duration
	first   []time.Duration
}

// follow starts now.
func (s *swarm) follow(rs []*reading) *progress {
	s.Helper()
	p := &progress{s: s, rs: rs, longest: make([]time.Duration, len(rs)), first: make([]time.Duration, len(rs))}
	for _, r := range rs {
		p.before = append(p.before, s.info(r.Daemon).Traffic)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(s.ctx)
	began := time.Now()
	for i, r := range rs {
		p.running.Go(func() {
			had, at := p.before[i].Peers+p.before[i].Seeds, began
			for ctx.Err() == nil {
				info, err := r.Task(s.path)
				if err != nil || info.CachedBytes == s.f.Size {
					return
				}
				now := time.Now()
				p.longest[i] = max(p.longest[i], now.Sub(at))
				if has := info.Traffic.Peers + info.Traffic.Seeds; has > had {
					had, at = has, now
					if p.first[i] == 0 {
						p.first[i] = now.Sub(began)
					}
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	return p
}

// end returns what the hosts got since follow, in all.
func (p *progress) end() (sum control.Traffic) {
	p.stop()
	p.running.Wait()
	for i, r := range p.rs {
		t := p.s.info(r.Daemon).Traffic
		sum.Peers += t.Peers - p.before[i].Peers
		sum.Seeds += t.Seeds - p.before[i].Seeds
		sum.Origin += t.Origin - p.before[i].Origin
	}
	return sum
}

// owner returns the scheduler that has the swarm of the one Task there is, and
// the other one.
func (w *world) owner(c *lab.Cluster) (owner, other *lab.Scheduler) {
	w.Helper()
	a, b := c.Schedulers[0], c.Schedulers[1]
	x, y := w.gauge(a, "members"), w.gauge(b, "members")
	if y > x {
		a, b, x, y = b, a, y, x
	}
	bound(w, "hosts of one swarm at another scheduler", y, 0)
	require.Greater(w, x, y, "hosts at the owner")
	return a, b
}

// The scheduler of a running transfer of eight hosts is killed, or stopped, on a
// cold start whose origin is no faster than any other link. Everybody finishes
// with right bytes, nearly all of them from others, and the origin is hardly
// read twice. A scheduler that is back is used again.
func TestSchedulerDiesUnderATransfer(t *testing.T) {
	for _, how := range []string{"killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			w := newWorld(t, either[time.Duration](3, 15)*time.Minute)
			c := w.crowd(2, 8, lab.ClusterOptions{})
			w.ok(w.origin.Host.Shape(w.ctx, linkRate, linkRate))
			s := w.readAll(c, "headless.bin", either[int64](48, 512)*miB, c.Hosts...)
			s.reach(.25, s.rs[:2]...)
			owner, other := w.owner(c)
			require.Greater(t, len(s.running(s.rs...)), 4, "hosts that still read")

			if how == "killed" {
				w.ok(owner.Kill())
				dead(t, owner.Proc)
			} else {
				w.ok(owner.Stop())
				defer func() { _ = owner.Continue() }()
			}
			died := time.Now()
			p := s.follow(s.rs)
			w.ok(lab.Until(w.ctx, 30*time.Second, "the swarm at the other scheduler", func() error {
				if n := w.gauge(other, "members"); n < 9 {
					return fmt.Errorf("%.0f of 9 hosts are there", n)
				}
				return nil
			}))
			t.Logf("all hosts were at the other scheduler after %v", time.Since(died))
			require.NotEmpty(t, s.running(s.rs...), "who still reads")
			longest := s.finish(10*time.Second, s.rs...)
			got := p.end()
			sent := w.sent(s.f)
			t.Logf("first bytes from others after %v; without any for %v at most; longest read %v", p.first, p.longest, longest)
			t.Logf("afterwards: %.1f MiB from hosts, %.1f from the seed, %.1f from the origin, which sent %.3f × the file",
				mib(got.Peers), mib(got.Seeds), mib(got.Origin), float64(sent)/float64(s.f.Size))
			for i, r := range s.rs {
				bound(w, r.Host.Name+" without bytes from others", p.longest[i], 5*time.Second)
			}
			share := float64(got.Peers+got.Seeds) / float64(got.Peers+got.Seeds+got.Origin)
			bound(w, "the share of what was lacking that came from the origin", 1-share, .05)
			s.told(other)
			s.sentAtMost(s.f, s.f.Size+s.f.Size/20)

			if how == "killed" {
				w.ok(owner.Start(w.ctx))
			} else {
				w.ok(owner.Continue())
			}
			w.usedAgain(c, owner)
		})
	}
}

// finds wants d to be connected to a scheduler.
func (w *world) finds(d *lab.Daemon, s *lab.Scheduler) {
	w.Helper()
	w.ok(lab.Until(w.ctx, 2*healTime, d.Host.Name+" to find "+s.Host.Name, func() error {
		st, err := d.Status(w.ctx)
		if err != nil {
			return err
		}
		for _, known := range st.Schedulers {
			if known.Address == s.Addr && known.Connected {
				return nil
			}
		}
		return fmt.Errorf("it sees %v", st.Schedulers)
	}))
}

// usedAgain wants all hosts to find a scheduler that was away, new files to come
// to it, and the origin to be read once for those.
func (w *world) usedAgain(c *lab.Cluster, s *lab.Scheduler) {
	w.Helper()
	began := time.Now()
	for _, d := range c.Daemons() {
		w.finds(d, s)
	}
	found := time.Since(began)
	before := w.calls(s, "RegisterPeerTask")
	// One in two files hashes to it.
	for n := 0; w.calls(s, "RegisterPeerTask") == before; n++ {
		require.Less(w, n, 20, "files that did not come to %s", s.Host.Name)
		f, url := w.serve(fmt.Sprintf("again-%s-%d.bin", s.Host.Name, n), 600*kiB)
		path := w.add(c.Hosts[0], url)
		for _, d := range c.Hosts[:2] {
			w.check(f, d.Path(path))
		}
		w.sentOnce(f)
	}
	w.Logf("%s was found again by all after %v", s.Host.Name, found)
}

// All schedulers die under a transfer: it finishes, from those who are known and
// from the origin. When they are back they are used again.
func TestAllSchedulersDieUnderATransfer(t *testing.T) {
	w := newWorld(t, either[time.Duration](2, 15)*time.Minute)
	c := w.crowd(2, either(4, 8), lab.ClusterOptions{})
	s := w.readAll(c, "leaderless.bin", either[int64](32, 512)*miB, c.Hosts...)
	s.reach(.25, s.rs[:2]...)
	s.midway(s.rs[:2]...)
	w.ok(c.Schedulers[0].Kill())
	w.ok(c.Schedulers[1].Kill())
	p := s.follow(s.rs)
	longest := s.finish(15*time.Second, s.rs...)
	got := p.end()
	t.Logf("longest read %v; afterwards: %.1f MiB from hosts, %.1f from the seed, %.1f from the origin, which sent %.3f × the file",
		longest, mib(got.Peers), mib(got.Seeds), mib(got.Origin), float64(w.sent(s.f))/float64(s.f.Size))
	dead(t, c.Schedulers[0].Proc)
	dead(t, c.Schedulers[1].Proc)
	require.Positive(t, got.Peers+got.Seeds, "those who were known went on feeding each other")
	for _, sched := range c.Schedulers {
		w.ok(sched.Start(w.ctx))
	}
	for _, sched := range c.Schedulers {
		w.usedAgain(c, sched)
	}
}
