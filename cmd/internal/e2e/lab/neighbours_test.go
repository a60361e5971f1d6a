package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoomForNeighboursIsOnlyRaised(t *testing.T) {
	dir := t.TempDir()
	put := func(name, value string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o644))
	}
	get := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(b)
	}
	require.NoError(t, roomForNeighbours(dir+"/"), "a container has no such files")
	put("gc_thresh1", "128")
	put("gc_thresh2", "512")
	put("gc_thresh3", "1000000")
	require.NoError(t, roomForNeighbours(dir+"/"))
	require.Equal(t, "62500", get("gc_thresh1"))
	require.Equal(t, "62500", get("gc_thresh2"))
	require.Equal(t, "1000000\n", get("gc_thresh3"))
	put("gc_thresh2", "many")
	require.Error(t, roomForNeighbours(dir+"/"))
}
