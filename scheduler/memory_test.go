package scheduler

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/wire"
)

// A scheduler that starts while no manager answers goes on with what it was told
// in its last run: config with blocklist, seeds and ring.
func TestAStartWithoutTheManager(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scheduler.json")
	seed := pieces.Host{ID: pieces.NewHostID([16]byte{9}), IP: "127.0.0.1", PeerPort: 4, UploadPort: 5, Type: pieces.SeedHost, IDC: "eu"}
	blocked := pieces.NewHostID([16]byte{7})
	f := &fakeManager{
		serial: 5, config: `{"scheduler":{"candidate_parent_limit":2},"blocklist":{"hosts":["` + string(blocked) + `"]}}`,
		seeds: []*commonpb.Host{wire.HostTo(seed)}, ring: []string{"127.0.0.1:9", "127.0.0.1:8"},
	}
	s := startServer(t, Options{Managers: []string{serveManager(t, f)}, StateFile: file})
	require.Eventually(t, func() bool {
		_, ok, err := (&memory{file: file}).read("default")
		return err == nil && ok && s.config.Load().version == 5 && s.fellows.others()
	}, patience, 5*time.Millisecond)
	s.stop()

	begin := func(o Options) *Server {
		t.Helper()
		o.Advertise, o.Managers, o.StateFile = "127.0.0.1:7", []string{"127.0.0.1:1"}, file
		s, err := New(o)
		require.NoError(t, err)
		return s
	}
	again := begin(Options{})
	c := again.config.Load()
	require.Equal(t, 2, c.swarm.CandidateParentLimit)
	require.Error(t, c.allowHost(blocked))
	require.Zero(t, c.version, "the manager is asked when it is back")
	require.Equal(t, []pieces.Host{seed}, again.hosts.listed)
	require.True(t, again.fellows.others())

	require.False(t, begin(Options{Peers: []string{"127.0.0.1:7"}}).fellows.others(), "--peers wins")
	other := begin(Options{Cluster: "eu"})
	require.Empty(t, other.hosts.listed, "that was another cluster's")
	for _, damaged := range []string{"", "{", `{"cluster":"default","config":"{","ring":["x"],"seeds":[1,{"id":"x"}]}`} {
		require.NoError(t, os.WriteFile(file, []byte(damaged), 0o600))
		s := begin(Options{})
		require.Empty(t, s.hosts.listed)
		require.False(t, s.fellows.others())
		require.Equal(t, 4, s.config.Load().swarm.CandidateParentLimit)
	}
}

// What is the same is not written again; a place that can't be written stops
// nothing.
func TestMemoryIsWrittenOnNews(t *testing.T) {
	dir := t.TempDir()
	m := &memory{file: filepath.Join(dir, "s.json")}
	host := []*commonpb.Host{wire.HostTo(pieces.Host{ID: pieces.NewHostID([16]byte{9}), IP: "10.0.0.1", Labels: map[string]string{"a": "b", "c": "d"}})}
	note := func() error { return m.note("default", func(a *answers) { a.Seeds = seedTexts(host) }) }
	require.NoError(t, note())
	require.NoError(t, os.Remove(m.file))
	for range 20 {
		require.NoError(t, note())
		require.NoFileExists(t, m.file)
	}
	require.NoError(t, m.note("default", func(a *answers) { a.Config = "{}" }))
	require.FileExists(t, m.file)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
	require.Error(t, (&memory{file: filepath.Join(dir, "none", "s.json")}).note("default", func(*answers) {}))
}
