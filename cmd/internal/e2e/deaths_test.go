package e2e

import (
	"fmt"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

func mib(n int64) float64 { return float64(n) / miB }

// The seed dies, or stops, half-way: the origin is asked again for what it
// alone held, and for nothing else.
func TestSeedDiesHalfWay(t *testing.T) {
	for name, kill := range map[string]bool{"killed": true, "stopped": false} {
		if !kill && !full {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, either[time.Duration](2, 10)*time.Minute)
			c := w.crowd(1, either(4, 8), lab.ClusterOptions{})
			onlooker := w.host("onlooker")
			s := w.readAll(c, "orphans.bin", either[int64](32, 512)*miB, c.Hosts...)
			s.reach(.5, s.rs[0])
			s.midway(s.rs...)
			key := s.key(c.Hosts[0])
			fed := s.fromPeers(s.rs...)
			survive := s.held(onlooker, key, c.Hosts...)
			require.Positive(t, fed, "the hosts got bytes from others")
			if kill {
				w.ok(c.Seed.Kill())
				dead(t, c.Seed.Proc)
			} else {
				w.ok(c.Seed.Stop())
				defer func() { _ = c.Seed.Continue() }()
			}
			longest := s.finish(either[time.Duration](10, 8)*time.Second, s.rs...)
			if !kill {
				w.ok(c.Seed.Continue()) // so that the origin is done with it
			}
			bySeed, byOthers := s.asked(c.Seed.Host)
			F := s.f.Size
			t.Logf("at the death the others held %.1f of %.1f MiB; the origin sent %.1f MiB to the seed, %.1f MiB to others; longest read %v",
				mib(survive), mib(F), mib(bySeed), mib(byOthers), longest)
			require.Less(t, survive, F, "something was missing")
			require.Positive(t, byOthers, "somebody read on in the seed's place")
			// That is: bySeed + byOthers ≤ F + (bySeed − survive) + 1 %.
			s.told(c.Schedulers[0])
			bound(w, "what the origin sent again", byOthers, F-survive+F/100)
			require.Greater(t, s.fromPeers(s.rs...), fed, "the hosts fed each other after it")
		})
	}
}

// Two of eight hosts die and one is cut off while all read: the others finish
// with right bytes, no read of theirs takes 3 s, and nothing is read from the
// origin again. Who was cut off finishes when its packets go out again.
func TestTwoOfEightDieAndOneIsCutOff(t *testing.T) {
	w := newWorld(t, either[time.Duration](2, 10)*time.Minute)
	c := w.crowd(1, 8, lab.ClusterOptions{})
	s := w.readAll(c, "crowd.bin", either[int64](32, 512)*miB, c.Hosts...)
	killed, cut := s.rs[:2], s.rs[2]
	s.reach(.3, s.rs[:3]...)
	for _, r := range s.rs[:3] {
		w.ok(lab.Until(w.ctx, 20*time.Second, r.Host.Name+" to feed others", func() error {
			if up := s.info(r.Daemon).Traffic.Uploaded; up < 256*kiB {
				return fmt.Errorf("it has sent %d bytes", up)
			}
			return nil
		}))
	}
	s.midway(s.rs[:3]...)
	rest := s.running(s.rs[3:]...)
	require.Greater(t, len(rest), 2, "hosts that still read")
	before := w.gauge(c.Schedulers[0], "sessions")
	require.EqualValues(t, 9, before, "all take part")
	w.ok(cut.Host.Blackhole(w.ctx))
	began := time.Now()
	for _, r := range killed {
		w.ok(r.Kill())
		dead(t, r.Proc)
	}
	fed := s.fromPeers(rest...)
	w.ok(lab.Until(w.ctx, 30*time.Second, "the scheduler to miss three hosts", func() error { return missing(w, c, before-3) }))
	missed := time.Since(began)
	longest := s.finish(3*time.Second, s.rs[3:]...)
	t.Logf("the scheduler missed all three after %v; longest read of the others %v", missed, longest)
	bound(w, "the time to miss them", missed, 5*time.Second) // three heartbeats of 1 s, and the time to look
	require.Greater(t, s.fromPeers(rest...), fed)
	for _, r := range killed {
		<-r.done
		require.Error(t, r.err, "a reader through a killed daemon")
	}
	require.Error(t, w.ping(cut.Host, c.Seed.Host), "it was cut off all the time")
	s.once()
	lacks := s.f.Size - s.info(cut.Daemon).CachedBytes
	require.Positive(t, lacks, "it could not finish")

	w.ok(cut.Host.Unblackhole(w.ctx))
	back := time.Now()
	<-cut.done
	if cut.err != nil { // of having nobody to ask
		w.ok(lab.Until(w.ctx, healTime, "right bytes", func() error { return checkFile(s.f, cut.Path(s.path)) }))
	}
	// Until it has found its scheduler again it may read from the origin.
	again, _ := s.asked(cut.Host)
	t.Logf("who was cut off (%v) lacked %.1f MiB; it had them after %v, %.1f MiB of them from the origin", cut.err, mib(lacks), time.Since(back), mib(again))
	bound(w, "what it read from the origin", again, lacks+s.f.Size/100)
}

// ping says whether a packet gets from one host to another and back.
func (w *world) ping(from, to *lab.Host) error {
	conn, err := from.Dial(w.ctx, "tcp", to.IP+":65002")
	if err == nil {
		err = conn.Close()
	}
	return err
}

func missing(w *world, c *lab.Cluster, want float64) error {
	if n := w.gauge(c.Schedulers[0], "sessions"); n != want {
		return fmt.Errorf("it has %.0f sessions, want %.0f", n, want)
	}
	return nil
}
