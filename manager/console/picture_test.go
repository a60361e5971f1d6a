package console

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

func TestPieceMap(t *testing.T) {
	some := func(pairs ...uint32) (es []*commonpb.Extent) {
		for i := 0; i < len(pairs); i += 2 {
			es = append(es, &commonpb.Extent{First: pairs[i], End: pairs[i+1]})
		}
		return es
	}
	require.Equal(t, pieceMap{}, newPieceMap(nil, 0))
	require.Equal(t, pieceMap{Cells: 4, Runs: []run{{0, 1, 4}, {2, 2, 4}}}, newPieceMap(some(0, 1, 2, 4), 4))
	require.Equal(t, pieceMap{Cells: 4}, newPieceMap(some(7, 9, 3, 2), 4), "outside, and backwards")
	require.Equal(t, pieceMap{Cells: mapCells, Runs: []run{{0, mapCells, 4}}}, newPieceMap(some(0, 100_003), 100_003), "all")
	half := newPieceMap(some(0, 1, 500, 1000), 1000)
	require.Equal(t, []run{{0, 1, 1}, {100, 100, 4}}, half.Runs)
	for _, n := range []int{1, 199, 200, 201, 399, 16384} {
		m, held := newPieceMap(some(0, uint32(n)), n), 0
		for _, r := range m.Runs {
			require.Equal(t, 4, r.Full, n)
			held += r.Width
		}
		require.Equal(t, m.Cells, held, n)
	}
}

func TestGraphShowsLevelsAndFlows(t *testing.T) {
	s := &commonpb.Swarm{Pieces: 10, PeerCount: 4, Peers: []*commonpb.SwarmPeer{
		{HostId: "s", Hostname: "seed", Seed: true, Held: 10, Complete: true},
		{HostId: "a", Hostname: "ada", Held: 5, Parents: []string{"s"}},
		{HostId: "b", Hostname: "bell", Parents: []string{"a", "s"}},
		{HostId: "x", Hostname: "far"},
	}, Flows: []*commonpb.SwarmFlow{
		{From: "", To: "s", Rate: 1 << 20}, {From: "a", To: "b", Rate: 1 << 20, Bytes: 5}, {From: "b", To: "a", Rate: 0, Bytes: 9}, {From: "gone", To: "a", Rate: 5},
	}}
	g := newGraph(s)
	y := map[string]int{}
	for _, n := range g.Nodes {
		y[n.ID] = n.Y
		require.True(t, n.X > 0 && n.X < g.Width && n.Y < g.Height)
	}
	require.Less(t, y[origin], y["s"])
	require.Less(t, y["s"], y["a"])
	require.Equal(t, y["a"], y["b"], "both get from the seed or follow it")
	require.Less(t, y["a"], y["x"], "who is connected to nobody comes last")
	classes := map[string]int{}
	for _, e := range g.Edges {
		classes[e.Class]++
	}
	require.Equal(t, map[string]int{"fromorigin": 1, "exchange": 1, "follows": 2}, classes, "a flow hides the edge of the DAG beside it; what is still or unknown is not drawn")
	require.Equal(t, g, newGraph(s), "the same swarm, the same picture")
}

func TestGraphIsBounded(t *testing.T) {
	s := &commonpb.Swarm{Pieces: 100, PeerCount: 20_000}
	for i := range 1000 {
		id := fmt.Sprintf("%04d", i)
		s.Peers = append(s.Peers, &commonpb.SwarmPeer{HostId: id, Hostname: id, Parents: []string{fmt.Sprintf("%04d", (i+1)%1000)}})
		for k := range 8 {
			s.Flows = append(s.Flows, &commonpb.SwarmFlow{From: id, To: fmt.Sprintf("%04d", (i*7+k)%1000), Rate: float64(i)})
		}
	}
	p := picture(s)
	require.Len(t, p.Graph.Nodes, maxNodes+1)
	require.Equal(t, 20_000-maxNodes, p.Graph.Hidden)
	require.LessOrEqual(t, len(p.Graph.Edges), maxNodes*maxNodes)
	require.Len(t, p.Rows, flowsShown)
	require.Len(t, p.Peers, maxNodes)
}

func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{-1: "unknown", 0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 64 << 20: "64 MiB", 9<<30 + 1<<29: "9.5 GiB", 1 << 62: "4.0 EiB"} {
		require.Equal(t, want, size(n))
	}
	require.Equal(t, "1,234,567 bytes", exact(1234567))
	require.Equal(t, "-1,234", count(-1234))
	require.Equal(t, "123", count(uint32(123)))
	require.Equal(t, 99, percent(9999, 10000), "100 means all")
	require.Equal(t, 0, percent(5, 0))
	require.Equal(t, 100, percent(7, 5))
	require.Equal(t, "–", stamp(nil))
	require.Equal(t, "in 5 min", ago(-5*time.Minute))
	require.Equal(t, "3 days ago", ago(80*time.Hour))
	require.Equal(t, "ab", short("ab"))
	require.Equal(t, []string{"1h", "1h30m", "10m", "5s", "1h0m5s"}, []string{length(time.Hour), length(90 * time.Minute), length(10 * time.Minute), length(5 * time.Second), length(time.Hour + 5*time.Second)})
	require.Equal(t, "0–3, 1,000", order([]uint32{0, 4, 1000, 1001}))
	require.Equal(t, "0, 0, 0, 0, 0, 0, 0, 0, …", order([]uint32{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}))
}

func TestNextIsAPathOfOurs(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/hosts?x=1": "/hosts?x=1", "//evil.example": "/", "https://evil.example/": "/", "javascript:alert(1)": "/", `/\evil.example`: "/", "hosts": "/", "/%zz": "/",
	} {
		require.Equal(t, want, nextPath(next), next)
	}
}

func TestConfigOfUnknownKeysStays(t *testing.T) {
	of := func(m map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(m)
		require.NoError(t, err)
		return s
	}
	c := &managerpb.ClusterConfig{
		Effective: of(map[string]any{"a": map[string]any{"n": 1, "on": true, "text": "x", "deep": map[string]any{"m": 2}}}),
		Changes:   of(map[string]any{"later": 5, "a": map[string]any{"n": 1}}),
	}
	f := filledConfigForm(c, url.Values{"a.n": {""}, "a.on": {"false"}, "a.deep.m": {"3.5"}})
	require.False(t, f.failed())
	require.Equal(t, map[string]any{"later": 5.0, "a": map[string]any{"on": false, "deep": map[string]any{"m": 3.5}}}, f.changes.AsMap())
	for _, wrong := range []string{"x", "NaN", "Inf"} {
		require.True(t, filledConfigForm(c, url.Values{"a.n": {wrong}}).failed(), wrong)
	}
	require.True(t, filledConfigForm(c, url.Values{"a.on": {"perhaps"}}).failed())
}
