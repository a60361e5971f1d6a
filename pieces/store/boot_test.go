package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// crashCopy copies the directory of an open store: what another process would
// find if this one had died now.
func crashCopy(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

func spoil(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("spoilt"), off)
	require.NoError(t, err)
}

func TestUncleanStopInAnotherBootIsVerified(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	c := makeContent(t, 1, 1, 4*pieces.MinPieceSize)
	c.putAll(t, openVersion(t, s, c))
	dir = crashCopy(t, dir)
	spoil(t, dataDir(dir).contentFile(1), c.geo.Offset(2)+7)

	var told evictions
	s = openStore(t, Options{Dir: dir, BootID: "two", BeforeEvict: told.add})
	v := openVersion(t, s, c)
	require.True(t, s.Versions()[0].Suspect)
	require.True(t, v.Complete(), "trust is a matter of serving")
	_, ok := v.File()
	require.False(t, ok, "nobody may send what was not verified")
	c.requirePieces(t, v, 0)
	_, err := v.ReadAt(make([]byte, pieces.MinPieceSize+1), c.geo.Offset(1)) // touches the spoilt one
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.Equal(t, []eviction{{c.key, []pieces.Extent{{First: 2, End: 3}}, false}}, told.list())
	require.False(t, v.Has(2))
	c.requirePieces(t, v, 1, 3)
	require.False(t, s.Versions()[0].Suspect)
	_, ok = v.File()
	require.True(t, ok)
	c.put(t, v, 2)
	c.requirePieces(t, v, 2)
}

func TestSuspicionOutlivesACleanStop(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	c.putAll(t, openVersion(t, s, c))
	dir = crashCopy(t, dir)
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.True(t, s.Versions()[0].Suspect)
	v := openVersion(t, s, c)
	require.False(t, v.Verified())
	require.NoError(t, v.Verify(t.Context()))
	require.True(t, v.Verified())
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.False(t, s.Versions()[0].Suspect)
}

func TestTrustWithoutVerification(t *testing.T) {
	for name, reopen := range map[string]struct {
		clean   bool
		boot    string
		suspect bool
	}{
		"killed in this boot":        {false, "one", false},
		"killed, machine restarted":  {false, "two", true},
		"stopped, machine restarted": {true, "two", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, Options{Dir: dir, BootID: "one"})
			c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
			c.putAll(t, openVersion(t, s, c))
			if reopen.clean {
				require.NoError(t, s.Close())
			} else {
				dir = crashCopy(t, dir)
			}
			s = openStore(t, Options{Dir: dir, BootID: reopen.boot})
			require.Equal(t, reopen.suspect, s.Versions()[0].Suspect)
		})
	}
}

func TestStopThatCouldNotSyncIsNotClean(t *testing.T) {
	dir := t.TempDir()
	disk := newFaultDisk(t)
	s := openStore(t, Options{Dir: dir, BootID: "one", Disk: disk})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	c.putAll(t, openVersion(t, s, c))
	disk.set("sync", errors.New("disk too slow"))
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.True(t, s.Versions()[0].Suspect)
}

func TestBytesOfAKilledProcessAreSyncedBeforeACleanStop(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	c.putAll(t, openVersion(t, s, c))
	dir = crashCopy(t, dir)
	disk := newFaultDisk(t)
	disk.set("sync", errors.New("disk too slow"))
	s = openStore(t, Options{Dir: dir, BootID: "one", Disk: disk})
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	require.True(t, s.Versions()[0].Suspect)
}

func TestSpoiltInlineBytesAreNeverServed(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	c := makeContent(t, 1, 1, 3000)
	v := openVersion(t, s, c)
	// A record whose digest does not fit its bytes, as damage would make it.
	require.NoError(t, v.Put(t.Context(), 0, c.data, pieces.SumOf([]byte("else")), host1))
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir, BootID: "one"})
	v = openVersion(t, s, c)
	_, err := v.ReadAt(make([]byte, 10), 0)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.False(t, v.Has(0))
}

const childPieces = 400

// writeUntilKilled puts pieces from several goroutines and prints each one
// after Put returned.
func writeUntilKilled(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir, Reserve: -1})
	if err != nil {
		return err
	}
	c := makeContent(&testing.T{}, 1, 1, childPieces*pieces.MinPieceSize)
	v, err := s.OpenVersion(c.key, c.facts)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for i := w; i < childPieces; i += 4 {
				if err := v.Put(context.Background(), i, c.piece(i), pieces.SumOf(c.piece(i)), host1); err != nil {
					failed <- err
				}
				fmt.Println(i)
			}
		}()
	}
	return <-failed
}

func TestKilledWriterLosesNothingItHadPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	cmd := child(t, "write", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	put := &pieces.Set{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var i int
		_, err := fmt.Sscan(lines.Text(), &i)
		require.NoError(t, err)
		put.Add(i)
		if put.Count() == childPieces/2 {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.ErrorContains(t, cmd.Wait(), "killed")
	require.GreaterOrEqual(t, put.Count(), childPieces/2)

	s := openStore(t, Options{Dir: dir})
	c := makeContent(t, 1, 1, childPieces*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	require.False(t, v.Verified(), "nobody vouches for a file that was being written")
	for e := range put.Extents() {
		for i := range e.All() {
			require.True(t, v.Has(i), "piece %d was put", i)
		}
	}
	for e := range v.Held().Extents() {
		for i := range e.All() {
			c.requirePieces(t, v, i)
		}
	}
}
