// Package cluster runs a whole Damselfly in one process for tests: schedulers,
// seeds and hosts as they are, on loopback ports, without mounts. A Cluster
// belongs to one test and ends with it.
package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/scheduler"
)

// Cluster is a set of running parts. Its methods are for the test's goroutine.
type Cluster struct {
	t          testing.TB
	Schedulers []*Node
	Hosts      []*Host
}

// Node is something that runs at an address until Stop.
type Node struct {
	Addr string
	Stop func()
}

// Host is a running daemon.
type Host struct {
	witness *witness
	*daemon.Daemon
	Dir  string
	Stop func()
	t    testing.TB
}

// New starts n schedulers that form one ring.
func New(t testing.TB, n int) *Cluster { return With(t, n, nil) }

// With is New with schedulers of other options.
func With(t testing.TB, n int, change func(*scheduler.Options)) *Cluster {
	c := &Cluster{t: t}
	var lis []net.Listener
	var addrs []string
	for range n {
		l := listen(t)
		lis, addrs = append(lis, l), append(addrs, l.Addr().String())
	}
	for i, l := range lis {
		c.Schedulers = append(c.Schedulers, c.scheduler(l, addrs[i], addrs, change))
	}
	return c
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// log shows what the parts say in verbose runs.
func log() *logrus.Entry {
	if !testing.Verbose() {
		return nil
	}
	return verbose()
}

func verbose() *logrus.Entry {
	l := logrus.New()
	l.SetLevel(logrus.DebugLevel)
	l.SetFormatter(&logrus.TextFormatter{TimestampFormat: "05.000", FullTimestamp: true})
	return logrus.NewEntry(l)
}

func (c *Cluster) scheduler(l net.Listener, addr string, peers []string, change func(*scheduler.Options)) *Node {
	o := scheduler.Options{Advertise: addr, Peers: peers, Log: log()}
	if change != nil {
		change(&o)
	}
	s, err := scheduler.New(o)
	require.NoError(c.t, err)
	srv := rpc.NewServer(rpc.ServerOptions{Log: log(), Tracer: o.Tracer})
	s.Register(srv)
	return &Node{Addr: addr, Stop: c.run(
		func(ctx context.Context) error { return srv.Serve(ctx, l) }, s.Run)}
}

// run starts parts that end together; the returned function ends them.
func (c *Cluster) run(parts ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(parts))
	for _, p := range parts {
		go func() { done <- p(ctx) }()
	}
	stop = sync.OnceFunc(func() {
		cancel()
		for range parts {
			if err := <-done; err != nil {
				c.t.Errorf("stopping: %v", err)
			}
		}
	})
	c.t.Cleanup(stop)
	return stop
}

// Host starts a daemon that knows all schedulers.
func (c *Cluster) Host(change func(*daemon.Options)) *Host {
	c.t.Helper()
	o := daemon.Options{
		DataDir: c.t.TempDir(), AdvertiseIP: "127.0.0.1", PeerListen: listen(c.t), UploadListen: listen(c.t),
	}
	w := &witness{}
	o.Log = w.log()
	for _, s := range c.Schedulers {
		o.Schedulers = append(o.Schedulers, s.Addr)
	}
	if change != nil {
		change(&o)
	}
	d, err := daemon.New(context.Background(), o)
	require.NoError(c.t, err)
	h := &Host{Daemon: d, Dir: o.DataDir, t: c.t, witness: w, Stop: c.run(d.Run)}
	c.Hosts = append(c.Hosts, h)
	return h
}

// Seed starts a seed peer.
func (c *Cluster) Seed() *Host {
	c.t.Helper()
	return c.Host(func(o *daemon.Options) { o.Seed = true })
}

// Open adds a URL and opens its content.
func (h *Host) Open(url string, o pieces.Options) *daemon.File {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	spec, err := h.Control().NewTask(url, o)
	require.NoError(h.t, err)
	require.NoError(h.t, h.Control().Add(ctx, spec, "", control.Owner{}))
	info, err := h.Lookup(ctx, spec.ID)
	require.NoError(h.t, err)
	f, err := h.OpenFile(ctx, info.Key)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { f.Close() })
	return f
}

// Fetch brings all of a URL here, as dfget does, and returns its facts.
func (h *Host) Fetch(ctx context.Context, url string, o pieces.Options) (pieces.Facts, error) {
	spec, err := h.Control().NewTask(url, o)
	if err != nil {
		return pieces.Facts{}, err
	}
	if err := h.Control().Add(ctx, spec, "", control.Owner{}); err != nil {
		return pieces.Facts{}, err
	}
	f, err := h.Control().Open(ctx, spec.ID)
	if err != nil {
		return pieces.Facts{}, err
	}
	defer f.Close()
	return f.Facts(), f.Fetch(ctx, 0, f.Facts().Size, nil)
}
