package e2e

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// simulated is a host without a daemon: it speaks with one scheduler as a
// daemon does, over a connection of its own, and has neither store nor ports.
type simulated struct {
	pieces.Host
	w    *world
	rpc  schedulerpb.SchedulerClient
	stop func()

	sending sync.Mutex
	stream  schedulerpb.Scheduler_ReportPieceResultClient
}

// simulate makes a simulated host on from and announces it. No daemon is ever
// sent to it, for all its upload slots are in use.
func (w *world) simulate(ctx context.Context, from *lab.Host, s *lab.Scheduler, number int) (*simulated, error) {
	id := [16]byte{'s', 'i', 'm', byte(number >> 8), byte(number)}
	h := &simulated{w: w, Host: pieces.Host{
		ID: pieces.NewHostID(id), Hostname: from.Name, IP: from.IP, PeerPort: 1, UploadPort: 1, UploadSlots: 1, Uploads: 1}}
	conn, err := rpc.Dial(s.Addr, rpc.DialOptions{Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
		return from.Dial(ctx, "tcp", addr)
	}})
	if err != nil {
		return nil, err
	}
	h.stop = func() { conn.Close() }
	h.rpc = schedulerpb.NewSchedulerClient(conn)
	_, err = h.rpc.AnnounceHost(ctx, &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(h.Host)}, grpc.WaitForReady(true))
	if err != nil {
		h.stop()
	}
	return h, err
}

// open starts the host's stream, with the heartbeats the scheduler wants. What
// it says goes to heard, one message at a time; heard returns false to end the
// stream, which ends with ctx, too. lost is called when it ends otherwise.
func (h *simulated) open(ctx context.Context, heard func(*schedulerpb.SchedulerMessage) bool, lost func(error)) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	hangUp := h.stop
	h.stop = func() {
		cancel()
		running.Wait()
		hangUp()
	}
	var err error
	if h.stream, err = h.rpc.ReportPieceResult(ctx); err != nil {
		return err
	}
	if err := h.say(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Hello{Hello: &schedulerpb.Hello{HostId: string(h.ID)}}}); err != nil {
		return err
	}
	m, err := h.stream.Recv()
	if err != nil {
		return err
	}
	beat := time.Duration(m.GetWelcome().GetHeartbeatMs()) * time.Millisecond
	running.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_ = h.say(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}})
			}
		}
	})
	running.Go(func() {
		for {
			m, err := h.stream.Recv()
			if err != nil && ctx.Err() == nil {
				lost(err)
			}
			if err != nil || !heard(m) {
				cancel()
				return
			}
		}
	})
	return nil
}

// say sends a message; any goroutine may.
func (h *simulated) say(m *schedulerpb.PeerMessage) error {
	h.sending.Lock()
	defer h.sending.Unlock()
	return h.stream.Send(m)
}

// register makes the host a Peer of the current Version of a Task.
func (h *simulated) register(ctx context.Context, t *pieces.Task) (*schedulerpb.RegisterPeerTaskReply, error) {
	return h.rpc.RegisterPeerTask(ctx, &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(h.ID), Task: wire.TaskTo(t), CanFetch: true, OwnerTried: true})
}

// leave takes the host out of the scheduler.
func (h *simulated) leave(ctx context.Context) error {
	_, err := h.rpc.LeaveHost(ctx, &schedulerpb.LeaveHostRequest{HostId: string(h.ID)})
	return err
}

// addresses of parents.
func addresses(ps []*schedulerpb.Parent) (ips []string) {
	for _, p := range ps {
		ips = append(ips, p.Host.Ip)
	}
	slices.Sort(ips)
	return ips
}

// parents returns the addresses of those whom a host that registers now would
// follow.
func (w *world) parents(from *lab.Host, s *lab.Scheduler, t *pieces.Task) []string {
	w.Helper()
	w.probes++
	h, err := w.simulate(w.ctx, from, s, 0x8000+w.probes)
	w.ok(err)
	defer h.stop()
	r, err := h.register(w.ctx, t)
	w.ok(err)
	w.ok(h.leave(w.ctx))
	return addresses(r.Parents)
}

// task is the Task of a URL.
func (w *world) task(url string) *pieces.Task {
	w.Helper()
	t, err := pieces.NewTask(url, pieces.Options{}, nil)
	require.NoError(w, err)
	return t
}
