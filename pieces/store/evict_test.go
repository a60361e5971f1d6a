package store

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/dgraph-io/badger/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// fill puts whole content and closes it again.
func fill(t *testing.T, s *Store, cs ...content) {
	t.Helper()
	for _, c := range cs {
		v, err := s.OpenVersion(c.key, c.facts)
		require.NoError(t, err)
		c.putAll(t, v)
		require.NoError(t, v.Close())
	}
}

func heldKeys(s *Store) []pieces.Key {
	var keys []pieces.Key
	for _, info := range s.Versions() {
		keys = append(keys, info.Key)
	}
	return keys
}

func TestEvictDropsIdleBytesOfATask(t *testing.T) {
	dir := t.TempDir()
	var told evictions
	s := openStore(t, Options{Dir: dir, BeforeEvict: told.add})
	a1, a2, b := makeContent(t, 1, 1, mib), makeContent(t, 1, 2, 300), makeContent(t, 2, 3, mib)
	fill(t, s, a1, a2, b)
	freed, err := s.Evict(a1.key.Task)
	require.NoError(t, err)
	require.EqualValues(t, mib+300, freed)
	require.Equal(t, []pieces.Key{b.key}, heldKeys(s))
	require.EqualValues(t, mib, s.Usage().Used)
	require.Len(t, told.list(), 2)
	files, err := os.ReadDir(dataDir(dir).content())
	require.NoError(t, err)
	require.Len(t, files, 1)

	v := openVersion(t, s, b)
	freed, err = s.Evict(b.key.Task)
	require.NoError(t, err)
	require.Zero(t, freed, "it is in use")
	b.requirePieces(t, v, 0)

	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir})
	require.Equal(t, []pieces.Key{b.key}, heldKeys(s))
}

func TestEvictionTellsThenForgetsThenUnlinks(t *testing.T) {
	disk := newFaultDisk(t)
	var s *Store
	var c content
	var steps []string
	disk.onRemove = func(string) {
		steps = append(steps, "unlink")
		require.Zero(t, recordsOf(t, s, 1), "records go before bytes")
	}
	s = openStore(t, Options{Dir: t.TempDir(), Disk: disk, BeforeEvict: func(key pieces.Key, lost []pieces.Extent, whole bool) {
		steps = append(steps, "tell")
		require.Equal(t, c.key, key)
		require.True(t, whole)
		require.Equal(t, []pieces.Extent{{First: 0, End: 4}}, lost)
		require.Equal(t, 5, recordsOf(t, s, 1))
	}})
	c = makeContent(t, 1, 1, mib)
	fill(t, s, c)
	_, err := s.Evict(c.key.Task)
	require.NoError(t, err)
	require.Equal(t, []string{"tell", "unlink"}, steps)
}

// recordsOf counts the records of a Version.
func recordsOf(t *testing.T, s *Store, ord uint64) (n int) {
	t.Helper()
	require.NoError(t, s.view(func(tx *badger.Txn) error {
		for i := range 100 {
			if _, err := tx.Get(pieceKey(ord, i)); err == nil {
				n++
			}
		}
		if _, err := tx.Get(versionKey(ord)); err == nil {
			n++
		}
		return nil
	}))
	return n
}

func TestWatermarkEvictsTheLongestIdle(t *testing.T) {
	clk := &clock{}
	s := openStore(t, Options{Dir: t.TempDir(), CacheSize: 10 * mib, HighWater: 0.9, LowWater: 0.7, Interval: time.Hour, Now: clk.Now})
	var cs []content
	for i := range 9 {
		cs = append(cs, makeContent(t, i, uint64(i), mib))
	}
	fill(t, s, cs...)
	inUse := openVersion(t, s, cs[0])
	openVersion(t, s, cs[2]).Close()
	require.Len(t, s.Versions(), 9)

	last := makeContent(t, 20, 20, mib)
	fill(t, s, last) // its first piece is above the high mark
	require.Eventually(t, func() bool { return s.Usage().Used < 8*mib }, 5*time.Second, time.Millisecond)
	held := heldKeys(s)
	require.NotContains(t, held, cs[1].key, "longest idle")
	require.NotContains(t, held, cs[3].key)
	for _, c := range []content{cs[0], cs[2], cs[8], last} {
		require.Contains(t, held, c.key)
	}
	cs[0].requirePieces(t, inUse, 0, 3)
}

