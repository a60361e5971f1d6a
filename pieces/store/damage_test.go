package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// damageKind is a kind of file in the data directory.
type damageKind struct {
	name, pattern string
	// killed: the file is what a killed process leaves.
	killed bool
}

var damageKinds = []damageKind{
	{"table", "db/*.sst", false},
	{"value log", "db/*.vlog", true},
	{"memtable", "db/*.mem", true},
	{"manifest", "db/MANIFEST", false},
	{"manifest of a killed process", "db/MANIFEST", true},
	{"discard", "db/DISCARD", false},
	{"key registry", "db/KEYREGISTRY", false},
	{"content", "content/*", false},
	{"content of a killed process", "content/*", true},
	{"run", "run", false},
	{"format", "format", false},
}

func (k damageKind) make(t *testing.T, w world, dir string) {
	if k.killed {
		runToDeath(t, "world", dir)
	} else {
		w.make(t, dir)
	}
}

// damages are named ways to damage one file.
func damages() map[string]func(r *rand.Rand, path string) error {
	ds := map[string]func(r *rand.Rand, path string) error{
		"cut to half":    func(_ *rand.Rand, p string) error { return cutTo(p, func(n int64) int64 { return n / 2 }) },
		"cut by a byte":  func(_ *rand.Rand, p string) error { return cutTo(p, func(n int64) int64 { return n - 1 }) },
		"cut to nothing": func(_ *rand.Rand, p string) error { return os.Truncate(p, 0) },
		"deleted":        func(_ *rand.Rand, p string) error { return os.Remove(p) },
	}
	seeds := 20
	if testing.Short() {
		seeds = 3
	}
	for i := range seeds {
		ds[fmt.Sprintf("flipped %d", i)] = func(r *rand.Rand, p string) error { return flip(r, p, i%2 == 0) }
	}
	return ds
}

func cutTo(path string, size func(int64) int64) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, size(st.Size()))
}

// flip changes up to four bytes: where there is something, or anywhere.
func flip(r *rand.Rand, path string, something bool) error {
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return fmt.Errorf("nothing to flip in %s: %v", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for range 1 + r.IntN(4) {
		off := r.IntN(len(b))
		for tries := 0; something && b[off] == 0 && tries < 1<<20; tries++ {
			off = r.IntN(len(b))
		}
		if _, err := f.WriteAt([]byte{b[off] ^ byte(1+r.IntN(255))}, int64(off)); err != nil {
			return err
		}
	}
	return nil
}

// Whatever happens to a file while nobody looks: the store opens, and every
// byte is right or not there.
func TestDamagedFiles(t *testing.T) {
	w := newWorld(t)
	for _, k := range damageKinds {
		for name, damage := range damages() {
			if testing.Short() && name != "flipped 0" {
				continue // short runs look for races: one for each kind of file
			}
			t.Run(k.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(t.TempDir(), "store")
				k.make(t, w, dir)
				paths, err := filepath.Glob(filepath.Join(dir, k.pattern))
				require.NoError(t, err)
				require.NotEmpty(t, paths, "there is no such file to damage")
				seed := rand.Uint64()
				r := rand.New(rand.NewPCG(seed, 0))
				path := paths[r.IntN(len(paths))]
				before, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, damage(r, path))
				if after, err := os.ReadFile(path); err == nil {
					require.False(t, bytes.Equal(before, after), "nothing was damaged")
				}
				s := openStore(t, Options{Dir: dir, Probe: probeSelf})
				require.NoError(t, s.Usage().Uncached)
				n := w.check(t, s)
				t.Logf("seed %d, %s: %v", seed, filepath.Base(path), n)
				w.heal(t, s)
				require.NoError(t, s.Close())
				s = openStore(t, Options{Dir: dir, Probe: probeSelf})
				require.Zero(t, w.check(t, s).lost)
			})
		}
	}
}

