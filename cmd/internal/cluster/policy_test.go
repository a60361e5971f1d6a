package cluster

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
	"damselfly/scheduler"
	"damselfly/scheduler/swarm"
)

// edges counts the bytes that each host asked of each other one.
type edges struct {
	mu   sync.Mutex
	sent map[[2]pieces.HostID]int // from, to
}

// watch lets a host serve its pieces through a proxy that counts them.
func (e *edges) watch(t *testing.T, c *Cluster, change func(*daemon.Options)) *Host {
	front := listen(t)
	var back net.Listener
	h := c.Host(func(o *daemon.Options) {
		back = o.UploadListen
		o.UploadListen = announced{back, front.Addr()}
		if change != nil {
			change(o)
		}
	})
	to, err := url.Parse("http://" + back.Addr().String())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.StatusCode == http.StatusPartialContent {
			n, _ := strconv.Atoi(r.Header.Get("Content-Length"))
			e.mu.Lock()
			e.sent[[2]pieces.HostID{h.Daemon.Host().ID, pieces.HostID(r.Request.Header.Get("X-Df-Host"))}] += n
			e.mu.Unlock()
		}
		return nil
	}
	srv := &http.Server{Handler: proxy}
	go srv.Serve(front)
	t.Cleanup(func() { srv.Close() })
	return h
}

// announced is a listener that says it listens elsewhere.
type announced struct {
	net.Listener
	at net.Addr
}

func (a announced) Addr() net.Addr { return a.at }

// Both policies bring right bytes to a crowd. Under classic, bytes flow along
// the DAG alone: no two hosts feed each other, not even in turns, and no ring of
// hosts does.
func TestPolicies(t *testing.T) {
	for name, policy := range map[string]pieces.Policy{"swarm": pieces.PolicySwarm, "classic": pieces.PolicyClassic} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Parents stay, so that the edges of the whole run are one graph.
			c := With(t, 1, func(o *scheduler.Options) {
				rules := swarm.Defaults()
				rules.Policy, rules.ReplaceMin = policy, time.Hour
				o.Swarm = &rules
			})
			o := newOrigin(t, 8<<20+99)
			e := &edges{sent: map[[2]pieces.HostID]int{}}
			const rate = 6 << 20
			e.watch(t, c, func(o *daemon.Options) { o.Seed, o.UploadRate = true, rate })
			for range 4 {
				e.watch(t, c, func(o *daemon.Options) { o.UploadRate = rate })
			}
			want := sha256.Sum256(o.data)
			var wg sync.WaitGroup
			for _, h := range c.Hosts[1:] {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					if _, err := h.Fetch(ctx, o.URL+"/f", pieces.Options{}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, h := range c.Hosts[1:] {
				require.Equal(t, want, sumOf(t, h.Open(o.URL+"/f", pieces.Options{})))
			}
			both := e.pairs()
			t.Logf("%d edges, %d used both ways", len(e.sent), both)
			if policy == pieces.PolicyClassic {
				require.Zero(t, both, "bytes went against an edge of the DAG")
			} else {
				require.Positive(t, both, "hosts exchange in both directions")
			}
		})
	}
}

// pairs is how many pairs of hosts fed each other.
func (e *edges) pairs() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for k := range e.sent {
		if _, back := e.sent[[2]pieces.HostID{k[1], k[0]}]; back && k[0] < k[1] {
			n++
		}
	}
	return n
}
