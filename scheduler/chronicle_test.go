package scheduler

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// catalogue is a manager that keeps what is noted of Tasks.
type catalogue struct {
	fakeManager
	mu    sync.Mutex
	kept  map[string]*managerpb.NoteTaskRequest
	notes int
	asked int
	// hold, until closed, keeps answers back.
	hold chan struct{}
}

func (c *catalogue) NoteTask(_ context.Context, m *managerpb.NoteTaskRequest) (*managerpb.NoteTaskReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notes++
	c.kept[m.Id] = m
	return &managerpb.NoteTaskReply{}, nil
}

func (c *catalogue) ResolveTask(ctx context.Context, m *managerpb.ResolveTaskRequest) (*managerpb.ResolveTaskReply, error) {
	select {
	case <-c.hold:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if k := c.kept[m.Id]; k != nil {
		return &managerpb.ResolveTaskReply{Facts: k.Facts, AccessOrder: k.AccessOrder}, nil
	}
	return nil, status.Error(codes.NotFound, "no such task")
}

// order returns what is kept of a Task.
func (c *catalogue) order(t *testing.T, id pieces.TaskID) []pieces.Extent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[string(id)] == nil {
		return nil
	}
	es, err := wire.ExtentsFrom(c.kept[string(id)].AccessOrder)
	require.NoError(t, err)
	return es
}

func serveCatalogue(t *testing.T, c *catalogue) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := grpc.NewServer()
	managerpb.RegisterManagerServer(srv, c)
	go func() { _ = srv.Serve(lis) }()
	t.Cleanup(srv.Stop)
	return lis.Addr().String()
}

func (d *fakeDaemon) touched(c content, es ...pieces.Extent) {
	d.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Body = &schedulerpb.PeerMessage_Touched{Touched: &schedulerpb.Touched{Extents: wire.ExtentsTo(es)}}
	})
}

// Tomorrow's first reader profits from today's: a scheduler that was started anew
// gives the order that its predecessor told the catalogue, also to a host that
// registered before the catalogue had answered.
func TestAccessOrdersOutliveTheirScheduler(t *testing.T) {
	cat := &catalogue{kept: map[string]*managerpb.NoteTaskRequest{}, hold: make(chan struct{})}
	close(cat.hold)
	o := Options{Managers: []string{serveCatalogue(t, cat)}, OrderEvery: 20 * time.Millisecond, YoungFor: time.Nanosecond}
	c := newContent(t, "http://example.com/f", 64)
	first := startServer(t, o)
	d := newDaemon(t, first.addr).open(quick)
	d.learn(c)
	d.register(c)
	d.touched(c, pieces.Extent{First: 40, End: 44}, pieces.Extent{First: 3, End: 5})
	want := []pieces.Extent{{First: 40, End: 44}, {First: 3, End: 5}}
	require.Eventually(t, func() bool { return len(cat.order(t, c.task.ID)) == 2 }, patience, 5*time.Millisecond)
	require.Equal(t, want, cat.order(t, c.task.ID))
	// What comes after the last round is told at the end.
	d.touched(c, pieces.Extent{First: 9, End: 10})
	want = append(want, pieces.Extent{First: 9, End: 10})
	require.Eventually(t, func() bool { return len(cat.order(t, c.task.ID)) == 3 }, patience, 5*time.Millisecond)
	d.hangUp()
	first.stop()

	cat.hold = make(chan struct{})
	again := startServer(t, o)
	early := newDaemon(t, again.addr).open(quick)
	require.Empty(t, early.register(c).AccessOrder, "the catalogue has not answered yet")
	early.touched(c, pieces.Extent{First: 60, End: 61})
	close(cat.hold)
	pushed := next(early, (*schedulerpb.SchedulerMessage).GetAccessOrder)
	got, err := wire.ExtentsFrom(pushed.Extents)
	require.NoError(t, err)
	require.Equal(t, want, got[:3])
	late := newDaemon(t, again.addr)
	require.Eventually(t, func() bool {
		got, err := wire.ExtentsFrom(late.register(c).AccessOrder)
		return err == nil && len(got) == 4
	}, patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { return len(cat.order(t, c.task.ID)) == 4 }, patience, 5*time.Millisecond)
	require.Equal(t, append(want, pieces.Extent{First: 60, End: 61}), cat.order(t, c.task.ID), "never replaced by first touches alone")
}

// An order that does not grow is told once, and no catalogue is asked without
// need.
func TestOrdersAreToldOnce(t *testing.T) {
	cat := &catalogue{kept: map[string]*managerpb.NoteTaskRequest{}, hold: make(chan struct{})}
	close(cat.hold)
	s := startServer(t, Options{Managers: []string{serveCatalogue(t, cat)}, OrderEvery: 10 * time.Millisecond})
	c := newContent(t, "http://example.com/f", 64)
	d := newDaemon(t, s.addr).open(quick)
	d.learn(c)
	d.register(c)
	d.touched(c, pieces.Extent{First: 1, End: 2})
	require.Eventually(t, func() bool { return cat.order(t, c.task.ID) != nil }, patience, 5*time.Millisecond)
	rounds := time.NewTimer(200 * time.Millisecond)
	<-rounds.C
	cat.mu.Lock()
	defer cat.mu.Unlock()
	require.Equal(t, 1, cat.notes)
	require.Equal(t, 1, cat.asked)
}