// Without damage nothing is lost: the tests above would not notice.
func TestUndamagedFilesLoseNothing(t *testing.T) {
	w := newWorld(t)
	for _, killed := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "store")
		damageKind{killed: killed}.make(t, w, dir)
		s := openStore(t, Options{Dir: dir, Probe: probeSelf})
		n := w.check(t, s)
		require.Equal(t, 4, n.lost, "two pieces dropped, two evicted")
		_, err := s.Name(worldName)
		require.NoError(t, err)
		require.NoDirExists(t, filepath.Join(dir, "aside"))
	}
}

// Somebody changes the content file under a running store.
func TestContentFileDamagedWhileOpen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ds := damages()
	ds["replaced"] = func(r *rand.Rand, p string) error {
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		b[r.IntN(len(b))]++
		return os.WriteFile(p+".x", b, 0o600)
	}
	for name, damage := range ds {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var told evictions
			s := openStore(t, Options{Dir: dir, BeforeEvict: told.add})
			c := makeContent(t, 1, 1, 4*pieces.MinPieceSize)
			v := openVersion(t, s, c)
			c.putAll(t, v)
			c.requirePieces(t, v, 0, 1, 2, 3)
			path := dataDir(dir).contentFile(1)
			require.NoError(t, damage(r, path))
			if name == "replaced" {
				require.NoError(t, os.Rename(path+".x", path))
			}
			right := 0
			for i := range 4 {
				p := make([]byte, c.geo.Len(i))
				if _, err := v.ReadAt(p, c.geo.Offset(i)); err == nil {
					require.True(t, bytes.Equal(c.piece(i), p), "wrong bytes of piece %d", i)
					right++
				}
			}
			switch name {
			case "deleted", "replaced": // the open file is as it was
				require.Equal(t, 4, right)
			case "cut to nothing":
				require.Zero(t, right)
			default:
				require.Less(t, right, 4, "the damage was not seen")
			}
			require.NoError(t, v.Close())
			v = openVersion(t, s, c)
			if f, err := v.Passthrough(); err == nil {
				got := make([]byte, len(c.data))
				_, err := f.ReadAt(got, 0)
				require.NoError(t, err)
				require.True(t, bytes.Equal(c.data, got), "the kernel reads wrong bytes")
				f.Close()
			}
			for i := range 4 {
				if _, err := v.ReadAt(make([]byte, 1), c.geo.Offset(i)); err != nil {
					require.NoError(t, v.Drop(pieces.Extent{First: i, End: i + 1}))
				}
			}
			c.putAll(t, v)
			c.requirePieces(t, v, 0, 1, 2, 3)
		})
	}
}

// Also a file that is still being filled.
func TestPartialContentFileDamagedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	c := makeContent(t, 1, 1, 4*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.put(t, v, 0, 1)
	spoil(t, dataDir(dir).contentFile(1), 100)
	c.put(t, v, 2) // sees it before it writes
	_, err := v.ReadAt(make([]byte, 10), 0)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	c.requirePieces(t, v, 1, 2)
	_, ok := v.File()
	require.True(t, ok, "what is left was verified")
}

// A file that somebody writes to all the time is not served.
func TestContentFileThatKeepsChanging(t *testing.T) {
	dir := t.TempDir()
	disk := newFaultDisk(t)
	s := openStore(t, Options{Dir: dir, Disk: disk})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	changes := 0
	disk.onRead = func() {
		changes++
		f, err := os.OpenFile(dataDir(dir).contentFile(1), os.O_RDWR, 0)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteAt(c.data[5:6], 5) // the same byte: no verification fails
		require.NoError(t, err)
	}
	_, err := v.ReadAt(make([]byte, 10), 0)
	require.Equal(t, pieces.Integrity, pieces.KindOf(err))
	require.GreaterOrEqual(t, changes, maxChanges)
	disk.onRead = nil
	c.requirePieces(t, v, 0, 1)
}
