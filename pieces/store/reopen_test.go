package store

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// comesBack waits until s has its disk.
func comesBack(t *testing.T, s *Store) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Usage().Uncached == nil }, 30*time.Second, time.Millisecond)
	require.True(t, s.Usage().Caching)
}

// A store that had to start without a disk gets it back under readers,
// writers and people who add and remove.
func TestCacheComesBackByItself(t *testing.T) {
	dir := t.TempDir()
	large, used, small := makeContent(t, 1, 1, 3*pieces.MinPieceSize), makeContent(t, 2, 2, 3*pieces.MinPieceSize), makeContent(t, 3, 3, 1000)
	stays, goes := Entry{Task: newTask(t, "https://example.org/stays", pieces.Options{}), Names: []string{"stays"}},
		Entry{Task: newTask(t, "https://example.org/goes", pieces.Options{}), Names: []string{"goes"}}
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	fill(t, s, large, small)
	v := openVersion(t, s, used)
	used.put(t, v, 0, 2)
	require.NoError(t, v.Close())
	require.NoError(t, s.PutEntry(stays))
	require.NoError(t, s.PutEntry(goes))
	require.NoError(t, s.Close())

	var tries, back atomic.Int32
	var fixed atomic.Bool
	s = openStore(t, Options{
		Dir: dir, BootID: "two", Reopen: time.Millisecond,
		Probe: func(context.Context, string) error {
			tries.Add(1)
			if !fixed.Load() {
				return unix.ENOMEM
			}
			return nil
		},
		Reopened: func() { back.Add(1) },
	})
	require.ErrorIs(t, s.Usage().Uncached, unix.ENOMEM)
	v = openVersion(t, s, used)
	require.Equal(t, pieces.Full, pieces.KindOf(v.Put(t.Context(), 1, used.piece(1), pieces.SumOf(used.piece(1)), host1)))
	_, err := s.Name("stays")
	require.NoError(t, err, "the catalogue is known without a cache")
	require.NoError(t, s.DeleteEntry(goes.Task.ID))
	added := Entry{Task: newTask(t, "https://example.org/added", pieces.Options{}), Names: []string{"added"}}
	require.NoError(t, s.PutEntry(added))
	require.Eventually(t, func() bool { return tries.Load() > 3 }, 30*time.Second, time.Millisecond, "nobody tries")

	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = s.Name("stays")
				_ = v.Put(ctx, 1, used.piece(1), pieces.SumOf(used.piece(1)), host1)
				_ = v.Sums(used.geo.All())
				_, _ = v.ReadAt(make([]byte, 100), 0)
				if o, err := s.OpenVersion(large.key, large.facts); err == nil {
					_, _ = o.ReadAt(make([]byte, 100), int64(i))
					o.Close()
				}
				_ = s.PutEntry(added)
			}
		})
	}
	fixed.Store(true)
	comesBack(t, s)
	cancel()
	wg.Wait()
	require.Eventually(t, func() bool { return back.Load() == 1 }, 10*time.Second, time.Millisecond)

	used.put(t, v, 1) // the handle from before caches, and has what was held
	used.requirePieces(t, v, 0, 1, 2)
	require.True(t, v.Complete())
	check := func() {
		t.Helper()
		large.requirePieces(t, openVersion(t, s, large), 0, 1, 2)
		small.requirePieces(t, openVersion(t, s, small), 0)
		names, err := s.Names()
		require.NoError(t, err)
		require.Equal(t, []string{"added", "stays"}, names)
		_, err = s.Entry(goes.Task.ID)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "what was removed is back")
	}
	check()
	require.Equal(t, int64(6*pieces.MinPieceSize+1000), s.Usage().Used)
	require.NoError(t, s.Close())

	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.Zero(t, s.dir.readRun().Deaths, "an attempt counted as a death")
	check()
	used.requirePieces(t, openVersion(t, s, used), 0, 1, 2)
}

// The disk was full, or read-only, when the store was opened.
func TestDiskComesBackByItself(t *testing.T) {
	full := func(t *testing.T, dir string) (mend func()) {
		filler := filepath.Join(dir, "somebody-else")
		f, err := os.Create(filler)
		require.NoError(t, err)
		defer f.Close()
		for unix.Fallocate(int(f.Fd()), 0, 0, fileSize(t, f)+64<<10) == nil {
		}
		return func() { require.NoError(t, os.Remove(filler)) }
	}
	readOnly := func(t *testing.T, dir string) func() {
		require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		return func() { require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT, "")) }
	}
	for name, spoil := range map[string]func(*testing.T, string) func(){"full": full, "read-only": readOnly} {
		t.Run(name, func(t *testing.T) {
			dir := tmpfs(t, 64<<20)
			mend := spoil(t, dir)
			s := openStore(t, Options{Dir: filepath.Join(dir, "store"), Reopen: time.Millisecond})
			require.Error(t, s.Usage().Uncached)
			c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
			v := openVersion(t, s, c)
			require.Equal(t, pieces.Full, pieces.KindOf(v.Put(t.Context(), 0, c.piece(0), pieces.SumOf(c.piece(0)), host1)))
			mend()
			comesBack(t, s)
			c.put(t, v, 0, 1)
			c.requirePieces(t, v, 0, 1)
			require.NoError(t, v.Close())
			require.NoError(t, s.Close())
		})
	}
}

func fileSize(t *testing.T, f *os.File) int64 {
	st, err := f.Stat()
	require.NoError(t, err)
	return st.Size()
}
