package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What was kept within the database and would have a file now, or the other way
// round, is dropped whole, and can be put again.
func TestAnotherInlineLimit(t *testing.T) {
	for _, limits := range [][2]int64{{maxInline, 0}, {0, maxInline}} {
		dir := t.TempDir()
		moved, stays := makeContent(t, 1, 1, 100_000), makeContent(t, 2, 1, 1000)
		s := openStore(t, Options{Dir: dir, Inline: limits[0]})
		moved.putAll(t, openVersion(t, s, moved))
		stays.putAll(t, openVersion(t, s, stays))
		require.NoError(t, s.Close())

		s = openStore(t, Options{Dir: dir, Inline: limits[1]})
		require.Len(t, s.Versions(), 1)
		require.EqualValues(t, 1000, s.Usage().Used)
		files, err := os.ReadDir(filepath.Join(dir, "content"))
		require.NoError(t, err)
		require.Empty(t, files)
		stays.requirePieces(t, openVersion(t, s, stays), 0)
		v := openVersion(t, s, moved)
		require.False(t, v.Has(0))
		moved.putAll(t, v)
		require.NoError(t, s.Close())

		s = openStore(t, Options{Dir: dir, Inline: limits[1]})
		moved.requirePieces(t, openVersion(t, s, moved), 0)
		require.EqualValues(t, 101_000, s.Usage().Used)
	}
}

// A Version that is completed again and again before it is vouched for waits
// once.
func TestTrustIsAskedForOnce(t *testing.T) {
	j := &janitor{trusts: make(chan struct{}, 1)}
	j.completed.versions = map[*version]struct{}{}
	v := &version{}
	j.saveTrust(v)
	j.saveTrust(v)
	require.Len(t, j.completed.versions, 1)
}
