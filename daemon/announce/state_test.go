package announce

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/proto/rpc"
)

// FuzzState: whatever stands in cluster.json, the daemon starts, and every
// address it takes from there can be dialled.
func FuzzState(f *testing.F) {
	dir := f.TempDir()
	file := filepath.Join(dir, "cluster.json")
	require.NoError(f, writeState(file, state{Schedulers: []string{"10.0.0.1:8002"}, Cluster: "c", ConfigVersion: 3, Config: "x"}))
	whole, err := os.ReadFile(file)
	require.NoError(f, err)
	f.Add(whole)
	for i := range whole {
		f.Add(whole[:i])
	}
	f.Add([]byte(`{"schedulers":["",":1","a:0","[::1]:8002"],"config_version":-1}`))
	f.Add([]byte("null"))
	log := logrus.New()
	log.SetOutput(io.Discard)
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "cluster.json")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		s := readState(file, logrus.NewEntry(log))
		for _, addr := range s.Schedulers {
			require.NoError(t, rpc.CheckAddress(addr))
		}
		require.NoError(t, writeState(file, s))
		again := readState(file, logrus.NewEntry(log))
		require.Equal(t, s.Schedulers, again.Schedulers)
		require.Equal(t, s.ConfigVersion, again.ConfigVersion)
	})
}