func TestReplacedVersionsGoFirst(t *testing.T) {
	clk := &clock{}
	s := openStore(t, Options{Dir: t.TempDir(), Now: clk.Now})
	a, old, current := makeContent(t, 1, 1, mib), makeContent(t, 2, 2, mib), makeContent(t, 2, 3, mib)
	fill(t, s, a, old, current)
	require.Equal(t, room{mib, mib}, s.makeRoom(room{cache: mib}))
	require.ElementsMatch(t, []pieces.Key{a.key, current.key}, heldKeys(s))
}

func TestColdPiecesOfALargeVersionArePunched(t *testing.T) {
	dir := t.TempDir()
	var told evictions
	s := openStore(t, Options{Dir: dir, BeforeEvict: told.add})
	c := makeContent(t, 1, 1, 16*mib)
	fill(t, s, c)
	s.snapshot()[0].recent[0].Store(0)
	v := openVersion(t, s, c)
	c.requirePieces(t, v, 63, 62)
	require.NoError(t, v.Close())
	before := diskBytes(t, dataDir(dir).contentFile(1))

	require.Equal(t, room{mib, mib}, s.makeRoom(room{cache: mib}))
	v = openVersion(t, s, c)
	require.Equal(t, "[[0,58) [62,64)]", v.Held().String(), "what was read lately stays")
	require.Equal(t, []eviction{{c.key, []pieces.Extent{{First: 58, End: 62}}, false}}, told.list())
	require.EqualValues(t, 15*mib, s.Usage().Used)
	require.LessOrEqual(t, diskBytes(t, dataDir(dir).contentFile(1)), before-mib)
	c.put(t, v, 58, 59, 60, 61)
	for i := range c.geo.All().All() {
		c.requirePieces(t, v, i)
	}
}

func diskBytes(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

func TestOpenedWhileItsPiecesArePunched(t *testing.T) {
	disk := newFaultDisk(t)
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk})
	c := makeContent(t, 1, 1, 4*mib)
	fill(t, s, c)
	punched := false
	disk.onPunch = func() {
		punched = true
		v := openVersion(t, s, c)
		require.False(t, v.Has(15))
		err := v.Put(t.Context(), 15, c.piece(15), pieces.SumOf(c.piece(15)), host1)
		require.Equal(t, pieces.Full, pieces.KindOf(err), "its bytes would be punched away")
		c.requirePieces(t, v, 0)
	}
	require.EqualValues(t, pieces.MinPieceSize, s.makeRoom(room{cache: 10}).cache)
	require.True(t, punched)
	v := openVersion(t, s, c)
	c.put(t, v, 15)
	c.requirePieces(t, v, 14, 15)
}

func TestFileSystemThatCannotPunch(t *testing.T) {
	disk := newFaultDisk(t)
	disk.set("punch", unix.EOPNOTSUPP)
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk})
	fill(t, s, makeContent(t, 1, 1, 4*mib))
	s.makeRoom(room{cache: 10})
	require.Positive(t, s.makeRoom(room{cache: 10}).cache, "goes as a whole then")
	require.Empty(t, s.Versions())
}

func TestFullCacheRefusesAndRecovers(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), CacheSize: 2 * mib, Interval: time.Hour})
	a := makeContent(t, 1, 1, 4*mib)
	v := openVersion(t, s, a)
	a.put(t, v, 0, 1, 2, 3, 4, 5, 6, 7)
	err := v.Put(t.Context(), 8, a.piece(8), pieces.SumOf(a.piece(8)), host1)
	require.Equal(t, pieces.Full, pieces.KindOf(err))
	require.False(t, s.Usage().Caching)
	require.EqualValues(t, 2*mib, s.Usage().Used)
	a.requirePieces(t, v, 0, 7)

	require.NoError(t, v.Close())
	b := makeContent(t, 2, 2, mib)
	fill(t, s, b) // has a evicted on the way, without waiting for the janitor's tick
	require.True(t, s.Usage().Caching)
	require.Contains(t, heldKeys(s), b.key)
}

