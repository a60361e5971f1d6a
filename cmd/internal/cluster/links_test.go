package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/proxy"
	"damselfly/daemon"
	"damselfly/pieces"
)

// link is what lies between a host and everybody else: its peer port, its
// piece port, and its way to the scheduler.
type link struct{ peer, upload, scheduler *proxy.Proxy }

func (l *link) all() []*proxy.Proxy { return []*proxy.Proxy{l.peer, l.upload, l.scheduler} }

// linked starts a host behind a link.
func (r *rig) linked(seed uint64, change func(*daemon.Options)) (*Host, *link) {
	r.t.Helper()
	l := &link{}
	h := r.Host(func(o *daemon.Options) {
		var err error
		l.peer, o.PeerListen, err = proxy.Behind(o.PeerListen, seed)
		require.NoError(r.t, err)
		l.upload, o.UploadListen, err = proxy.Behind(o.UploadListen, seed+100)
		require.NoError(r.t, err)
		l.scheduler, err = proxy.New("127.0.0.1:0", r.Schedulers[0].Addr, seed+200)
		require.NoError(r.t, err)
		o.Schedulers = []string{l.scheduler.Addr()}
		if change != nil {
			change(o)
		}
	})
	for _, p := range l.all() {
		r.t.Cleanup(func() { p.Close() })
	}
	return h, l
}

// Links between honest hosts that flip, repeat, cut and delay: everybody gets
// and keeps right bytes, and no read waits for long: where every link to the
// only holder is bad, the 2 s after which the scheduler lends from the origin
// what a live peer holds, and what the tries before and after it take.
func TestBadLinks(t *testing.T) {
	for name, f := range map[string]proxy.Fault{
		"flips":      {Flip: 0.03},
		"duplicates": {Duplicate: 0.03},
		"cuts":       {Cut: 0.05},
		"delays":     {Delay: 40 * time.Millisecond},
		"everything": {Flip: 0.02, Duplicate: 0.02, Cut: 0.02, Delay: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 6<<20+7, 0)
			var hosts []*Host
			var links []*link
			for i := range 3 {
				h, l := r.linked(uint64(i), nil)
				l.peer.Set(f)
				l.upload.Set(f)
				hosts, links = append(hosts, h), append(links, l)
			}
			// The first is a holder for the others, whose links are all bad.
			r.read(hosts[0])
			r.seed.Stop()
			var wg sync.WaitGroup
			for _, h := range hosts[1:] {
				wg.Go(func() {
					worst := r.read(h)
					t.Logf("longest wait of a read: %v", worst)
					if worst > slowed*(patient+time.Second) {
						t.Errorf("a read waited %v", worst)
					}
				})
			}
			wg.Wait()
			for _, h := range hosts {
				r.stored(h)
			}
			var n proxy.Counts
			for _, l := range links {
				for _, p := range l.all() {
					c := p.Counts()
					n.Flipped, n.Duplicated, n.Cut, n.Bytes = n.Flipped+c.Flipped, n.Duplicated+c.Duplicated, n.Cut+c.Cut, n.Bytes+c.Bytes
				}
			}
			require.Equal(t, f.Flip > 0, n.Flipped > 0)
			require.Equal(t, f.Duplicate > 0, n.Duplicated > 0)
			if f.Cut > 0 {
				require.Positive(t, n.Cut)
			}
			require.Greater(t, n.Bytes, int64(1<<20), "the links were used")
		})
	}
}

// A parent that is stopped, cut off or slowed to a byte a second in the middle
// of a transfer is replaced: by the seed, or, where it was the only holder, by
// the origin.
func TestParentGoesMute(t *testing.T) {
	stopped, slow, cut := proxy.Fault{Mute: true}, proxy.Fault{Rate: 1}, proxy.Fault{Cut: 1}
	for _, tc := range []struct {
		name       string
		fault      proxy.Fault
		only, bulk bool
	}{
		{"stopped, others hold it, reading", stopped, false, false},
		{"stopped, others hold it, fetching", stopped, false, true},
		{"stopped, nobody else holds it, reading", stopped, true, false},
		{"stopped, nobody else holds it, fetching", stopped, true, true},
		{"a byte a second, others hold it, reading", slow, false, false},
		{"a byte a second, nobody else holds it, reading", slow, true, false},
		{"cut off, nobody else holds it, fetching", cut, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parentGoesMute(t, tc.fault, tc.only, tc.bulk)
		})
	}
}

