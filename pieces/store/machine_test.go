package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tmpfs mounts a file system of size bytes; the test is left out without the
// right to do so.
func tmpfs(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size)))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// pattern is a large content made piece by piece.
type pattern struct {
	key   pieces.Key
	facts pieces.Facts
	geo   pieces.Geometry
}

func newPattern(t *testing.T, size int64) pattern {
	f := pieces.Facts{Size: size, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: "big"}}
	geo, err := f.Geometry()
	require.NoError(t, err)
	return pattern{pieces.Key{Task: taskOf([]byte{31: 9}), Version: f.VersionID()}, f, geo}
}

func (c pattern) piece(i int) []byte {
	b := make([]byte, c.geo.Len(i))
	for off := 0; off < len(b); off += 4096 {
		binary.LittleEndian.PutUint64(b[off:], uint64(i)<<32|uint64(off)|1)
	}
	return b
}

// put returns how many of the pieces were kept; the others were Full.
func (c pattern) put(t *testing.T, v *Version) (kept int) {
	for i := range c.geo.All().All() {
		b := c.piece(i)
		switch err := v.Put(t.Context(), i, b, pieces.SumOf(b), host1); {
		case err == nil:
			kept++
		default:
			require.Equal(t, pieces.Full, pieces.KindOf(err), "%v", err)
		}
	}
	return kept
}

func (c pattern) check(t *testing.T, v *Version) (held int) {
	for e := range v.Held().Extents() {
		for i := range e.All() {
			b := make([]byte, c.geo.Len(i))
			if _, err := v.ReadAt(b, c.geo.Offset(i)); err == nil {
				require.True(t, bytes.Equal(b, c.piece(i)), "wrong bytes of piece %d", i)
				held++
			}
		}
	}
	return held
}

// A file of 1 GiB passes through a cache on 64 MiB.
func TestSmallDiskUnderALargeFile(t *testing.T) {
	dir := tmpfs(t, 64*mib)
	s, err := Open(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	c := newPattern(t, 1<<30)
	v, err := s.OpenVersion(c.key, c.facts)
	require.NoError(t, err)
	kept := c.put(t, v)
	require.Greater(t, kept, 100)
	require.Less(t, kept, 256, "there is no room for more")
	require.False(t, s.Usage().Caching)
	require.GreaterOrEqual(t, s.Usage().DiskFree, s.Usage().Reserve-mib)
	require.Equal(t, kept, c.check(t, v))
	require.NoError(t, v.Close())
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, Reserve: 6 * mib, Probe: probeSelf})
	require.Equal(t, kept, c.check(t, openPattern(t, s, c)))
}

