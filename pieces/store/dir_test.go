package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

func TestDataDirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	_, err := Open(context.Background(), Options{Dir: dir})
	require.Equal(t, pieces.Exists, pieces.KindOf(err))
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	require.NoError(t, s.Close())
	openStore(t, Options{Dir: dir})
}

func TestOtherFormatIsMovedAside(t *testing.T) {
	for name, format := range map[string]string{"newer": fmt.Sprintln(storeFormat + 1), "garbage": "\x00\xff", "missing": ""} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
			s := openStore(t, Options{Dir: dir})
			v := openVersion(t, s, c)
			c.putAll(t, v)
			require.NoError(t, s.Close())
			marker := filepath.Join(dir, "format")
			if format == "" {
				require.NoError(t, os.Remove(marker))
			} else {
				require.NoError(t, os.WriteFile(marker, []byte(format), 0o600))
			}

			s = openStore(t, Options{Dir: dir})
			require.Empty(t, s.Versions())
			require.Zero(t, s.Usage().Used)
			kept, err := os.ReadDir(filepath.Join(dir, "aside", "content"))
			require.NoError(t, err)
			require.Len(t, kept, 1, "whoever knows the format can have it back")
			c.putAll(t, openVersion(t, s, c))
		})
	}
}

func TestDamagedDatabaseStartsCold(t *testing.T) {
	dir := t.TempDir()
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	s := openStore(t, Options{Dir: dir})
	c.putAll(t, openVersion(t, s, c))
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "db", "MANIFEST"), []byte("this was a manifest"), 0o600))

	s = openStore(t, Options{Dir: dir})
	require.Empty(t, s.Versions())
	require.FileExists(t, filepath.Join(dir, "aside", "db", "MANIFEST"))
	files, err := os.ReadDir(filepath.Join(dir, "content"))
	require.NoError(t, err)
	require.Empty(t, files, "bytes that nothing vouches for are unlinked")
	c.putAll(t, openVersion(t, s, c))
}

func TestLeftoversAreRemovedAtOpen(t *testing.T) {
	dir := t.TempDir()
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	s := openStore(t, Options{Dir: dir})
	v := openVersion(t, s, c)
	c.putAll(t, v)
	v.v.mu.Lock()
	v.v.gone = true // so that Close does not write it again
	v.v.mu.Unlock()
	require.NoError(t, s.deleteKeys(nil, [][]byte{versionKey(1)}, nil))
	require.NoError(t, s.Close())
	stray := filepath.Join(dir, "content", "00000000000000ff")
	require.NoError(t, os.WriteFile(stray, []byte("x"), 0o600))

	s = openStore(t, Options{Dir: dir})
	require.Empty(t, s.Versions())
	require.NoFileExists(t, stray)
	files, err := os.ReadDir(filepath.Join(dir, "content"))
	require.NoError(t, err)
	require.Empty(t, files)
	v = openVersion(t, s, c)
	c.putAll(t, v)
	c.requirePieces(t, v, 0, 1)
}

func TestLostOrCutContentFileIsDropped(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"lost before open": os.Remove,
		"cut":              func(path string) error { return os.Truncate(path, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
			s := openStore(t, Options{Dir: dir})
			c.putAll(t, openVersion(t, s, c))
			require.NoError(t, s.Close())
			require.NoError(t, damage(dataDir(dir).contentFile(1)))
			s = openStore(t, Options{Dir: dir})
			v := openVersion(t, s, c)
			require.Zero(t, v.Held().Count())
			require.Zero(t, s.Usage().Used)
			c.putAll(t, v)
			c.requirePieces(t, v, 0, 1)
		})
	}
}

func TestContentFileLostWhileRunning(t *testing.T) {
	dir := t.TempDir()
	var told evictions
	s := openStore(t, Options{Dir: dir, BeforeEvict: told.add})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	require.NoError(t, v.Close())
	require.NoError(t, os.Remove(dataDir(dir).contentFile(1)))
	v = openVersion(t, s, c)
	require.Zero(t, v.Held().Count())
	require.Equal(t, []eviction{{c.key, []pieces.Extent{{First: 0, End: 2}}, true}}, told.list())
}

func TestOpenNamesBadOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no directory": {},
		"watermarks":   {Dir: t.TempDir(), HighWater: 0.5, LowWater: 0.6},
		"size":         {Dir: t.TempDir(), CacheSize: -1},
	} {
		_, err := Open(context.Background(), o)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
}
