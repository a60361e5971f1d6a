package manager

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
)

// fakeCensus is the scheduler of one Task.
type fakeCensus struct {
	schedulerpb.UnimplementedCensusServer
	task  string
	asked atomic.Int32
}

func (f *fakeCensus) GetSwarm(_ context.Context, m *schedulerpb.GetSwarmRequest) (*schedulerpb.GetSwarmReply, error) {
	f.asked.Add(1)
	if m.Task != f.task {
		return nil, pieces.Errorf(pieces.NotFound, "nobody takes part")
	}
	return &schedulerpb.GetSwarmReply{Versions: []*commonpb.Swarm{{Task: m.Task, PeerCount: 3}}}, nil
}

func (f *fakeCensus) GetTotals(context.Context, *schedulerpb.GetTotalsRequest) (*commonpb.SchedulerTotals, error) {
	return &commonpb.SchedulerTotals{OriginBytes: 10, PeerBytes: 90}, nil
}

// serve starts a gRPC server with the fake on it and returns its address.
func (f *fakeCensus) serve(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{})
	schedulerpb.RegisterCensusServer(srv, f)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, lis) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return lis.Addr().String()
}

func TestSwarmAndTrafficComeFromSchedulers(t *testing.T) {
	now := atomic.Int64{}
	now.Store(time.Now().UnixNano())
	s := startSite(t, tempDB(t), Options{
		Now: func() time.Time { return time.Unix(0, now.Load()) },
	})
	task := strings.Repeat("ab", 32)
	one, other := &fakeCensus{task: task}, &fakeCensus{}
	here := one.serve(t)
	s.beat(t, here, "default")
	s.beat(t, other.serve(t), "eu")
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := dead.Addr().String()
	require.NoError(t, dead.Close())
	s.beat(t, gone, "eu")

	a := s.ok(t, "GET", "/api/v1/tasks/"+task+"/swarm", "")
	swarms := a.body["swarms"].([]any)
	require.Len(t, swarms, 1, a.text)
	require.Equal(t, here, swarms[0].(map[string]any)["scheduler"])
	require.Equal(t, []any{gone}, a.body["silent"])
	s.ok(t, "GET", "/api/v1/tasks/"+task+"/swarm", "")
	require.EqualValues(t, 1, one.asked.Load(), "two who look at once cost one question")
	now.Add(int64(glanceTTL))
	s.ok(t, "GET", "/api/v1/tasks/"+task+"/swarm", "")
	require.EqualValues(t, 2, one.asked.Load())

	a = s.ok(t, "GET", "/api/v1/traffic", "")
	require.Len(t, a.body["schedulers"], 2, a.text)
	require.Equal(t, []any{gone}, a.body["silent"])

	require.Empty(t, s.ok(t, "GET", "/api/v1/tasks/"+strings.Repeat("cd", 32)+"/swarm", "").body["swarms"])
	require.Equal(t, 400, s.do(t, "GET", "/api/v1/tasks/x/swarm", "").status)
	require.Equal(t, 400, s.do(t, "GET", "/api/v1/tasks/"+task+"/swarm?max_peers=1001", "").status)
}
