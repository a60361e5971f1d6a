package manager

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// Ten thousand hosts keep themselves alive every 5 s while schedulers are
// listed and Tasks resolved; DAMSELFLY_SOAK runs it. CPU is that of manager and
// hosts together, and without the database server's.
func TestTenThousandHosts(t *testing.T) {
	if os.Getenv("DAMSELFLY_SOAK") == "" {
		t.Skip("set DAMSELFLY_SOAK to measure 10,000 hosts")
	}
	onEach(t, func(t *testing.T, database string) {
		m := start(t, database, Options{})
		m.beat(t, "10.0.0.1:8002", "")
		task := put(t, m, "https://example.org/x", "x")
		const hosts, conns, every, lasts = 10_000, 50, 5 * time.Second, 20 * time.Second
		var clients []managerpb.ManagerClient
		for range conns {
			conn, err := rpc.Dial(m.addr, rpc.DialOptions{CallTimeout: time.Minute})
			require.NoError(t, err)
			defer conn.Close()
			clients = append(clients, managerpb.NewManagerClient(conn))
		}
		host := func(i int) pieces.Host {
			return pieces.Host{ID: pieces.NewHostID([16]byte{byte(i), byte(i >> 8)}), Hostname: fmt.Sprintf("host-%05d", i), PeerPort: 65000, UploadPort: 65002,
				IP: fmt.Sprintf("10.%d.%d.1", i>>8, i&255), IDC: "fra", Location: "eu|de", UploadSlots: 64}
		}
		ctx, cancel := context.WithCancel(context.Background())
		var beating, first sync.WaitGroup
		defer beating.Wait()
		defer cancel()
		first.Add(hosts)
		var failed atomic.Int64
		began := time.Now()
		for i := range hosts {
			beating.Go(func() {
				once := sync.OnceFunc(first.Done)
				defer once()
				time.Sleep(every * time.Duration(i) / hosts) // not in step
				for ctx.Err() == nil {
					_, err := clients[i%conns].KeepAlive(ctx, &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_HOST, Host: wire.HostTo(host(i))})
					if err != nil && ctx.Err() == nil {
						failed.Add(1)
					}
					once()
					select {
					case <-ctx.Done():
					case <-time.After(every):
					}
				}
			})
		}
		first.Wait()
		t.Logf("%d registered in %s", hosts, time.Since(began))
		cpu, from := cpuTime(), time.Now()
		var lists, resolves []time.Duration
		for n := 0; time.Since(from) < lasts; n++ {
			at := time.Now()
			_, err := m.ListSchedulers(t.Context(), &managerpb.ListSchedulersRequest{Host: wire.HostTo(host(n % hosts))})
			require.NoError(t, err)
			lists = append(lists, time.Since(at))
			at = time.Now()
			_, err = m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Id: string(task.ID)})
			require.NoError(t, err)
			resolves = append(resolves, time.Since(at))
			time.Sleep(3 * time.Millisecond) // about 330 lists a second: each host every 30 s
		}
		t.Logf("CPU %.2f of a core; p50, p99 of ListSchedulers %s, %s; of ResolveTask %s, %s (%d calls); %d keep-alives failed",
			(cpuTime()-cpu).Seconds()/time.Since(from).Seconds(), at(lists, 50), at(lists, 99), at(resolves, 50), at(resolves, 99), len(lists), failed.Load())
		cancel()
		beating.Wait()
		m.server.flush(t.Context())
		c, err := m.store.Count(t.Context(), time.Now().Add(-15*time.Second))
		require.NoError(t, err)
		require.Equal(t, hosts, c.Hosts, "all are alive in the database")
	})
}

func at(all []time.Duration, percent int) time.Duration {
	slices.Sort(all)
	return all[len(all)*percent/100]
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
