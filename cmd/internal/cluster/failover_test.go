package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/proxy"
	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/pieces/ring"
	"damselfly/scheduler"
)

// failing is a ring of schedulers that can be killed, stopped and started
// again: each stands behind a proxy, at whose address everybody knows it.
type failing struct {
	*Cluster
	o      *origin
	change func(*scheduler.Options)
	nodes  map[string]*failingNode
	addrs  []string
}

type failingNode struct {
	*Node
	proxy *proxy.Proxy
	inner string // its address behind the proxy
}

func newFailing(t *testing.T, schedulers, size int, change func(*scheduler.Options)) *failing {
	f := &failing{Cluster: &Cluster{t: t}, o: newOrigin(t, size), change: change, nodes: map[string]*failingNode{}}
	for i := range schedulers {
		l := listen(t)
		n := &failingNode{inner: l.Addr().String()}
		var err error
		n.proxy, err = proxy.New("127.0.0.1:0", n.inner, uint64(i))
		require.NoError(t, err)
		require.NoError(t, l.Close())
		t.Cleanup(func() { n.proxy.Close() })
		f.addrs = append(f.addrs, n.proxy.Addr())
		f.nodes[n.proxy.Addr()] = n
	}
	for _, addr := range f.addrs {
		f.start(addr)
	}
	for _, addr := range f.addrs {
		f.Schedulers = append(f.Schedulers, &Node{Addr: addr})
	}
	return f
}

// start runs the scheduler of an address, which knows nothing yet.
func (f *failing) start(addr string) {
	n := f.nodes[addr]
	var l net.Listener
	require.Eventually(f.t, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", n.inner)
		return err == nil
	}, 5*time.Second, 10*time.Millisecond)
	n.Node = f.scheduler(l, addr, f.addrs, f.change)
}

// kill ends it as kill -9 does: connections break at once, new ones too.
func (f *failing) kill(addr string) {
	n := f.nodes[addr]
	n.proxy.Set(proxy.Fault{Cut: 1})
	n.proxy.Cut()
	n.Stop()
	n.proxy.Set(proxy.Fault{})
}

// ringOf returns the schedulers of a URL, its owner first.
func (f *failing) ringOf(url string) (addrs []string) {
	spec, err := pieces.NewTask(url, pieces.Options{}, nil)
	require.NoError(f.t, err)
	for addr := range ring.New(f.addrs).Walk(string(spec.ID)) {
		addrs = append(addrs, addr)
	}
	return addrs
}

// failovers counts what was taken to another scheduler since theirs was lost.
func failovers(t *testing.T, r *prometheus.Registry) (n int) {
	all, err := r.Gather()
	require.NoError(t, err)
	for _, m := range all {
		if m.GetName() == "damselfly_daemon_scheduler_failovers_total" {
			n += int(m.Metric[0].Counter.GetValue())
		}
	}
	return n
}

// up waits until each host has an answer of every scheduler.
func (f *failing) up(hosts ...*Host) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		n := 0
		for _, h := range hosts {
			s, err := h.Control().Status(context.Background())
			require.NoError(f.t, err)
			for _, x := range s.Schedulers {
				if x.Connected {
					n++
				}
			}
		}
		return n == len(hosts)*len(f.addrs)
	}, 20*time.Second, 5*time.Millisecond)
}

// got is what h has of the content so far.
func got(h *Host) int64 { tr := h.Traffic(); return tr.Peers + tr.Seeds + tr.Origin }

