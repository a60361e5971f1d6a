package cluster

import (
	"context"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/manager"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/daemonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/scheduler"
)

// target is one method of a running service.
type target struct {
	conn   *grpc.ClientConn
	method protoreflect.MethodDescriptor
}

func (t target) path() string {
	return "/" + string(t.method.Parent().FullName()) + "/" + string(t.method.Name())
}

// noMounts is a control.Mounts that mounts nothing.
type noMounts struct{}

func (noMounts) Mount(context.Context, string, []string) error       { return nil }
func (noMounts) Unmount(context.Context, string, bool) (bool, error) { return false, nil }
func (noMounts) List() []control.MountInfo                           { return nil }

// services starts one of each and returns all their methods, in a fixed order,
// with a Task that all of them could know.
func services(f *testing.F) (targets []target, task *pieces.Task) {
	c := With(f, 1, func(o *scheduler.Options) { o.Dial = rpc.DialOptions{ConnectTimeout: 50 * time.Millisecond} })
	h := c.Host(func(o *daemon.Options) {
		o.Seed, o.FactsTimeout = true, 200*time.Millisecond
		// Nothing outside this machine is asked.
		o.Source.Deny = func(a netip.Addr) bool { return !a.IsLoopback() }
	})
	origin := newOrigin(f, 3<<20+5)
	task, err := h.Control().NewTask(origin.URL+"/f", pieces.Options{})
	require.NoError(f, err)
	require.Eventually(f, func() bool { // the short deadline is meant for what follows
		_, err = h.Fetch(f.Context(), origin.URL+"/f", pieces.Options{})
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)

	db, err := store.Open(f.Context(), "sqlite:"+filepath.Join(f.TempDir(), "m.db"))
	require.NoError(f, err)
	f.Cleanup(func() { db.Close() })
	m, err := manager.New(manager.Options{Store: db})
	require.NoError(f, err)
	srv, lis := rpc.NewServer(rpc.ServerOptions{}), listen(f)
	m.Register(srv)
	c.run(func(ctx context.Context) error { return srv.Serve(ctx, lis) }, m.Run)

	socket := filepath.Join(f.TempDir(), "d.sock")
	ctl, err := control.Listen(socket, false)
	require.NoError(f, err)
	cs := control.NewServer(control.Options{Engine: h.Control(), Mounts: noMounts{}})
	f.Cleanup(func() { ctl.Close() })
	c.run(func(ctx context.Context) error { return cs.Serve(ctx, ctl) })

	dial := func(conn *grpc.ClientConn, err error) *grpc.ClientConn {
		require.NoError(f, err)
		f.Cleanup(func() { conn.Close() })
		return conn
	}
	add := func(conn *grpc.ClientConn, service string) {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		require.NoError(f, err)
		ms := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range ms.Len() {
			targets = append(targets, target{conn, ms.Get(i)})
		}
	}
	add(dial(rpc.Dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(h.Daemon.Host().PeerPort)), rpc.DialOptions{})), daemonpb.Peer_ServiceDesc.ServiceName)
	add(dial(rpc.DialUnix(socket, rpc.DialOptions{})), daemonpb.Control_ServiceDesc.ServiceName)
	add(dial(rpc.Dial(lis.Addr().String(), rpc.DialOptions{})), managerpb.Manager_ServiceDesc.ServiceName)
	add(dial(rpc.Dial(c.Schedulers[0].Addr, rpc.DialOptions{})), schedulerpb.Scheduler_ServiceDesc.ServiceName)
	return targets, task
}

// callTime is given to each call; what still waits then is fine.
const callTime = 150 * time.Millisecond

// FuzzServices sends every method of every service whatever messages there can
// be, and streams in any order. None panics, none answers Internal or Unknown,
// and the services go on: the last call of each input is answered as before.
func FuzzServices(f *testing.F) {
	targets, task := services(f)
	words := []string{
		"", string(task.ID), task.URL, "10.9.8.7", "127.0.0.1", "127.0.0.1:1", "h1",
		string(pieces.NewHostID([16]byte{5})), string(pieces.NewHostID([16]byte{6})),
		string((pieces.Facts{Size: 8 << 18, Ranges: true}).VersionID()),
		"sha256:" + strings.Repeat("0", 64), "../..", "/mnt/x", "by-name/x", "a|b|c", "k=v",
		"http://127.0.0.1:1/nothing", "http://[::1", "ftp://x/y", "\x00\u00e9\ufffd", strings.Repeat("x", 3000),
	}
	for i := range targets {
		for n := range uint64(3) {
			f.Add(uint8(i), randomScript(uint64(i)<<8|n))
		}
		f.Add(uint8(i), []byte(nil))
	}
	before := runtime.NumGoroutine()
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		tg := targets[int(which)%len(targets)]
		m := &maker{script: &script{b}, strings: words}
		ctx, cancel := context.WithTimeout(t.Context(), callTime)
		defer cancel()
		err := tg.call(ctx, m)
		switch code := status.Code(err); {
		case pieces.KindOf(err) == pieces.Internal && err != nil && ctx.Err() == nil,
			code == codes.Internal, code == codes.DataLoss:
			t.Fatalf("%s answers %v", tg.path(), err)
		}
		if n := runtime.NumGoroutine(); n > before+2000 {
			t.Fatalf("%d goroutines, %d at first", n, before)
		}
	})
}

// call makes one call, or a stream of up to six messages with pauses between
// none of them, and returns how it ended.
func (t target) call(ctx context.Context, m *maker) error {
	in, out := t.method.Input(), t.method.Output()
	if !t.method.IsStreamingClient() && !t.method.IsStreamingServer() {
		return t.conn.Invoke(ctx, t.path(), m.message(in), dynamicpb.NewMessage(out))
	}
	s, err := t.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: t.method.IsStreamingClient(), ServerStreams: true}, t.path())
	if err != nil {
		return err
	}
	n := 1
	if t.method.IsStreamingClient() {
		n = 1 + m.next()%6
	}
	for range n {
		if s.SendMsg(m.message(in)) != nil {
			break
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for {
		switch err := s.RecvMsg(dynamicpb.NewMessage(out)); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
