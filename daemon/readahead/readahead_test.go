package readahead

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const kib, mib = 1 << 10, 1 << 20

func TestASecondAdjoiningReadOpensAWindow(t *testing.T) {
	p := New(1<<30, Config{})
	require.Zero(t, p.Read(0, 128*kib, true).N)
	a := p.Read(128*kib, 128*kib, true)
	require.Equal(t, int64(256*kib), a.Off)
	require.Equal(t, int64(mib), a.N)
}

func TestStallsDoubleTheWindow(t *testing.T) {
	p := New(1<<30, Config{})
	off := int64(0)
	read := func(stalled bool) int64 {
		a := p.Read(off, 128*kib, stalled)
		off += 128 * kib
		return a.N
	}
	read(true)
	require.Equal(t, int64(mib), read(true))
	require.Equal(t, int64(2*mib), read(true))
	require.Equal(t, int64(2*mib), read(false), "a reader that is served in time needs no more")
	for range 20 {
		read(true)
	}
	require.Equal(t, int64(32*mib), read(true))
}

func TestRandomReadersGetNothing(t *testing.T) {
	p := New(1<<34, Config{})
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		// Multiples of 1 MiB plus a little: never adjoining but by chance.
		a := p.Read(r.Int64N(1<<14)*mib, 64*kib, true)
		require.Zero(t, a.N)
	}
	require.LessOrEqual(t, len(p.cursors), 16)
}

func TestManyHandlesShareOneCursor(t *testing.T) {
	p := New(1<<30, Config{})
	p.Read(0, 128*kib, true)
	first := p.Read(128*kib, 128*kib, true).Cursor
	// Reads of one stream arrive out of order, as the kernel sends them.
	require.Same(t, first, p.Read(384*kib, 128*kib, true).Cursor)
	require.Same(t, first, p.Read(256*kib, 128*kib, true).Cursor)
}

func TestTwoStreams(t *testing.T) {
	p := New(1<<30, Config{})
	for i := range int64(10) {
		a := p.Read(i*128*kib, 128*kib, true)
		b := p.Read(512*mib+i*128*kib, 128*kib, true)
		require.NotSame(t, a.Cursor, b.Cursor)
	}
	require.Len(t, p.cursors, 2)
}

func TestTheOldestCursorGoes(t *testing.T) {
	p := New(1<<34, Config{Cursors: 2})
	a := p.Read(0, kib, true).Cursor
	p.Read(100*mib, kib, true)
	require.Same(t, a, p.Read(200*mib, kib, true).Replaced)
}

func TestTheWindowEndsWithTheFile(t *testing.T) {
	p := New(300*kib, Config{})
	p.Read(0, 128*kib, true)
	a := p.Read(128*kib, 128*kib, true)
	require.Equal(t, int64(44*kib), a.N)
	require.Zero(t, p.Read(256*kib, 128*kib, true).N)
}