func openPattern(t *testing.T, s *Store, c pattern) *Version {
	t.Helper()
	v, err := s.OpenVersion(c.key, c.facts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

// fillDisk writes until nothing is left, at about rate bytes per second.
func fillDisk(path string, rate int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const step = 256 << 10
	for err == nil {
		_, err = f.Write(make([]byte, step))
		if rate > 0 {
			time.Sleep(time.Duration(step * int64(time.Second) / rate))
		}
	}
	if errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return fmt.Errorf("the disk is not full: %w", err)
}

// writeOnFillingDisk is a child: it writes to a store while the disk fills up,
// goes on for a while when nothing is left, and stops in order.
func writeOnFillingDisk(dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := Open(ctx, Options{Dir: dir, Interval: 20 * time.Millisecond, Log: warnings()})
	if err != nil {
		return err
	}
	wrote := make(chan error, 1)
	go func() { wrote <- writeAndRead(ctx, s) }()
	time.Sleep(200 * time.Millisecond)
	if s.Usage().Used == 0 || !s.Usage().Caching {
		return fmt.Errorf("the store does not write: %+v", s.Usage())
	}
	if err := fillDisk(filepath.Join(dir, "foreign"), 50*mib); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	if s.Usage().Caching || s.Usage().DiskFree > mib {
		return fmt.Errorf("the disk is not full: %+v", s.Usage())
	}
	cancel()
	return errors.Join(<-wrote, s.Close())
}

// writeAndRead writes contents, one after the other, and reads them.
func writeAndRead(ctx context.Context, s *Store) error {
	for n := 0; ctx.Err() == nil; n++ {
		c := churnContent(n % 30)
		v, err := s.OpenVersion(c.key, c.facts)
		if err != nil {
			return err
		}
		for i := range c.geo.All().All() {
			err := v.Put(ctx, i, c.piece(i), pieces.SumOf(c.piece(i)), host1)
			if err != nil && pieces.KindOf(err) != pieces.Full && ctx.Err() == nil {
				return err
			}
		}
		if _, err := churnRead(s, c); err != nil {
			return err
		}
		if err := v.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Somebody else fills the disk under a store that writes: it makes room as long
// as it has something, then goes on without caching.
func TestDiskFilledBySomebodyElse(t *testing.T) {
	dir := tmpfs(t, 64*mib)
	require.NoError(t, child(t, "fill", dir).Run())

	// Full at the start.
	s := openStore(t, Options{Dir: dir, Probe: probeSelf})
	require.Equal(t, pieces.Full, pieces.KindOf(s.Usage().Uncached))
	requireServes(t, s)
	require.NoError(t, s.Close())

	// And healed.
	require.NoError(t, os.Remove(filepath.Join(dir, "foreign")))
	s = openStore(t, Options{Dir: dir, Probe: probeSelf})
	require.NoError(t, s.Usage().Uncached)
	for n := range 30 {
		_, err := churnRead(s, churnContent(n))
		require.NoError(t, err)
	}
	c := churnContent(1)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	c.requirePieces(t, v, 0, 1)
}

// requireServes does what a daemon does with a store that can keep nothing.
func requireServes(t *testing.T, s *Store) {
	t.Helper()
	for n, size := range []int{100, 3 * pieces.MinPieceSize} {
		c := makeContent(t, 100+n, 1, size)
		v := openVersion(t, s, c)
		require.Equal(t, pieces.Full, pieces.KindOf(v.Put(t.Context(), 0, c.piece(0), pieces.SumOf(c.piece(0)), host1)))
		_, err := v.ReadAt(make([]byte, 1), 0)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		require.NoError(t, v.Drop(c.geo.All()))
		_, err = v.Passthrough()
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		require.NoError(t, s.PutFacts(c.key.Task, c.facts, time.Unix(1, 0)))
		f, _, err := s.Facts(c.key.Task)
		require.NoError(t, err)
		require.Equal(t, c.facts, f)
	}
	task := newWorld(t).task
	require.NoError(t, s.PutEntry(Entry{Task: *task, Names: []string{worldName}}))
	id, err := s.Name(worldName)
	require.NoError(t, err)
	require.Equal(t, task.ID, id)
	require.False(t, s.Usage().Caching)
	require.Zero(t, s.Usage().Used)
	_, err = s.Evict(task.ID)
	require.NoError(t, err)
}

// A disk filled by somebody else costs cached content before it costs the
// cache.
func TestFullDiskAtStartCostsContentFirst(t *testing.T) {
	dir := tmpfs(t, 64*mib)
	s, err := Open(t.Context(), Options{Dir: dir})
	require.NoError(t, err)
	c := newPattern(t, 40*mib)
	v, err := s.OpenVersion(c.key, c.facts)
	require.NoError(t, err)
	require.Equal(t, 160, c.put(t, v))
	require.NoError(t, v.Close())
	small := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	vs, err := s.OpenVersion(small.key, small.facts)
	require.NoError(t, err)
	small.putAll(t, vs)
	require.NoError(t, vs.Close())
	require.NoError(t, s.Close())
	require.NoError(t, fillDisk(filepath.Join(dir, "foreign"), 0))
	s = openStore(t, Options{Dir: dir})
	require.NoError(t, s.Usage().Uncached)
	small.requirePieces(t, openVersion(t, s, small), 0, 1)
	require.Zero(t, c.check(t, openPattern(t, s, c)), "the oldest went")
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := tmpfs(t, 64*mib)
	remount := func(flags uintptr) error { return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, "") }
	w := newWorld(t)
	w.make(t, dir)
	s := openStore(t, Options{Dir: dir})
	require.ErrorIs(t, remount(unix.MS_RDONLY), unix.EBUSY, "the kernel refuses while we run")
	require.NoError(t, s.Close())
	require.NoError(t, remount(unix.MS_RDONLY))
	s, err := Open(t.Context(), Options{Dir: dir, Probe: probeSelf})
	require.NoError(t, err)
	require.ErrorIs(t, s.Usage().Uncached, unix.EROFS)
	requireServes(t, s)
	_, err = Open(t.Context(), Options{Dir: dir})
	require.Equal(t, pieces.Exists, pieces.KindOf(err), "two daemons are still two too many")
	require.NoError(t, s.Close())
	require.NoError(t, remount(0))
	s = openStore(t, Options{Dir: dir, Probe: probeSelf})
	require.NoError(t, s.Usage().Uncached)
	require.Equal(t, 4, w.check(t, s).lost, "what was there is there")
	require.NoError(t, s.Close())
}

// Every operation on the disk fails in every way, from the start or under way:
// the store opens, no byte is wrong, and once it is healed all is well.
func TestEveryOperationFails(t *testing.T) {
	w := newWorld(t)
	for _, op := range []string{"open", "write", "read", "punch", "sync", "remove", "free"} {
		for _, fault := range []error{unix.EIO, unix.ENOSPC, unix.EROFS, unix.EMFILE} {
			t.Run(op+"/"+unix.ErrnoName(fault.(unix.Errno)), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				w.make(t, dir)
				disk := newFaultDisk(t)
				o := Options{Dir: dir, Reserve: -1, Disk: disk, CacheSize: 5 * mib / 2, LowWater: 0.85, HighWater: 0.9, Interval: time.Millisecond, CloseSync: time.Second}
				s, err := Open(t.Context(), o)
				require.NoError(t, err)
				disk.set(op, fault)
				failWorld(t, w, s)
				require.NoError(t, s.Close())
				if disk.fired[op] == 0 { // only at the start, or at the end
					s, err = Open(t.Context(), o)
					require.NoError(t, err)
					failWorld(t, w, s)
					require.NoError(t, s.Close())
				}
				require.NotZero(t, disk.fired[op], "the fault never fired")

				o.CacheSize, o.HighWater, o.LowWater = 0, 0, 0
				s, err = Open(t.Context(), o) // failing from the start
				require.NoError(t, err, "a refusal to start")
				failWorld(t, w, s)
				require.NoError(t, s.Close())
				disk.set(op, nil)
				s, err = Open(t.Context(), o)
				require.NoError(t, err)
				w.check(t, s)
				w.heal(t, s)
				require.NoError(t, s.Close())
			})
		}
	}
}

// failWorld uses a store on a failing disk; only wrong bytes are held against
// it.
func failWorld(t *testing.T, w world, s *Store) {
	t.Helper()
	for _, c := range w.all {
		v, err := s.OpenVersion(c.key, c.facts)
		if err != nil {
			continue // the engine reads without a cache
		}
		for i := range c.geo.All().All() {
			_ = v.Put(t.Context(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1)
			p := make([]byte, c.geo.Len(i))
			if _, err := v.ReadAt(p, c.geo.Offset(i)); err == nil {
				require.True(t, bytes.Equal(c.piece(i), p), "wrong bytes")
			}
		}
		_ = v.Close()
	}
	time.Sleep(20 * time.Millisecond) // the janitor evicts
	_, _ = s.Evict(w.all[1].key.Task)
}

// runOutOfFiles is a child with few descriptors.
func runOutOfFiles(dir string) error {
	var t testing.T
	w, log := newWorld(&t), warnings()
	s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1, Log: log})
	if err != nil {
		return err
	}
	if err := w.fill(s); err != nil {
		return err
	}
	// While it runs: nothing more can be opened.
	var hoard []io.Closer
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 60, Max: 1024}); err != nil {
		return err
	}
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		hoard = append(hoard, f)
	}
	refused := 0
	for n := range 300 {
		c := churnContent(n)
		v, err := s.OpenVersion(c.key, c.facts)
		if err != nil {
			return err
		}
		if v.Put(context.Background(), 0, c.piece(0), pieces.SumOf(c.piece(0)), host1) != nil {
			refused++
		}
		if err := v.Close(); err != nil {
			return err
		}
	}
	if refused == 0 {
		return errors.New("the fault never fired")
	}
	free := func(n int) {
		for _, f := range hoard[:n] {
			f.Close()
		}
		hoard = hoard[n:]
	}
	free(spareFiles)
	if err := s.Close(); err != nil {
		return err
	}
	for { // what the store had
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		hoard = append(hoard, f)
	}
	// From the start.
	uncached := 0
	for len(hoard) > 0 {
		free(1)
		hoard[0].Close()
		hoard = hoard[1:]
		s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1, Log: log})
		if err != nil {
			if MachineFault(err) && len(hoard) > 40 {
				continue // not even what the runtime needs
			}
			return fmt.Errorf("a refusal to start with %d descriptors less: %w", len(hoard), err)
		}
		w.check(&t, s)
		if err := s.Close(); err != nil {
			return err
		}
		if s.Usage().Uncached == nil {
			break
		}
		uncached++
	}
	if uncached == 0 {
		return errors.New("there were always enough descriptors to start with")
	}
	free(len(hoard))
	s, err = Open(context.Background(), Options{Dir: dir, Reserve: -1, Log: log})
	if err != nil {
		return err
	}
	if s.Usage().Uncached != nil {
		return s.Usage().Uncached
	}
	if n := w.check(&t, s); t.Failed() || n.right == 0 {
		return fmt.Errorf("after it: %v", n)
	}
	return s.Close()
}

func TestOutOfDescriptors(t *testing.T) {
	require.NoError(t, child(t, "files", filepath.Join(t.TempDir(), "store")).Run())
}
