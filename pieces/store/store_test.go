package store

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

func TestPutAndReadBack(t *testing.T) {
	for name, size := range map[string]int{"inline": 1000, "one full piece": pieces.MinPieceSize, "content file": 3*pieces.MinPieceSize + 77} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, Options{Dir: dir})
			c := makeContent(t, 1, 1, size)
			v := openVersion(t, s, c)
			require.False(t, v.Complete())
			_, err := v.ReadAt(make([]byte, 10), 0)
			require.Equal(t, pieces.NotFound, pieces.KindOf(err))

			c.putAll(t, v)
			require.True(t, v.Complete())
			c.requirePieces(t, v, c.geo.Count()-1, 0)
			sum, setter, ok := v.Sum(0)
			require.True(t, ok)
			require.Equal(t, pieces.SumOf(c.piece(0)), sum)
			require.Equal(t, host1, setter)
			require.EqualValues(t, size, s.Usage().Used)
			require.True(t, s.Usage().Caching)

			require.NoError(t, v.Close())
			require.NoError(t, s.Close())
			s = openStore(t, Options{Dir: dir})
			require.EqualValues(t, size, s.Usage().Used)
			v = openVersion(t, s, c)
			require.True(t, v.Complete())
			for i := range c.geo.All().All() {
				c.requirePieces(t, v, i)
			}
		})
	}
}

func TestReadAtIsAnIOReaderAt(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize+100)
	v := openVersion(t, s, c)
	c.put(t, v, 1, 2)
	p := make([]byte, 300)
	n, err := v.ReadAt(p, int64(len(c.data)-200))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, c.data[len(c.data)-200:], p[:n])
	n, err = v.ReadAt(p, int64(len(c.data)))
	require.ErrorIs(t, err, io.EOF)
	require.Zero(t, n)
	_, err = v.ReadAt(p, pieces.MinPieceSize-1) // one byte of a piece that is not held
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	_, err = v.ReadAt(p, -1)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestEmptyContentIsComplete(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	v := openVersion(t, s, makeContent(t, 1, 1, 0))
	require.True(t, v.Complete())
	_, err := v.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, io.EOF)
	require.Empty(t, s.Versions())
}

func TestPutRefusesNonsense(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	sum := pieces.SumOf(c.piece(0))
	for name, err := range map[string]error{
		"index":  v.Put(t.Context(), 2, c.piece(0), sum, host1),
		"length": v.Put(t.Context(), 0, c.piece(0)[1:], sum, host1),
		"digest": v.Put(t.Context(), 0, c.piece(0), pieces.Sum{}, host1),
	} {
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), name)
	}
	_, err := s.OpenVersion(c.key, pieces.Facts{Size: 1})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	_, err = s.OpenVersion(pieces.Key{Task: "x", Version: c.key.Version}, c.facts)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	require.Zero(t, s.Usage().Used)
}

func TestSumsComeInRunsOfOneSetter(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 6*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.put(t, v, 0, 1)
	require.NoError(t, v.Put(t.Context(), 2, c.piece(2), pieces.SumOf(c.piece(2)), host2))
	c.put(t, v, 4)
	sum := func(i int) pieces.Sum { return pieces.SumOf(c.piece(i)) }
	require.Equal(t, []pieces.SumRun{
		{First: 0, Sums: []pieces.Sum{sum(0), sum(1)}, Setter: host1},
		{First: 2, Sums: []pieces.Sum{sum(2)}, Setter: host2},
		{First: 4, Sums: []pieces.Sum{sum(4)}, Setter: host1},
	}, v.Sums(c.geo.All()))
	require.Equal(t, []pieces.SumRun{{First: 1, Sums: []pieces.Sum{sum(1)}, Setter: host1}}, v.Sums(pieces.Extent{First: 1, End: 2}))
}

func TestConcurrentPutsAndReads(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 40*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			h, err := s.OpenVersion(c.key, c.facts)
			require.NoError(t, err)
			defer h.Close()
			for i := range c.geo.All().All() {
				i = (i + w*5) % c.geo.Count() // all put all, starting apart
				require.NoError(t, h.Put(context.Background(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1))
				c.requirePieces(t, h, i)
			}
		})
	}
	wg.Wait()
	require.True(t, v.Complete())
	require.EqualValues(t, len(c.data), s.Usage().Used)
}

