package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// readHits reads all of f in blocks and returns where the bytes came from.
func readHits(t *testing.T, f *daemon.File, want []byte, block int) (sum pieces.HitBytes) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	buf := make([]byte, block)
	for off := 0; off < len(want); {
		n, from, err := f.ReadFrom(ctx, buf, int64(off))
		require.NoError(t, err)
		require.Equal(t, want[off:off+n], buf[:n])
		require.EqualValues(t, n, from.Total(), "every byte came from somewhere")
		for h, k := range from {
			sum[h] += k
		}
		off += n
	}
	return sum
}

// Every byte that a program reads is counted where it came from: on the first
// host from the origin, on the next from that one, and from disk once it is
// there.
func TestReadsAreCountedWhereTheirBytesCameFrom(t *testing.T) {
	for _, size := range []int{100 << 10, 3<<20 + 99} {
		c := New(t, 1)
		o := newOrigin(t, size)
		held := pieces.HitDisk
		if size < 256<<10 {
			held = pieces.HitInline
		}
		for _, source := range []pieces.Hit{pieces.HitOrigin, pieces.HitPeer} {
			h := c.Host(nil)
			f := h.Open(o.URL+"/f", pieces.Options{})
			first := readHits(t, f, o.data, 128<<10)
			require.EqualValues(t, size, first.Total())
			require.Equal(t, source, first.Farthest())
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			require.NoError(t, f.Settled(ctx))
			cancel()
			again := readHits(t, f, o.data, 128<<10)
			require.EqualValues(t, size, again[held], "%v", again)

			r := h.Reads()
			require.EqualValues(t, 2*size, r.Bytes.Total())
			require.EqualValues(t, 2*((size+128<<10-1)/(128<<10)), r.Total())
			require.Zero(t, r.Count[pieces.HitNone])
		}
	}
}

// A read that waits is a stall, and for as long as it waits.
func TestStallsAreCounted(t *testing.T) {
	c := New(t, 1)
	o := newOrigin(t, 3<<20)
	h := c.Host(nil)
	f := h.Open(o.URL+"/f", pieces.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	began := time.Now()
	_, from, err := f.ReadFrom(ctx, make([]byte, 4096), 2<<20)
	took := time.Since(began)
	require.NoError(t, err)
	require.Equal(t, pieces.HitOrigin, from.Farthest())
	r := h.Reads()
	require.EqualValues(t, 1, r.Stalls)
	require.Positive(t, r.Stalled)
	require.LessOrEqual(t, r.Stalled, took)
	_, _, err = f.ReadFrom(ctx, make([]byte, 4096), 2<<20)
	require.NoError(t, err)
	require.EqualValues(t, 1, h.Reads().Stalls, "what is here is not waited for")
}

// The head of a file comes with its facts: who reads no further neither waits for
// a piece nor has the origin asked twice.
func TestTheHeadComesWithTheFacts(t *testing.T) {
	c := New(t, 1)
	o := newOrigin(t, 3<<20)
	f := c.Host(nil).Open(o.URL+"/f", pieces.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := make([]byte, 16<<10)
	_, from, err := f.ReadFrom(ctx, got, 40<<10)
	require.NoError(t, err)
	require.Equal(t, o.data[40<<10:56<<10], got)
	require.EqualValues(t, len(got), from[pieces.HitOrigin])
	require.EqualValues(t, 1, o.gets.Load())
	_, _, err = f.ReadFrom(ctx, got, 56<<10)
	require.NoError(t, err)
	require.Equal(t, o.data[56<<10:72<<10], got, "beyond what came, the piece is read")
	require.Greater(t, o.gets.Load(), int64(1))
}

// Where the origin does not vouch for each byte, what came with the facts is no
// more than a part of the first piece, which is verified as a whole.
func TestTheHeadOfAWeakVersionIsReadAsAPiece(t *testing.T) {
	c := New(t, 1)
	o := newOrigin(t, 3<<20)
	o.etag = `W/"1"`
	f := c.Host(nil).Open(o.URL+"/f", pieces.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := make([]byte, 16<<10)
	_, _, err := f.ReadFrom(ctx, got, 40<<10)
	require.NoError(t, err)
	require.Equal(t, o.data[40<<10:56<<10], got)
	require.Greater(t, o.gets.Load(), int64(1))
}
