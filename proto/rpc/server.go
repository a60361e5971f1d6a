package rpc

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// Defaults of a Server.
const (
	// DefaultHandleTimeout is the deadline of a unary call whose client set none.
	DefaultHandleTimeout = 30 * time.Second
	// DefaultStopTimeout is how long calls under way may take to finish after
	// the ctx of Serve ended.
	DefaultStopTimeout = 3 * time.Second
	// DefaultMaxConns is how many connections a server holds.
	DefaultMaxConns = 4096
	// ClusterMaxConns is the same for servers that every host of a cluster is
	// connected to.
	ClusterMaxConns = 32768
	// DefaultOpenTimeout is how long a new connection may take until it speaks
	// HTTP/2.
	DefaultOpenTimeout = 5 * time.Second
	// DefaultIdleTimeout ends connections without a call; clients dial again
	// when they have one.
	DefaultIdleTimeout = 5 * time.Minute
	// maxStreams bounds the calls under way on one connection; more wait.
	maxStreams = 4096
	// window is how much may be under way to one end of a connection, in bytes:
	// 50 MB/s at a round trip of 20 ms. Being fixed, it spares each end a ping
	// and its answer for nearly every message, by which gRPC would measure the
	// connection: half of what small messages cost.
	window = 1 << 20
	// readBuffer is kept by a server for each of its thousands of connections.
	// Longer frames are read past it.
	readBuffer = 4 << 10
)

// ServerOptions say how to serve; the zero value is right for most.
type ServerOptions struct {
	// Log gets panics, warnings and failed calls (at debug level); nil discards.
	Log *logrus.Entry
	// Registry gets the counts and durations of calls; nil keeps none.
	// Several servers of one process may share it.
	Registry prometheus.Registerer
	// Tracer goes on with the traces that callers tell of; nil ignores them.
	Tracer *trace.Tracer
	// MaxMessage in bytes, both ways; 0 is DefaultMaxMessage.
	MaxMessage int
	// HandleTimeout: 0 is DefaultHandleTimeout, negative is none.
	HandleTimeout time.Duration
	// StopTimeout: 0 is DefaultStopTimeout.
	StopTimeout time.Duration
	// MaxConns bounds connections, as LimitConns does; 0 is DefaultMaxConns,
	// negative is no limit. It is lowered to one in ConnShare of the descriptors
	// that the process may open; 0 is DefaultShare.
	MaxConns, ConnShare int
	// OpenTimeout and IdleTimeout: 0 are the defaults.
	OpenTimeout time.Duration
	IdleTimeout time.Duration
}

// Server is a gRPC server with the manners of this system. Register services
// on it first, then Serve. On a unix socket it knows its callers: PeerCred.
type Server struct {
	*grpc.Server
	health *health.Server
	opts   ServerOptions
	log    *logrus.Entry
	// stopping ends when Serve begins to stop: streams hear it as the end of
	// their context.
	stopping context.Context
	stop     context.CancelFunc
}

// NewServer makes a Server that offers only the health service yet.
func NewServer(o ServerOptions) *Server {
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.HandleTimeout == 0 {
		o.HandleTimeout = DefaultHandleTimeout
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = DefaultStopTimeout
	}
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.OpenTimeout <= 0 {
		o.OpenTimeout = DefaultOpenTimeout
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	s := &Server{opts: o, log: orDiscard(o.Log), health: health.NewServer()}
	s.stopping, s.stop = context.WithCancel(context.Background())
	calls := serverCalls{log: s.log, timeout: o.HandleTimeout, stopping: s.stopping, metrics: newMetrics(o.Registry), tracer: o.Tracer}
	s.Server = grpc.NewServer(
		grpc.Creds(peerCredentials{}),
		grpc.MaxRecvMsgSize(o.MaxMessage),
		grpc.MaxSendMsgSize(o.MaxMessage),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: time.Minute, Timeout: 10 * time.Second, MaxConnectionIdle: o.IdleTimeout,
		}),
		grpc.ConnectionTimeout(o.OpenTimeout),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.StaticStreamWindowSize(window),
		grpc.StaticConnWindowSize(window),
		grpc.ReadBufferSize(readBuffer),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.UnaryInterceptor(calls.unary),
		grpc.StreamInterceptor(calls.stream),
	)
	grpc_health_v1.RegisterHealthServer(s.Server, s.health)
	return s
}

// Serve answers on lis until ctx ends, then stops: new calls are refused,
// streams are told by their context, and what still runs after StopTimeout is
// cut. It returns nil after a stop, and when it returns all handlers have. It
// closes lis. A Server serves once.
func (s *Server) Serve(ctx context.Context, lis net.Listener) error {
	if lis.Addr().Network() != "unix" {
		plaintext.check(s.log, lis.Addr().String())
		lis = LimitConns(lis, MaxConns(s.opts.MaxConns, cmp.Or(s.opts.ConnShare, DefaultShare)))
	}
	defer s.stop()
	served := make(chan error, 1)
	go func() { served <- s.Server.Serve(lis) }()
	select {
	case err := <-served:
		s.Server.Stop()
		return serveError(err, lis)
	case <-ctx.Done():
	}
	s.shutdown()
	return serveError(<-served, lis)
}

func (s *Server) shutdown() {
	s.health.Shutdown()
	s.stop()
	var graceful sync.WaitGroup
	graceful.Go(s.Server.GracefulStop)
	cut := time.AfterFunc(s.opts.StopTimeout, s.Server.Stop)
	graceful.Wait()
	cut.Stop()
}

func serveError(err error, lis net.Listener) error {
	if err == nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return pieces.WithKind(pieces.Internal, err, "serving gRPC on "+lis.Addr().String())
}
