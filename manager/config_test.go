package manager

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/scheduler/swarm"
)

func TestConfigIsDefaultsAndChanges(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	get := func() (uint64, ClusterConfig) {
		reply, err := m.GetConfig(t.Context(), &managerpb.GetConfigRequest{})
		require.NoError(t, err)
		var c ClusterConfig
		require.NoError(t, json.Unmarshal([]byte(reply.Config), &c))
		return reply.Version, c
	}
	version, c := get()
	require.EqualValues(t, 1, version)
	require.Equal(t, DefaultClusterConfig(), c)
	require.EqualValues(t, 1, m.beat(t, "10.0.0.1:8002", "").ConfigVersion)

	_, err := m.store.PutConfig(t.Context(), DefaultCluster,
		`{"scheduler":{"weights":{"host_type":0.5}},"blocklist":{"tags":["bad"]},"later":{"x":1}}`, 0)
	require.NoError(t, err)
	version, c = get()
	want := DefaultClusterConfig()
	want.Scheduler.Weights.HostType = 0.5
	want.Blocklist.Tags = []string{"bad"}
	require.Equal(t, want, c)
	require.EqualValues(t, 2, version)
	require.Eventually(t, func() bool { return m.beat(t, "10.0.0.1:8002", "").ConfigVersion == 2 }, 10*time.Second, 10*time.Millisecond)
}

// Rules reach schedulers as they were set.
func TestRulesAreToldToSchedulers(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	_, err := m.store.PutConfig(t.Context(), DefaultCluster, `{"scheduler":{"rules":{"max_hosts":5000,"lease_silence":"2s"}}}`, 0)
	require.NoError(t, err)
	reply, err := m.GetConfig(t.Context(), &managerpb.GetConfigRequest{})
	require.NoError(t, err)
	require.Contains(t, reply.Config, `"rules":{"lease_silence":"2s","max_hosts":5000}`)
}

// The manager tells the defaults, the schedulers have them: they are the same.
func TestDefaultsAreTheSchedulers(t *testing.T) {
	c, o := DefaultClusterConfig().Scheduler, swarm.Defaults()
	require.Equal(t, o.CandidateParentLimit, c.CandidateParentLimit)
	require.Equal(t, o.FilterParentLimit, c.FilterParentLimit)
	require.Equal(t, o.Weights, swarm.Weights{
		FinishedPiece: c.Weights.FinishedPiece, UploadSuccess: c.Weights.HostUploadSuccess, FreeUpload: c.Weights.FreeUpload,
		HostType: c.Weights.HostType, IDCAffinity: c.Weights.IDCAffinity, LocationAffinity: c.Weights.LocationAffinity,
	})
}

func TestChangesAreChecked(t *testing.T) {
	task, host := strings.Repeat("ab", 32), string(seedHost.ID)
	for text, want := range map[string]string{
		`{}`: "", `{"scheduler":{"candidate_parent_limit":8,"weights":{"host_type":0}}}`: "",
		`{"blocklist":{"tasks":["` + task + `"],"tags":["x"],"hosts":["` + host + `"]}}`:     "",
		`{"scheduler":{"candidate_parent_limit":0}}`:                                         "candidate_parent_limit is 0",
		`{"scheduler":{"filter_parent_limit":101}}`:                                          "filter_parent_limit is 101",
		`{"scheduler":{"filter_parent_limit":"4"}}`:                                          "filter_parent_limit",
		`{"scheduler":{"weights":{"host_type":-1}}}`:                                         "weight host_type is -1",
		`{"scheduler":{"weights":{"hosttype":1}}}`:                                           `unknown field "hosttype"`,
		`{"scheduler":{"rules":{"max_hosts":5000,"lease_silence":"2s","policy":"classic"}}}`: "",
		`{"scheduler":{"rules":{"max_hosts":0}}}`:                                            "rule max_hosts",
		`{"scheduler":{"rules":{"max_host":5}}}`:                                             "rule max_host is not known",
		`{"blocklist":{"tasks":["x"]}}`:                                                      "blocklist",
		`{"blocklist":{"hosts":["x"]}}`:                                                      "blocklist",
		`{"blocklist":{"tags":[""]}}`:                                                        "a tag is empty",
		`[]`:                                                                                 "config",
		`{}{}`:                                                                               "more than one",
		`{"blocklist":{"tags":[` + strings.Repeat(`"a",`, maxBlocklist) + `"a"]}}`:           "at most 10000",
		strings.Repeat(" ", maxConfig) + "{}":                                                "longer than",
	} {
		err := checkChanges([]byte(text))
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), text)
		require.ErrorContains(t, err, want)
	}
}

// What one manager changes reaches the watchers of another within a second.
func TestAChangedConfigIsPushed(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		a, b := start(t, db, Options{}), start(t, db, Options{})
		stream, err := b.WatchConfig(t.Context(), &managerpb.WatchConfigRequest{})
		require.NoError(t, err)
		first, err := stream.Recv()
		require.NoError(t, err)
		require.EqualValues(t, 1, first.Version)
		for i := range 3 {
			_, err = a.store.PutConfig(t.Context(), DefaultCluster, fmt.Sprintf(`{"scheduler":{"candidate_parent_limit":%d}}`, i+1), uint64(i))
			require.NoError(t, err)
			at := time.Now()
			got, err := stream.Recv()
			require.NoError(t, err)
			require.EqualValues(t, i+2, got.Version)
			var c ClusterConfig
			require.NoError(t, json.Unmarshal([]byte(got.Config), &c))
			require.Equal(t, i+1, c.Scheduler.CandidateParentLimit)
			t.Logf("heard of it after %s", time.Since(at))
		}
		// Who knows the current one hears of the next only.
		stream, err = b.WatchConfig(t.Context(), &managerpb.WatchConfigRequest{Version: 4})
		require.NoError(t, err)
		_, err = a.store.PutConfig(t.Context(), "other", `{}`, 0)
		require.NoError(t, err)
		_, err = a.store.PutConfig(t.Context(), DefaultCluster, `{}`, 3)
		require.NoError(t, err)
		got, err := stream.Recv()
		require.NoError(t, err)
		require.EqualValues(t, 5, got.Version)
	})
}
