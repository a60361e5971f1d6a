package rpc

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

// fake is a scheduler whose calls a test fills in.
type fake struct {
	schedulerpb.UnimplementedSchedulerServer
	announce func(context.Context) error
	report   func(schedulerpb.Scheduler_ReportPieceResultServer) error
}

func (f *fake) AnnounceHost(ctx context.Context, _ *schedulerpb.AnnounceHostRequest) (*schedulerpb.AnnounceHostReply, error) {
	return &schedulerpb.AnnounceHostReply{}, f.announce(ctx)
}

func (f *fake) ReportPieceResult(s schedulerpb.Scheduler_ReportPieceResultServer) error {
	return f.report(s)
}

// serve runs f behind a Server until the test ends or stop is called, which
// waits for the end of Serve and returns its error.
func serve(t *testing.T, f *fake, o ServerOptions) (addr string, stop func() error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return lis.Addr().String(), serveOn(t, lis, f, o)
}

func serveOn(t *testing.T, lis net.Listener, f *fake, o ServerOptions) (stop func() error) {
	s := NewServer(o)
	schedulerpb.RegisterSchedulerServer(s, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var served error
	go func() {
		defer close(done)
		served = s.Serve(ctx, lis)
	}()
	stop = func() error {
		cancel()
		<-done
		return served
	}
	t.Cleanup(func() { require.NoError(t, stop()) })
	return stop
}

func client(t *testing.T, addr string, o DialOptions) schedulerpb.SchedulerClient {
	conn, err := Dial(addr, o)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return schedulerpb.NewSchedulerClient(conn)
}

func announce(ctx context.Context, c schedulerpb.SchedulerClient) error {
	_, err := c.AnnounceHost(ctx, &schedulerpb.AnnounceHostRequest{})
	return err
}

func TestErrorKindsCrossCallsAndStreams(t *testing.T) {
	want := &pieces.Error{Kind: pieces.Throttled, Msg: "origin of task abc says 429", RetryAfter: 4 * time.Second}
	addr, _ := serve(t, &fake{
		announce: func(context.Context) error { return want },
		report:   func(schedulerpb.Scheduler_ReportPieceResultServer) error { return want },
	}, ServerOptions{})
	c := client(t, addr, DialOptions{})
	require.Equal(t, want, announce(t.Context(), c))
	s, err := c.ReportPieceResult(t.Context())
	require.NoError(t, err)
	_, err = s.Recv()
	require.Equal(t, want, err)
}

func TestUnknownMethodIsInvalid(t *testing.T) {
	addr, _ := serve(t, &fake{}, ServerOptions{})
	_, err := client(t, addr, DialOptions{}).LeaveHost(t.Context(), &schedulerpb.LeaveHostRequest{})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestPanicIsAnErrorAndTheServerGoesOn(t *testing.T) {
	var log bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&log)
	reg := prometheus.NewRegistry()
	f := &fake{
		announce: func(context.Context) error { panic("the secret inside") },
		report:   func(schedulerpb.Scheduler_ReportPieceResultServer) error { panic("the secret inside") },
	}
	addr, stop := serve(t, f, ServerOptions{Log: logrus.NewEntry(logger), Registry: reg})
	c := client(t, addr, DialOptions{})
	err := announce(t.Context(), c)
	require.Equal(t, pieces.Internal, pieces.KindOf(err))
	require.NotContains(t, err.Error(), "secret")
	s, err := c.ReportPieceResult(t.Context())
	require.NoError(t, err)
	_, err = s.Recv()
	require.Equal(t, pieces.Internal, pieces.KindOf(err))

	f.announce = func(context.Context) error { return nil }
	require.NoError(t, announce(t.Context(), c))
	require.NoError(t, stop())
	require.Contains(t, log.String(), "the secret inside")
	require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP damselfly_rpc_panics_total Panics recovered in handlers.
# TYPE damselfly_rpc_panics_total counter
damselfly_rpc_panics_total 2
# HELP damselfly_rpc_handled_total Calls and streams that ended, by method and gRPC code.
# TYPE damselfly_rpc_handled_total counter
damselfly_rpc_handled_total{code="Internal",method="damselfly.scheduler.v1.Scheduler/AnnounceHost"} 1
damselfly_rpc_handled_total{code="OK",method="damselfly.scheduler.v1.Scheduler/AnnounceHost"} 1
damselfly_rpc_handled_total{code="Internal",method="damselfly.scheduler.v1.Scheduler/ReportPieceResult"} 1
`), "damselfly_rpc_panics_total", "damselfly_rpc_handled_total"))
}

func TestServersOfOneProcessShareARegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := &fake{announce: func(context.Context) error { return nil }}
	for range 2 {
		addr, stop := serve(t, f, ServerOptions{Registry: reg})
		require.NoError(t, announce(t.Context(), client(t, addr, DialOptions{})))
		require.NoError(t, stop())
	}
	n, err := testutil.GatherAndCount(reg, "damselfly_rpc_handled_total")
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestClientGivesACallADeadline(t *testing.T) {
	left, finish := make(chan time.Duration, 1), make(chan struct{})
	addr, _ := serve(t, &fake{announce: func(ctx context.Context) error {
		d, _ := ctx.Deadline()
		left <- time.Until(d)
		<-finish
		return nil
	}}, ServerOptions{})
	defer close(finish)
	err := announce(t.Context(), client(t, addr, DialOptions{CallTimeout: 200 * time.Millisecond}))
	require.Equal(t, pieces.Timeout, pieces.KindOf(err))
	require.True(t, IsTransport(err))
	require.ErrorContains(t, err, addr)
	require.LessOrEqual(t, <-left, 200*time.Millisecond)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = announce(ctx, client(t, addr, DialOptions{CallTimeout: time.Hour}))
	require.Equal(t, pieces.Timeout, pieces.KindOf(err), "a ctx with a deadline keeps its own")
}

func TestAnswersAreNotErrorsOfTheTransport(t *testing.T) {
	for _, kind := range []pieces.Kind{pieces.Timeout, pieces.Unavailable, pieces.Origin} {
		addr, _ := serve(t, &fake{announce: func(context.Context) error {
			return pieces.Errorf(kind, "so says the origin")
		}}, ServerOptions{})
		err := announce(t.Context(), client(t, addr, DialOptions{}))
		require.Equal(t, kind, pieces.KindOf(err))
		require.False(t, IsTransport(err))
	}
}

func TestServerGivesACallADeadline(t *testing.T) {
	addr, _ := serve(t, &fake{announce: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, ServerOptions{HandleTimeout: 50 * time.Millisecond})
	err := announce(t.Context(), client(t, addr, DialOptions{CallTimeout: -1}))
	require.Equal(t, pieces.Timeout, pieces.KindOf(err))
}

func TestCanceledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr, _ := serve(t, &fake{announce: func(sctx context.Context) error {
		cancel()
		<-sctx.Done()
		return sctx.Err()
	}}, ServerOptions{})
	require.Equal(t, pieces.Canceled, pieces.KindOf(announce(ctx, client(t, addr, DialOptions{}))))
}

func TestMessageOverTheLimit(t *testing.T) {
	addr, _ := serve(t, &fake{announce: func(context.Context) error { return nil }}, ServerOptions{MaxMessage: 64 << 10})
	big := &schedulerpb.AnnounceHostRequest{Inventory: []*schedulerpb.InventoryItem{{Task: strings.Repeat("x", 65<<10)}}}

	_, err := client(t, addr, DialOptions{}).AnnounceHost(t.Context(), big)
	require.Equal(t, pieces.Full, pieces.KindOf(err), "refused by the server: %v", err)
	c := client(t, addr, DialOptions{MaxMessage: 32 << 10})
	_, err = c.AnnounceHost(t.Context(), big)
	require.Equal(t, pieces.Full, pieces.KindOf(err), "not even sent: %v", err)
	require.NoError(t, announce(t.Context(), c))
}

func TestNobodyThere(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := lis.Addr().String()
	require.NoError(t, lis.Close())
	c := client(t, addr, DialOptions{})
	err = announce(t.Context(), c)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.True(t, IsTransport(err))
	require.ErrorContains(t, err, addr)

	// The same connection works once somebody listens.
	lis, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	serveOn(t, lis, &fake{announce: func(context.Context) error { return nil }}, ServerOptions{})
	require.Eventually(t, func() bool { return announce(t.Context(), c) == nil }, 5*time.Second, 20*time.Millisecond)
}

func TestDialRefusesBadAddresses(t *testing.T) {
	for _, addr := range []string{"", "host", ":8002", "host:", "host:0", "host:65536", "host:http", "a:b:1", "host:99999999999999999999"} {
		_, err := Dial(addr, DialOptions{})
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%q", addr)
	}
	_, err := DialUnix("", DialOptions{})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestHealth(t *testing.T) {
	addr, _ := serve(t, &fake{}, ServerOptions{})
	conn, err := Dial(addr, DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, reply.Status)
}

func TestPeerCred(t *testing.T) {
	type caller struct {
		uid, gid uint32
		pid      int32
		ok       bool
	}
	got := make(chan caller, 1)
	f := &fake{announce: func(ctx context.Context) error {
		var c caller
		c.uid, c.gid, c.pid, c.ok = PeerCred(ctx)
		got <- c
		return nil
	}}
	path := filepath.Join(t.TempDir(), "s")
	lis, err := net.Listen("unix", path)
	require.NoError(t, err)
	serveOn(t, lis, f, ServerOptions{})
	conn, err := DialUnix(path, DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, announce(t.Context(), schedulerpb.NewSchedulerClient(conn)))
	require.Equal(t, caller{uint32(os.Getuid()), uint32(os.Getgid()), int32(os.Getpid()), true}, <-got)

	addr, _ := serve(t, f, ServerOptions{})
	require.NoError(t, announce(t.Context(), client(t, addr, DialOptions{})))
	require.False(t, (<-got).ok, "TCP callers are unknown")
	_, _, _, ok := PeerCred(t.Context())
	require.False(t, ok)
}

func TestStopTellsStreamsAndWaitsForHandlers(t *testing.T) {
	started, handlerEnded := make(chan struct{}), make(chan struct{})
	addr, stop := serve(t, &fake{report: func(s schedulerpb.Scheduler_ReportPieceResultServer) error {
		defer close(handlerEnded)
		close(started)
		<-s.Context().Done()
		return s.Context().Err()
	}}, ServerOptions{StopTimeout: time.Minute})
	s, err := client(t, addr, DialOptions{}).ReportPieceResult(t.Context())
	require.NoError(t, err)
	<-started
	begin := time.Now()
	require.NoError(t, stop())
	require.Less(t, time.Since(begin), 10*time.Second)
	<-handlerEnded
	_, err = s.Recv()
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
}

func TestStopCutsWhatDoesNotListen(t *testing.T) {
	started := make(chan struct{})
	addr, stop := serve(t, &fake{report: func(s schedulerpb.Scheduler_ReportPieceResultServer) error {
		close(started)
		_, err := s.Recv()
		return err
	}}, ServerOptions{StopTimeout: 50 * time.Millisecond})
	s, err := client(t, addr, DialOptions{}).ReportPieceResult(t.Context())
	require.NoError(t, err)
	<-started
	require.NoError(t, stop())
	_, err = s.Recv()
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
}

func TestPlaintextWarning(t *testing.T) {
	var out bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&out)
	log := logrus.NewEntry(logger)
	var w warner
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80", "localhost:80", "127.9.9.9:1"} {
		w.check(log, addr)
	}
	require.Empty(t, out.String())
	w.check(log, "10.0.0.1:80")
	w.check(log, "other.host:80")
	require.Equal(t, 1, strings.Count(out.String(), "INSECURE TRANSPORT"))
	require.Contains(t, out.String(), "10.0.0.1:80")
}

var _ grpc.ServiceRegistrar = (*Server)(nil)
