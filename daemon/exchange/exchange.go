// Package exchange keeps neighbours of one (Task, Version) told of what each
// holds, fetches and wants: SyncPieceTasks, one two-way stream per pair of
// hosts and content, dialled by the one that learnt of the other first.
//
// Changes are gathered for a moment, as long as the swarm says (Patience), and
// sent as one message; what somebody waits for goes at once. What waits to be sent is a handful of piece sets, so a slow neighbour
// costs bounded memory.
package exchange

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/rpc"
)

// Swarm is one content of this host, as the exchange needs it. Its methods are
// called from the streams' goroutines and must not block.
type Swarm interface {
	Key() pieces.Key
	Geometry() pieces.Geometry
	// Patience is how long changes for a neighbour may be gathered. It is called
	// within Link.Update.
	Patience(host pieces.HostID) time.Duration
	// Joined: link's other side speaks. The swarm tells it what is here by
	// link.Update, then and from now on.
	Joined(link *Link)
	Heard(link *Link, d Delta)
	// Left is called once for each Joined, and for each Connect that failed
	// (err says why; the link then never joined).
	Left(link *Link, err error)
}

// Local finds the swarms of this host for those who call it.
type Local interface {
	// Swarm returns the content of key; NotFound if nothing of it is here. It
	// may wait for a moment (DESIGN §7: 1 s) for a Task not known yet.
	Swarm(ctx context.Context, key pieces.Key) (Swarm, error)
}

// Delta is what changed at one side since its last message.
type Delta struct {
	Held, Lost, Fetching, Stopped []pieces.Extent
	// Wants: a demand read waits for these.
	Wants []pieces.Extent
}

// Options configure an Exchange; zero fields take their defaults.
type Options struct {
	Host  func() pieces.Host
	Local Local
	// JoinTimeout bounds dialling and the first message (default 2 s).
	JoinTimeout time.Duration
	// MaxLinks over all contents (default 4096).
	MaxLinks int
	Log      *logrus.Entry
}

// Exchange owns the streams of one host. Safe for concurrent use.
type Exchange struct {
	daemonpb.UnimplementedPeerServer
	o      Options
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	conns map[string]*sharedConn
	links int
}

// sharedConn is a connection used by several links to one address.
type sharedConn struct {
	*grpc.ClientConn
	users int
}

// New returns an Exchange; Close ends its streams.
func New(o Options) *Exchange {
	if o.JoinTimeout == 0 {
		o.JoinTimeout = 2 * time.Second
	}
	if o.MaxLinks == 0 {
		o.MaxLinks = 4096
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Exchange{o: o, ctx: ctx, cancel: cancel, conns: map[string]*sharedConn{}}
}

// Close ends every stream and waits for them.
func (x *Exchange) Close() {
	x.cancel()
	x.wg.Wait()
}

// Connect starts a link with host for s, in the background. Every Connect is
// answered by Joined and later Left, or by Left alone.
func (x *Exchange) Connect(s Swarm, host pieces.Host) *Link {
	l := x.link(x.ctx, host, s)
	if !x.take() {
		go s.Left(l, pieces.Errorf(pieces.Full, "over %d neighbour streams", x.o.MaxLinks))
		return l
	}
	x.wg.Go(func() {
		defer x.release()
		joined, err := x.dial(l, s)
		l.Close()
		if joined || err != nil {
			s.Left(l, err)
		}
	})
	return l
}

func (x *Exchange) link(ctx context.Context, host pieces.Host, s Swarm) *Link {
	return newLink(ctx, host, func() time.Duration { return s.Patience(host.ID) })
}

func (x *Exchange) take() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.links >= x.o.MaxLinks || x.ctx.Err() != nil {
		return false
	}
	x.links++
	return true
}

func (x *Exchange) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.links--
}

// dial opens the stream and runs it to its end.
func (x *Exchange) dial(l *Link, s Swarm) (joined bool, err error) {
	addr := net.JoinHostPort(l.host.IP, strconv.Itoa(l.host.PeerPort))
	conn, err := x.conn(addr)
	if err != nil {
		return false, err
	}
	defer x.putConn(addr, conn)
	join := time.AfterFunc(x.o.JoinTimeout, l.Close)
	defer join.Stop()
	stream, err := daemonpb.NewPeerClient(conn).SyncPieceTasks(l.ctx)
	if err != nil {
		return false, err
	}
	if err := stream.Send(&daemonpb.SyncMessage{Hello: helloTo(x.o.Host(), s.Key())}); err != nil {
		return false, err
	}
	if _, err := stream.Recv(); err != nil {
		return false, err
	}
	if !join.Stop() {
		return false, pieces.Errorf(pieces.Timeout, "host %s did not answer in %v", l.host.ID.Short(), x.o.JoinTimeout)
	}
	return true, x.run(l, s, stream)
}

// SyncPieceTasks serves a link that another host dialled.
func (x *Exchange) SyncPieceTasks(stream daemonpb.Peer_SyncPieceTasksServer) error {
	if !x.take() {
		return pieces.Errorf(pieces.Full, "too many neighbour streams")
	}
	defer x.release()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	host, key, err := helloFrom(first.GetHello())
	if err != nil {
		return err
	}
	s, err := x.o.Local.Swarm(stream.Context(), key)
	if err != nil {
		return err
	}
	l := x.link(stream.Context(), host, s)
	defer l.Close()
	stop := context.AfterFunc(x.ctx, l.Close)
	defer stop()
	if err := stream.Send(&daemonpb.SyncMessage{Hello: helloTo(x.o.Host(), key)}); err != nil {
		return err
	}
	err = x.run(l, s, stream)
	s.Left(l, err)
	return err
}

// stream is either end of a SyncPieceTasks stream.
type stream interface {
	Send(*daemonpb.SyncMessage) error
	Recv() (*daemonpb.SyncMessage, error)
}

// run joins the swarm, then receives until the stream or the link ends. The
// sending half is a goroutine of its own, awaited before run returns; Recv
// returns when the link's context ends on the dialling side, and when the
// handler's stream is reset on the serving side.
func (x *Exchange) run(l *Link, s Swarm, st stream) error {
	s.Joined(l)
	sent := make(chan error, 1)
	go func() { sent <- l.sendLoop(st) }()
	received := make(chan error, 1)
	go func() { received <- x.receive(l, s, st) }()
	var err error
	select {
	case err = <-received:
		l.Close()
		<-sent
	case err = <-sent:
		// The receiver ends with the stream: by the context of the dialled
		// one, by the return of the handler for the served one.
		l.Close()
	}
	return err
}

func (x *Exchange) receive(l *Link, s Swarm, st stream) error {
	for {
		m, err := st.Recv()
		if err != nil {
			return err
		}
		d, err := deltaFrom(m, s.Geometry())
		if err != nil {
			return err
		}
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		s.Heard(l, d)
	}
}

func (x *Exchange) conn(addr string) (*sharedConn, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c := x.conns[addr]; c != nil {
		c.users++
		return c, nil
	}
	cc, err := rpc.Dial(addr, rpc.DialOptions{Log: x.o.Log})
	if err != nil {
		return nil, err
	}
	c := &sharedConn{ClientConn: cc, users: 1}
	x.conns[addr] = c
	return c, nil
}

func (x *Exchange) putConn(addr string, c *sharedConn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.users--; c.users == 0 {
		delete(x.conns, addr)
		c.Close()
	}
}
