package load

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// host is one simulated host.
type host struct {
	pieces.Host
	client schedulerpb.SchedulerClient
	// news is called with what the scheduler says to Peers of this host, on
	// the stream's goroutine; nil ignores it. Set it before the stream opens.
	news func(*schedulerpb.SchedulerMessage)

	mu     sync.Mutex // one Send at a time
	stream schedulerpb.Scheduler_ReportPieceResultClient
}

func (h *host) announce(ctx context.Context) error {
	_, err := h.client.AnnounceHost(ctx, &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(h.Host)})
	return err
}

// connect opens the host's stream, which lasts until ctx ends, and waits for
// its welcome. What comes in later is read by a goroutine of running.
func (h *host) connect(ctx context.Context, running *sync.WaitGroup, broken func(error)) (*schedulerpb.Welcome, error) {
	stream, err := h.client.ReportPieceResult(ctx, grpc.WaitForReady(true))
	if err != nil {
		return nil, err
	}
	hello := &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Hello{Hello: &schedulerpb.Hello{HostId: string(h.ID)}}}
	if err := stream.Send(hello); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	m, err := stream.Recv() // after an io.EOF: why
	if err != nil {
		return nil, err
	}
	if m.GetWelcome() == nil {
		return nil, pieces.Errorf(pieces.Invalid, "the scheduler's first message is no Welcome")
	}
	h.mu.Lock()
	h.stream = stream
	h.mu.Unlock()
	running.Go(func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				if ctx.Err() == nil {
					broken(err)
				}
				return
			}
			if h.news != nil && m.GetHeartbeat() == nil {
				h.news(m)
			}
		}
	})
	return m.GetWelcome(), nil
}

// say sends one message; without a stream nothing. What a broken stream died
// of, its reader learns (fleet.err).
func (h *host) say(m *schedulerpb.PeerMessage) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stream == nil {
		return nil
	}
	if err := h.stream.Send(m); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (h *host) beat() error {
	return h.say(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}})
}

// stat asks for the facts of c, and answers a facts lease with them.
func (h *host) stat(ctx context.Context, c *content) error {
	req := &schedulerpb.StatTaskRequest{HostId: string(h.ID), Task: c.taskPB, CanFetch: true}
	for {
		r, err := h.client.StatTask(ctx, req)
		switch {
		case err != nil:
			return err
		case r.LeaseId != 0:
			req.LeaseId, req.Facts = r.LeaseId, c.factsPB
			continue
		case r.Facts != nil:
			return nil
		}
		if err := sleep(ctx, time.Duration(r.WaitMs)*time.Millisecond); err != nil {
			return err
		}
	}
}

// register makes the host a Peer of c and returns the hosts it may follow.
func (h *host) register(ctx context.Context, c *content, held ...pieces.Extent) ([]*schedulerpb.Parent, error) {
	r, err := h.client.RegisterPeerTask(ctx, &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(h.ID), Task: c.taskPB, Version: string(c.key.Version), CanFetch: true, Held: wire.ExtentsTo(held)})
	if err != nil {
		return nil, err
	}
	return r.Parents, nil
}

func (h *host) leave(ctx context.Context, c *content) error {
	_, err := h.client.LeaveTask(ctx, &schedulerpb.LeaveTaskRequest{
		HostId: string(h.ID), Task: string(c.key.Task), Version: string(c.key.Version)})
	return err
}

// want says that the host lacks e and wants it to fill.
func (h *host) want(c *content, e pieces.Extent) error {
	return h.say(message(c, &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Want{Want: &schedulerpb.Want{
		Extents: wire.ExtentsTo([]pieces.Extent{e}), Class: wire.ClassTo(pieces.Fill)}}}))
}

// held says that the host has e now; from, if any, served it.
func (h *host) held(c *content, e pieces.Extent, from []*schedulerpb.ParentCost, sums ...pieces.SumRun) error {
	return h.say(message(c, &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{
		Extents: []*commonpb.Extent{wire.ExtentTo(e)}, Sums: wire.SumRunsTo(sums), Costs: from, Rate: 100e6 / 8}}}))
}

// message names the Peer that speaks.
func message(c *content, m *schedulerpb.PeerMessage) *schedulerpb.PeerMessage {
	m.Task, m.Version = string(c.key.Task), string(c.key.Version)
	return m
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
