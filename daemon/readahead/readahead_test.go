package readahead

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

const kib, mib, gib = 1 << 10, 1 << 20, 1 << 30

func TestASecondAdjoiningReadOpensAWindow(t *testing.T) {
	p := New(gib, Config{})
	require.Empty(t, p.Read(0, 128*kib, true).Ranges)
	require.Equal(t, []Range{{256 * kib, mib}}, p.Read(128*kib, 128*kib, true).Ranges)
}

func TestAWindowIsAskedForAnewWhenHalfOfItIsUsedUp(t *testing.T) {
	p := New(gib, Config{})
	p.Read(0, 128*kib, true)
	p.Read(128*kib, 128*kib, true)
	for off := int64(256 * kib); off < 640*kib; off += 128 * kib {
		require.Empty(t, p.Read(off, 128*kib, false).Ranges)
	}
	require.Equal(t, []Range{{768 * kib, mib}}, p.Read(640*kib, 128*kib, false).Ranges)
}

func TestStallsWidenTheWindow(t *testing.T) {
	p := New(gib, Config{})
	var c *Cursor
	off := int64(0)
	read := func(stalled bool) int64 {
		c = p.Read(off, 128*kib, stalled).Cursor
		off += 128 * kib
		return c.window
	}
	read(true)
	require.Equal(t, int64(mib), read(true))
	require.Equal(t, int64(4*mib), read(true))
	require.Equal(t, int64(4*mib), read(false), "a reader that is served in time needs no more")
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
		require.Empty(t, p.Read(r.Int64N(1<<14)*mib, 64*kib, true).Ranges)
	}
	require.LessOrEqual(t, len(p.cursors), 16)
}

func TestAmongRandomReadsItTakesFourToOpen(t *testing.T) {
	p := New(1<<34, Config{})
	for i := range int64(40) {
		p.Read(i*i*100*mib%(1<<34), 64*kib, true)
	}
	for i := range int64(3) {
		require.Empty(t, p.Read(7*gib+i*64*kib, 64*kib, true).Ranges)
	}
	require.NotEmpty(t, p.Read(7*gib+3*64*kib, 64*kib, true).Ranges)
}

func TestManyHandlesShareOneCursor(t *testing.T) {
	p := New(gib, Config{})
	p.Read(0, 128*kib, true)
	first := p.Read(128*kib, 128*kib, true).Cursor
	// Reads of one stream arrive out of order, as the kernel sends them.
	require.Same(t, first, p.Read(384*kib, 128*kib, true).Cursor)
	require.Same(t, first, p.Read(256*kib, 128*kib, true).Cursor)
}

func TestTwoStreams(t *testing.T) {
	p := New(gib, Config{})
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
	require.Same(t, a, p.Read(250*mib, kib, true).Replaced)
}

func TestTheWindowEndsWithTheFile(t *testing.T) {
	p := New(300*kib, Config{})
	p.Read(0, 128*kib, true)
	require.Equal(t, []Range{{256 * kib, 44 * kib}}, p.Read(128*kib, 128*kib, true).Ranges)
	require.Empty(t, p.Read(256*kib, 128*kib, true).Ranges)
}

func TestStepsForward(t *testing.T) {
	p := New(gib, Config{})
	for i := range int64(2) {
		require.Empty(t, p.Read(i*4*mib, 64*kib, true).Ranges)
	}
	require.Equal(t, []Range{{12 * mib, 64 * kib}, {16 * mib, 64 * kib}}, p.Read(8*mib, 64*kib, true).Ranges)
	a := p.Read(12*mib, 64*kib, true)
	require.Len(t, a.Ranges, 4, "twice as many after a stall")
	require.Equal(t, Range{16 * mib, 64 * kib}, a.Ranges[0])
}

func TestBackwardReadersStepByTheirLength(t *testing.T) {
	p := New(mib, Config{})
	for off := int64(mib); off > 768*kib; {
		off -= 128 * kib
		require.Empty(t, p.Read(off, 128*kib, true).Ranges)
	}
	require.Equal(t, []Range{{384 * kib, 256 * kib}}, p.Read(640*kib, 128*kib, true).Ranges, "one range, as they touch")
	require.Equal(t, []Range{{0, 512 * kib}}, p.Read(512*kib, 128*kib, true).Ranges)
	require.Empty(t, p.Read(384*kib, 128*kib, false).Ranges)
}

func TestFooters(t *testing.T) {
	require.Equal(t, Range{gib - 66*kib, 66 * kib}, FooterAt([]byte("PK\x03\x04…"), gib))
	require.Equal(t, Range{0, 100}, FooterAt([]byte("PAR1"), 100))
	for _, head := range []string{"", "PK", "\x1f\x8b\x08", "{\"__metadata__\""} {
		require.Zero(t, FooterAt([]byte(head), gib))
	}
}

func TestWhole(t *testing.T) {
	read := func(from, to int64) *Policy {
		p := New(gib, Config{})
		for off := from; off < to; off += mib {
			p.Read(off, mib, false)
		}
		return p
	}
	require.False(t, read(0, 250*mib).Whole(1000, 4096))
	require.True(t, read(0, 256*mib).Whole(1024, 4096))
	require.False(t, read(512*mib, gib).Whole(2048, 4096), "not from its start")
	random := New(gib, Config{})
	require.False(t, random.Whole(3500, 4096))
	require.True(t, random.Whole(3600, 4096))
}

func TestBudget(t *testing.T) {
	b := Budget{Size: 8 * mib}
	first := b.Take(32 * mib)
	require.EqualValues(t, 8*mib, first, "the only one may take all")
	require.Zero(t, b.Take(mib), "nothing is left")
	b.Give(first)
	require.EqualValues(t, 4*mib, b.Take(32*mib), "its share among two")
	require.EqualValues(t, 8*mib/3, b.Take(32*mib), "among three")
	require.EqualValues(t, mib, b.Take(mib))
	var none Budget
	require.EqualValues(t, gib, none.Take(gib))
	require.Equal(t, []Range{{0, 5}, {9, 2}}, Clip([]Range{{0, 5}, {9, 4}, {20, 1}}, 7))
}
