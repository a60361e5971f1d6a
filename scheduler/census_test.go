package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// heardAll returns when the scheduler has taken all that d said before.
func (d *fakeDaemon) heardAll(c content) {
	d.t.Helper()
	d.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Version = "00000000000000000000000000000000"
		m.Body = &schedulerpb.PeerMessage_Cancel{Cancel: &schedulerpb.Cancel{}}
	})
	next(d, getRejected)
}

func TestCensus(t *testing.T) {
	s := startServer(t, Options{Heartbeat: quick})
	a, b := newDaemon(t, s.addr, func(h *pieces.Host) { h.Type = pieces.SeedHost; h.Hostname = "seed" }).open(quick), newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/census", 4)
	conn, err := rpc.Dial(s.addr, rpc.DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	eyes := schedulerpb.NewCensusClient(conn)
	ask := func() []*commonpb.Swarm {
		t.Helper()
		r, err := eyes.GetSwarm(t.Context(), &schedulerpb.GetSwarmRequest{Task: string(c.task.ID)})
		require.NoError(t, err)
		return r.Versions
	}
	for request, want := range map[*schedulerpb.GetSwarmRequest]pieces.Kind{
		{Task: string(c.task.ID)}:                 pieces.NotFound,
		{Task: "../x"}:                            pieces.Invalid,
		{Task: string(c.task.ID), MaxPeers: 1001}: pieces.Invalid,
	} {
		_, err := eyes.GetSwarm(t.Context(), request)
		require.Equal(t, want, pieces.KindOf(err), "%v", request)
	}

	a.register(c)
	b.register(c)
	require.Empty(t, ask()[0].Flows)
	a.want(c, 0, 4)
	lease := next(a, getLease)
	a.held(c, pieces.Extent{First: 0, End: 3}, lease.Id)
	a.heardAll(c)
	b.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Body = &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{
			Extents: wire.ExtentsTo([]pieces.Extent{{First: 1, End: 3}}), Rate: 5e6,
			Costs: []*schedulerpb.ParentCost{{HostId: string(a.host.ID), MsPerMib: 1}, {HostId: string(a.host.ID), MsPerMib: 2}},
		}}
	})
	b.heardAll(c)

	v := ask()[0]
	require.Equal(t, s.addr, v.Scheduler)
	require.Equal(t, c.version(), v.Version)
	require.EqualValues(t, 4, v.Pieces)
	require.EqualValues(t, 2, v.PeerCount)
	require.Zero(t, v.CompleteCount)
	require.Len(t, v.Peers, 2)
	seed, child := v.Peers[0], v.Peers[1]
	require.Equal(t, string(a.host.ID), seed.HostId, "who reads the origin comes first")
	require.True(t, seed.Seed)
	require.Equal(t, "seed", seed.Hostname)
	require.EqualValues(t, 1, seed.Leases)
	require.EqualValues(t, 3, seed.Held)
	require.Equal(t, []string{string(a.host.ID)}, child.Parents)
	require.Equal(t, 5e6, child.BestRate)
	require.Len(t, child.Extents, 1)
	require.EqualValues(t, 3, child.Extents[0].End)
	got := map[string]int64{}
	for _, f := range v.Flows {
		got[f.From+">"+f.To] = f.Bytes
		require.Positive(t, f.Rate)
	}
	require.Equal(t, map[string]int64{
		">" + string(a.host.ID): 3 * pieces.MinPieceSize, string(a.host.ID) + ">" + string(b.host.ID): 2 * pieces.MinPieceSize,
	}, got)

	totals, err := eyes.GetTotals(t.Context(), &schedulerpb.GetTotalsRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 3*pieces.MinPieceSize, totals.OriginBytes)
	require.EqualValues(t, 2*pieces.MinPieceSize, totals.SeedBytes)
	require.Zero(t, totals.PeerBytes)
	require.EqualValues(t, 1, totals.Tasks)
	require.EqualValues(t, 2, totals.Sessions)

	r, err := eyes.GetSwarm(t.Context(), &schedulerpb.GetSwarmRequest{Task: string(c.task.ID), MaxPeers: 1})
	require.NoError(t, err)
	require.Len(t, r.Versions[0].Peers, 1)
	require.EqualValues(t, 2, r.Versions[0].PeerCount)
}

func TestFlowsAreOfTheLastSeconds(t *testing.T) {
	t0 := time.Unix(1000, 0)
	f := newFlows(t0)
	at := func(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }
	k := flowKey{"v", "a", "b"}
	f.add(at(0.5), k, 100)
	f.add(at(2.5), k, 300)
	f.add(at(2.6), flowKey{"other", "a", "b"}, 1)
	require.Equal(t, []sent{{k, 400 / 3.0, 400}}, f.list(at(3), "v"))
	require.Equal(t, []sent{{k, 75, 400}}, f.list(at(5), "v")[:1], "the first 100 are over 4 s old")
	require.Equal(t, []sent{{k, 0, 400}}, f.list(at(60), "v"))
	f.add(at(60.5), k, 500)
	require.Equal(t, []sent{{k, 500 / 4.5, 900}}, f.list(at(60.5), "v"))
	for i := range maxFlows + 10 {
		f.add(at(61), flowKey{"v", pieces.HostID(rune(i)), "b"}, 1)
	}
	require.Equal(t, maxFlows, len(f.all), "bounded")
	f.list(at(90), "v")
	require.Zero(t, len(f.all), "still ones make room")
}
