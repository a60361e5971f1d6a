package store

import (
	"io"
	"os"
	"testing"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

func TestPassthroughNeedsACompleteContentFile(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.put(t, v, 0)
	_, err := v.Passthrough()
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.False(t, s.Versions()[0].Passthrough)

	small := makeContent(t, 2, 1, 10)
	vs := openVersion(t, s, small)
	small.put(t, vs, 0)
	_, err = vs.Passthrough()
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
}

func TestPassthroughFlagIsDurable(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	c := makeContent(t, 1, 1, 2*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	f, err := v.Passthrough()
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 0)
	require.Error(t, err, "read-only")
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, c.data, got)

	s = openStore(t, Options{Dir: crashCopy(t, dir)})
	require.True(t, s.Versions()[0].Passthrough)
}

func TestPassthroughVerifiesWhatIsSuspect(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, BootID: "one"})
	c := makeContent(t, 1, 1, 3*pieces.MinPieceSize)
	c.putAll(t, openVersion(t, s, c))
	dir = crashCopy(t, dir)
	spoil(t, dataDir(dir).contentFile(1), c.geo.Offset(1))
	s = openStore(t, Options{Dir: dir, BootID: "two"})
	v := openVersion(t, s, c)
	_, err := v.Passthrough()
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.Equal(t, "[[0,1) [2,3)]", v.Held().String())
	c.put(t, v, 1)
	f, err := v.Passthrough()
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestFlaggedFileIsOnlyUnlinked(t *testing.T) {
	disk := newFaultDisk(t)
	disk.onPunch = func() { t.Error("punched") }
	s := openStore(t, Options{Dir: t.TempDir(), Disk: disk})
	c := makeContent(t, 1, 1, 8*pieces.MinPieceSize)
	v := openVersion(t, s, c)
	c.putAll(t, v)
	f, err := v.Passthrough()
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, v.Drop(pieces.Extent{First: 3, End: 4}))
	require.NoError(t, v.Close())

	freed := s.makeRoom(room{cache: 1}).cache // a byte would do, but the file goes as a whole
	require.EqualValues(t, 7*pieces.MinPieceSize, freed)
	_, err = os.Stat(f.Name())
	require.ErrorIs(t, err, os.ErrNotExist)
	got := make([]byte, len(c.data))
	_, err = f.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, c.data, got, "descriptors outside still read every byte")
}
