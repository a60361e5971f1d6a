package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// atOnce is how many calls of the preparations are under way at once.
const atOnce = 32

// callTimeout is the deadline of each call: what takes longer has failed.
const callTimeout = 10 * time.Second

// fleet is so many simulated hosts. Close it.
type fleet struct {
	hosts []*host
	conns []*grpc.ClientConn
	// sent and received are the bytes of all connections, above TCP.
	sent, received atomic.Int64

	beating bool            // streams are open
	ctx     context.Context // of the streams
	end     context.CancelFunc
	running sync.WaitGroup
	broken  atomic.Pointer[error]
	// interval of heartbeats, in ns, as the first Welcome says it.
	interval atomic.Int64
}

// newFleet connects n hosts over conns connections (0 or ≥ n: one each) to the
// scheduler at addr, and announces them. They have no streams yet.
func newFleet(ctx context.Context, addr string, n, conns int) (*fleet, error) {
	if conns <= 0 || conns > n {
		conns = n
	}
	f := &fleet{}
	f.ctx, f.end = context.WithCancel(context.WithoutCancel(ctx))
	for range conns {
		conn, err := rpc.Dial(addr, rpc.DialOptions{CallTimeout: callTimeout, Dialer: f.dial})
		if err != nil {
			f.close()
			return nil, err
		}
		f.conns = append(f.conns, conn)
	}
	for i := range n {
		f.hosts = append(f.hosts, newHost(i, f.conns[i%conns]))
	}
	if err := f.each(ctx, f.hosts, func(ctx context.Context, h *host) error { return h.announce(ctx) }); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// newHost makes the i-th host: one of 4 data centres with 16 racks each.
func newHost(i int, conn *grpc.ClientConn) *host {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(i+1)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint32(id[12:], uint32(i))
	return &host{client: schedulerpb.NewSchedulerClient(conn), Host: pieces.Host{
		ID: pieces.NewHostID(id), Hostname: fmt.Sprintf("node-%05d.cluster.example", i),
		IP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), PeerPort: 65000, UploadPort: 65002,
		IDC: fmt.Sprintf("idc-%d", i%4), Location: fmt.Sprintf("east|hall-%d|rack-%d", i%4, i/4%16),
		UploadSlots: 16, SoftwareVersion: "load",
	}}
}

// stream opens the stream of every host, keeps their hearts beating and
// announces them as daemons do.
func (f *fleet) stream(ctx context.Context) error {
	f.beating = true
	f.interval.Store(int64(rpc.DefaultBeat))
	f.running.Go(f.beat)
	f.running.Go(f.announce)
	return f.each(ctx, f.hosts, func(_ context.Context, h *host) error {
		welcome, err := h.connect(f.ctx, &f.running, f.fail)
		if ms := welcome.GetHeartbeatMs(); ms > 0 {
			f.interval.Store(int64(ms) * int64(time.Millisecond))
		}
		return err
	})
}

// beat sends every host's heartbeat in the interval that the scheduler asks for,
// evenly spread; after a pause of the machine, all that are due.
func (f *fleet) beat() {
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	start := time.Now()
	for sent := 0; ; {
		select {
		case <-f.ctx.Done():
			return
		case <-every.C:
		}
		due := int(time.Since(start).Seconds() * float64(len(f.hosts)) / time.Duration(f.interval.Load()).Seconds())
		for sent = max(sent, due-len(f.hosts)); sent < due; sent++ {
			if err := f.hosts[sent%len(f.hosts)].beat(); err != nil && f.ctx.Err() == nil {
				f.fail(err)
			}
		}
	}
}

// announceEvery is a daemon's pace.
const announceEvery = 10 * time.Second

// announce announces every host again and again, one after the other.
func (f *fleet) announce() {
	for {
		for _, h := range f.hosts {
			if sleep(f.ctx, announceEvery/time.Duration(len(f.hosts))) != nil {
				return
			}
			if err := h.announce(f.ctx); err != nil && f.ctx.Err() == nil {
				f.fail(err)
			}
		}
	}
}

func (f *fleet) fail(err error) { f.broken.CompareAndSwap(nil, &err) }

// err returns the first error of a stream or a later announcement: what is
// measured without it is not what was meant.
func (f *fleet) err() error {
	if err := f.broken.Load(); err != nil {
		return fmt.Errorf("a host's stream or announcement failed: %w", *err)
	}
	return nil
}

// each calls do for every host, some at once, until one fails.
func (f *fleet) each(ctx context.Context, hosts []*host, do func(context.Context, *host) error) error {
	return forEach(ctx, len(hosts), func(ctx context.Context, i int) error { return do(ctx, hosts[i]) })
}

// forEach calls do with 0 … n-1, atOnce at once, until one fails.
func forEach(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(atOnce)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		all.Go(func() error { return do(ctx, i) })
	}
	return all.Wait()
}

// close ends streams and connections.
func (f *fleet) close() {
	f.end()
	f.running.Wait()
	for _, c := range f.conns {
		c.Close()
	}
}

// dial makes connections that count their bytes.
func (f *fleet) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{c, f}, nil
}

type countedConn struct {
	net.Conn
	fleet *fleet
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.fleet.received.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.fleet.sent.Add(int64(n))
	return n, err
}