// The scheduler of a running transfer is killed, or stopped: the next on the
// ring takes over; bytes flow on, and the origin is read once.
func TestSchedulerFailsUnderATransfer(t *testing.T) {
	for name, fail := range map[string]func(*failing, string){
		"killed":  (*failing).kill,
		"stopped": func(f *failing, addr string) { f.nodes[addr].proxy.Set(proxy.Fault{Mute: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const size, rate = 24 << 20, 3 << 20
			f := newFailing(t, 2, size, nil)
			url := f.o.URL + "/f"
			f.Host(func(o *daemon.Options) { o.Seed, o.UploadRate, o.OriginRate = true, rate, rate })
			var hosts []*Host
			var registries []*prometheus.Registry
			for range 4 {
				reg := prometheus.NewRegistry()
				registries = append(registries, reg)
				hosts = append(hosts, f.Host(func(o *daemon.Options) { o.UploadRate, o.Registry = rate, reg }))
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var fetching sync.WaitGroup
			for _, h := range hosts {
				fetching.Go(func() {
					if _, err := h.Fetch(ctx, url, pieces.Options{}); err != nil {
						t.Errorf("fetch: %v", err)
					}
				})
			}
			total := func() (n int64) {
				for _, h := range hosts {
					n += got(h)
				}
				return n
			}
			require.Eventually(t, func() bool { return total() > size }, 30*time.Second, 5*time.Millisecond)
			owner := f.ringOf(url)[0]
			fail(f, owner)
			failed, after := time.Now(), total()
			done := make(chan struct{})
			go func() { fetching.Wait(); close(done) }()
			// The longest time in which nobody got anything.
			var gap time.Duration
			last, since := after, failed
			for running := true; running; {
				select {
				case <-done:
					running = false
				case <-time.After(5 * time.Millisecond):
				}
				if n := total(); n != last {
					gap = max(gap, time.Since(since))
					last, since = n, time.Now()
				}
			}
			t.Logf("longest time without bytes: %v; origin %.3f F", gap, float64(f.o.bytes.Load())/size)
			require.Less(t, after, int64(4*size), "the fault came too late")
			require.Less(t, gap, 5*time.Second)
			require.LessOrEqual(t, f.o.bytes.Load(), int64(size*105/100), "running leases go on, nothing is read again")
			for _, r := range registries {
				require.Equal(t, 1, failovers(t, r))
			}
			f.nodes[owner].proxy.Set(proxy.Fault{})
		})
	}
}

// A file that only an idle host holds, which is no Peer of it: the scheduler
// knows of it by the inventory, and asks.
func TestFilesOfIdleHostsAreFound(t *testing.T) {
	f := newFailing(t, 1, 2<<20, nil)
	holder := f.Host(func(o *daemon.Options) { o.Engine.MaxContents = 1; o.Engine.Tick = 50 * time.Millisecond })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, name := range []string{"/f", "/g", "/h"} {
		_, err := holder.Fetch(ctx, f.o.URL+name, pieces.Options{})
		require.NoError(t, err)
	}
	fresh := f.Host(nil)
	for _, restart := range []bool{false, true} {
		if restart {
			f.kill(f.addrs[0])
			f.start(f.addrs[0])
			fresh.Stop()
			fresh = f.Host(nil)
			f.up(holder)
		}
		before := f.o.bytes.Load()
		_, err := fresh.Fetch(ctx, f.o.URL+"/f", pieces.Options{})
		require.NoError(t, err)
		require.EqualValues(t, 2<<20, fresh.Traffic().Peers, "restarted: %v", restart)
		// A scheduler that forgot has the origin asked once whether the facts
		// still hold.
		require.LessOrEqual(t, f.o.bytes.Load()-before, int64(64<<10))
	}
}

// All schedulers are dead: known neighbours, then the origin serve, within
// AloneAfter; when one is back, Peers go there.
func TestAllSchedulersFailAndReturn(t *testing.T) {
	f := newFailing(t, 2, 8<<20, nil)
	alone := func(o *daemon.Options) { o.Engine.AloneAfter = time.Second }
	a := f.Host(alone)
	file := a.Open(f.o.URL+"/f", pieces.Options{})
	buf := make([]byte, 1<<20)
	_, err := file.ReadAt(context.Background(), buf, 0)
	require.NoError(t, err)
	for _, addr := range f.addrs {
		f.kill(addr)
	}
	begin := time.Now()
	_, err = file.ReadAt(context.Background(), buf, 6<<20)
	require.NoError(t, err)
	require.Less(t, time.Since(begin), 5*time.Second)

	for _, addr := range f.addrs {
		f.start(addr)
	}
	// A newcomer gets from a what a brought along.
	b := f.Host(alone)
	f.up(a, b)
	other := b.Open(f.o.URL+"/f", pieces.Options{})
	_, err = other.ReadAt(context.Background(), buf, 6<<20)
	require.NoError(t, err)
	require.Positive(t, b.Traffic().Peers)
	require.Zero(t, b.Traffic().Origin)
}
