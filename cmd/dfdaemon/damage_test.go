package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces/store"
)

// The daemon's own probe finds a database that can't be opened, and lives.
func TestProbeOfThisBinary(t *testing.T) {
	dir := t.TempDir()
	probed := false
	open := func() *store.Store {
		o := storeOptions()
		probe := o.Probe
		o.Probe = func(ctx context.Context, dir string) error {
			probed = true
			return probe(ctx, dir)
		}
		o.Dir = dir
		s, err := store.Open(t.Context(), o)
		require.NoError(t, err)
		return s
	}
	require.NoError(t, open().Close())
	require.False(t, probed)
	require.NoError(t, os.Remove(filepath.Join(dir, "run")))
	require.NoError(t, open().Close())
	require.True(t, probed)
	require.NoDirExists(t, filepath.Join(dir, "aside"), "it was sound")

	require.NoError(t, os.WriteFile(filepath.Join(dir, "db", "MANIFEST"), []byte("damaged"), 0o600))
	s := open()
	defer s.Close()
	require.NoError(t, s.Usage().Uncached)
	require.DirExists(t, filepath.Join(dir, "aside", "db"))
}