func TestReserveOfFreeSpaceIsKept(t *testing.T) {
	disk := newFaultDisk(t)
	disk.setFree(200*mib, 1000*mib)
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk, Reserve: 100 * mib, Interval: time.Millisecond})
	a := makeContent(t, 1, 1, mib)
	fill(t, s, a)
	v := openVersion(t, s, a)
	disk.setFree(100*mib, 1000*mib)
	b := makeContent(t, 2, 2, mib)
	vb := openVersion(t, s, b)
	put := func() error { return vb.Put(t.Context(), 0, b.piece(0), pieces.SumOf(b.piece(0)), host1) }
	require.Equal(t, pieces.Full, pieces.KindOf(put()))
	require.False(t, s.Usage().Caching)
	a.requirePieces(t, v, 0)

	require.NoError(t, v.Close())
	disk.setFree(50*mib, 1000*mib)
	require.Eventually(t, func() bool { return len(s.Versions()) == 0 }, 5*time.Second, time.Millisecond, "what is idle makes room")
	disk.setFree(500*mib, 1000*mib)
	require.Eventually(t, func() bool { return s.Usage().Caching }, 5*time.Second, time.Millisecond)
	require.NoError(t, put())
}

func TestDefaultReserve(t *testing.T) {
	const gib = 1 << 30
	for total, want := range map[int64]int64{
		100 * mib: 10 * mib, gib: 64 * mib, 10 * gib: 512 * mib, 100 * gib: 5 * gib, 4000 * gib: 10 * gib,
	} {
		require.Equal(t, want, defaultReserve(total), "file system of %d", total)
	}
}

func TestNothingIsRecordedOnAFullDisk(t *testing.T) {
	disk := newFaultDisk(t)
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk, Interval: time.Hour})
	disk.setFree(mib, 1000*mib)
	c := makeContent(t, 1, 1, 10)
	v := openVersion(t, s, c)
	err := v.Put(t.Context(), 0, c.data, pieces.SumOf(c.data), host1)
	require.Equal(t, pieces.Full, pieces.KindOf(err))
	require.Equal(t, pieces.Full, pieces.KindOf(s.PutFacts(c.key.Task, c.facts, time.Now())))
	require.Zero(t, s.Usage().Used)
}

func TestFailedWritesKeepNothing(t *testing.T) {
	for name, fault := range map[string]struct {
		err  error
		kind pieces.Kind
	}{
		"disk full": {&os.PathError{Op: "write", Err: unix.ENOSPC}, pieces.Full},
		"quota":     {unix.EDQUOT, pieces.Full},
		"I/O error": {unix.EIO, pieces.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newFaultDisk(t)
			disk.set("write", fault.err)
			s := openStore(t, Options{Dir: t.TempDir(), Disk: disk})
			c := makeContent(t, 1, 1, mib)
			v := openVersion(t, s, c)
			err := v.Put(t.Context(), 0, c.piece(0), pieces.SumOf(c.piece(0)), host1)
			require.Equal(t, fault.kind, pieces.KindOf(err))
			require.False(t, v.Has(0))
			require.Zero(t, s.Usage().Used)
			disk.set("write", nil)
			c.put(t, v, 0)
			c.requirePieces(t, v, 0)
		})
	}
}

func TestReadErrorIsNotServed(t *testing.T) {
	disk := newFaultDisk(t)
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk})
	c := makeContent(t, 1, 1, mib)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	disk.set("read", unix.EIO)
	_, err := v.ReadAt(make([]byte, 10), 0)
	require.ErrorIs(t, err, unix.EIO)
}

func TestCancelledPutIsConsistent(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, mib)
	v := openVersion(t, s, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := v.Put(ctx, 0, c.piece(0), pieces.SumOf(c.piece(0)), host1)
	require.True(t, errors.Is(err, context.Canceled))
	require.NoError(t, v.Close())
	require.Zero(t, s.Usage().Used)
	require.Empty(t, s.snapshot())
}