func parentGoesMute(t *testing.T, f proxy.Fault, only, bulk bool) {
	const rate = 4 << 20
	r := newRig(t, 6<<20, rate)
	parent, l := r.linked(1, func(o *daemon.Options) { o.UploadRate = rate })
	r.read(parent)
	if only {
		r.seed.Stop()
	}
	child := r.Host(nil)
	got := func() int64 { tr := child.Traffic(); return tr.Peers + tr.Seeds + tr.Origin }
	var gap time.Duration // the longest time without a new byte
	var stop atomic.Bool
	var watching sync.WaitGroup
	watching.Go(func() {
		last, since := int64(0), time.Now()
		fired := false
		for !stop.Load() {
			if n := got(); n != last {
				last, since = n, time.Now()
			} else if fired {
				gap = max(gap, time.Since(since))
			}
			if !fired && last > 1<<20 {
				fired = true
				for _, p := range l.all() {
					p.Set(f)
				}
				if f.Cut > 0 {
					l.upload.Cut()
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
		if !fired {
			t.Error("the fault came too late")
		}
	})
	before := l.upload.Counts().Bytes
	if bulk {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := child.Fetch(ctx, r.o.URL+"/f", pieces.Options{})
		require.NoError(t, err)
	} else if worst := r.read(child); worst > patient {
		t.Errorf("a read waited %v", worst)
	}
	stop.Store(true)
	watching.Wait()
	require.Less(t, gap, patient, "a parent is replaced within 3 s")
	require.Greater(t, l.upload.Counts().Bytes, before, "the parent was in use")
	r.stored(child)
	for _, p := range l.all() {
		p.Set(proxy.Fault{}) // so that the parent can leave
	}
	t.Logf("longest time without a byte: %v", gap)
}

// A crowd of 7 hosts among 3 bad ones, against the same crowd alone. Upload rates, not the CPU, are the limit.
func TestThirtyPercentBad(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	const size, rate = 12 << 20, 3 << 20
	crowd := func(t *testing.T, good int, tricks ...Trick) (took time.Duration) {
		r := newRig(t, size, rate)
		var bad []*Bad
		for _, trick := range tricks {
			bad = append(bad, r.bad(trick, false))
		}
		var hosts []*Host
		for range good {
			hosts = append(hosts, r.Host(func(o *daemon.Options) { o.UploadRate = rate }))
		}
		start := time.Now()
		var wg sync.WaitGroup
		for _, h := range hosts {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if _, err := h.Fetch(ctx, r.o.URL+"/f", pieces.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		took = time.Since(start)
		for _, h := range hosts {
			r.stored(h)
		}
		for _, b := range bad {
			require.NotEmpty(t, b.Answers(), "%s: was never asked", b.trick)
		}
		require.Less(t, r.o.bytes.Load(), int64(size)*3/2, "peers, not the origin, served the crowd")
		return took
	}
	var clean, spoilt time.Duration
	t.Run("clean", func(t *testing.T) { clean = crowd(t, 7) })
	t.Run("spoilt", func(t *testing.T) { spoilt = crowd(t, 7, Flip, Mute, Trickle) })
	ratio := clean.Seconds() / spoilt.Seconds()
	t.Logf("7 good hosts %v, with 3 bad ones %v: %.0f %% of the speed", clean, spoilt, 100*ratio)
	goal := 0.7
	if slowed > 1 {
		goal = 0.5 // hashing is the limit then
	}
	require.Greater(t, ratio, goal)
}