func TestDroppedPiecesAreGoneForGood(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	c := makeContent(t, 1, 1, 4*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	require.NoError(t, v.MarkWhole())
	require.True(t, v.Whole())
	require.NoError(t, v.Drop(pieces.Extent{First: 1, End: 3}))
	require.False(t, v.Whole())
	require.Equal(t, "[[0,1) [3,4)]", v.Held().String())
	require.EqualValues(t, 2*pieces.MinPieceSize, s.Usage().Used)
	_, err := v.ReadAt(make([]byte, 1), pieces.MinPieceSize)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.NoError(t, s.Close())

	s = openStore(t, Options{Dir: dir})
	v = openVersion(t, s, c)
	require.Equal(t, "[[0,1) [3,4)]", v.Held().String())
	c.put(t, v, 1, 2)
	require.True(t, v.Complete())
	require.False(t, v.Whole(), "the pinned digest speaks of the dropped bytes")
	c.requirePieces(t, v, 0, 1, 2, 3)
}

func TestFileIsTheContentFile(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	_, ok := v.File()
	require.False(t, ok)
	c.put(t, v, 1)
	f, ok := v.File()
	require.True(t, ok)
	p := make([]byte, 10)
	_, err := f.ReadAt(p, pieces.MinPieceSize)
	require.NoError(t, err)
	require.Equal(t, c.piece(1)[:10], p)

	inline := openVersion(t, s, makeContent(t, 2, 1, 10))
	makeContent(t, 2, 1, 10).put(t, inline, 0)
	_, ok = inline.File()
	require.False(t, ok)
}

func TestNothingIsLeftOfAVersionThatWasOnlyOpened(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	v := openVersion(t, s, makeContent(t, 1, 1, 2*pieces.MinPieceSize))
	require.NoError(t, v.Close())
	require.Empty(t, s.snapshot())
	files, err := os.ReadDir(filepath.Join(dir, "content"))
	require.NoError(t, err)
	require.Empty(t, files)
}

func TestVersionsSaysWhatIsHeld(t *testing.T) {
	clk := &clock{}
	s := openStore(t, Options{Dir: t.TempDir(), Now: clk.Now})
	a, b := makeContent(t, 1, 1, 2*pieces.MinPieceSize), makeContent(t, 2, 1, 100)
	va, vb := openVersion(t, s, a), openVersion(t, s, b)
	a.put(t, va, 0)
	b.put(t, vb, 0)
	require.NoError(t, va.Close())
	infos := s.Versions()
	require.Len(t, infos, 2)
	require.Equal(t, a.key, infos[0].Key, "last accessed first")
	require.EqualValues(t, pieces.MinPieceSize, infos[0].Bytes)
	require.False(t, infos[0].Complete)
	require.Zero(t, infos[0].Open)
	require.True(t, infos[1].Complete)
	require.Equal(t, 1, infos[1].Open)
	require.Equal(t, b.facts, infos[1].Facts)
}

func TestClosedStoreAnswersWithErrors(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c, small := makeContent(t, 1, 1, 2*pieces.MinPieceSize), makeContent(t, 2, 1, 10)
	v, vs := openVersion(t, s, c), openVersion(t, s, small)
	c.put(t, v, 0)
	small.put(t, vs, 0)
	require.NoError(t, s.Close())
	for name, call := range map[string]func() error{
		"put":    func() error { return v.Put(t.Context(), 1, c.piece(1), pieces.SumOf(c.piece(1)), host1) },
		"read":   func() error { _, err := v.ReadAt(make([]byte, 1), 0); return err },
		"inline": func() error { _, err := vs.ReadAt(make([]byte, 1), 0); return err },
		"open":   func() error { _, err := s.OpenVersion(c.key, c.facts); return err },
		"facts":  func() error { return s.PutFacts(c.key.Task, c.facts, s.opt.Now()) },
		"list":   func() error { _, err := s.Entries(); return err },
	} {
		require.Equal(t, pieces.Unavailable, pieces.KindOf(call()), name)
	}
}
