package store

import (
	"os"
	"path/filepath"
	"testing"

	"damselfly/pieces"
	"damselfly/pieces/missing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// leases skips where the file system grants none.
func leases(t *testing.T) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	r, err := os.Open(f.Name())
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, f.Close())
	if _, err := unix.FcntlInt(r.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		missing.Skip(t, "no leases here: ", err)
	}
}

// What is evicted while a program still has it in passthrough is shown as in
// use until the program closes it.
func TestRemovedButOpen(t *testing.T) {
	leases(t)
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 4*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	held, err := v.Passthrough()
	require.NoError(t, err)
	require.NoError(t, v.Close())
	require.Zero(t, s.Usage().Removed)

	freed, err := s.Evict(c.key.Task)
	require.NoError(t, err)
	require.Equal(t, int64(len(c.data)), freed)
	u := s.Usage()
	require.Equal(t, 1, u.Removed)
	require.GreaterOrEqual(t, u.RemovedBytes, int64(len(c.data)))
	require.Zero(t, u.Used)

	require.NoError(t, held.Close())
	u = s.Usage()
	require.Zero(t, u.Removed, "nobody has it open")
	require.Zero(t, u.RemovedBytes)
}

// What nobody has open is gone at once, and no descriptor of it stays.
func TestRemovedAndClosed(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	f, err := v.Passthrough()
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, v.Close())
	_, err = s.Evict(c.key.Task)
	require.NoError(t, err)
	require.Empty(t, s.orphans.files)
	require.Zero(t, s.Usage().Removed)
}

// What a program from before the daemon's restart has open gives the disk nothing:
// it goes for the cache's size, but not for the disk, for which others go.
func TestOpenFilesGiveTheDiskNothing(t *testing.T) {
	leases(t)
	clk := &clock{}
	s := openStore(t, Options{Dir: t.TempDir(), Now: clk.Now})
	open, other := makeContent(t, 1, 1, mib), makeContent(t, 2, 2, mib)
	fill(t, s, open)
	v := openVersion(t, s, open)
	held, err := v.Passthrough()
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, v.Close())
	fill(t, s, other) // so that the open one goes first

	require.Equal(t, room{mib, mib}, s.makeRoom(room{disk: mib}))
	require.Equal(t, []pieces.Key{open.key}, heldKeys(s), "the other went for the disk")
	require.Zero(t, s.makeRoom(room{disk: mib}), "evicting it would not help")
	require.Zero(t, s.Usage().Removed)

	require.Equal(t, room{cache: mib}, s.makeRoom(room{cache: mib, disk: mib}))
	require.Empty(t, heldKeys(s))
	require.Equal(t, 1, s.Usage().Removed)
}

// There is a bound, and the end of the store lets go of all.
func TestOrphansAreBounded(t *testing.T) {
	leases(t)
	var o orphans
	dir := t.TempDir()
	for range maxOrphans + 5 {
		path := filepath.Join(dir, "f")
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
		var two [2]*os.File
		for i := range two {
			var err error
			two[i], err = os.Open(path)
			require.NoError(t, err)
		}
		t.Cleanup(func() { two[0].Close() })
		require.NoError(t, os.Remove(path))
		o.add(two[1])
	}
	n, _ := o.usage()
	require.Equal(t, maxOrphans, n)
	o.close()
	n, _ = o.usage()
	require.Zero(t, n)
}
