package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnyRangeEqualsTheWhole(t *testing.T) {
	f := New(1, "a", 100_003)
	whole, err := io.ReadAll(f.Reader())
	require.NoError(t, err)
	require.Len(t, whole, 100_003)
	for off := range 40 {
		for _, n := range []int{0, 1, 7, 8, 9, 4096} {
			p := make([]byte, n)
			_, err := f.ReadAt(p, int64(off))
			require.NoError(t, err)
			require.Equal(t, whole[off:off+n], p, "offset %d length %d", off, n)
		}
	}
	sum := sha256.Sum256(whole)
	require.Equal(t, hex.EncodeToString(sum[:]), f.SHA256())
	require.NoError(t, f.CheckReader(bytes.NewReader(whole[5:]), 5, f.Size-5))
}

func TestReadAtStopsAtTheEnd(t *testing.T) {
	f := New(1, "a", 10)
	n, err := f.ReadAt(make([]byte, 8), 6)
	require.Equal(t, 4, n)
	require.ErrorIs(t, err, io.EOF)
	n, err = f.ReadAt(make([]byte, 8), 20)
	require.Equal(t, 0, n)
	require.ErrorIs(t, err, io.EOF)
}

func TestCheckFindsEveryKindOfWrong(t *testing.T) {
	f := New(1, "a", 1<<20)
	good, err := io.ReadAll(f.Reader())
	require.NoError(t, err)

	flipped := bytes.Clone(good)
	flipped[77_777] ^= 1
	require.ErrorContains(t, f.Check(flipped, 0), "byte 77777 ")
	hole := bytes.Clone(good)
	clear(hole[4096:8192])
	require.ErrorContains(t, f.Check(hole, 0), "byte 4096 is 0x00")
	require.ErrorContains(t, f.Check(hole, 0), "hole")
	require.Error(t, f.Check(good[8:16], 0), "shifted by a word")
	require.Error(t, f.Check(good[:10], f.Size-5), "beyond the end")
	require.ErrorContains(t, f.CheckReader(bytes.NewReader(good[:100]), 0, 200), "ends at byte 100")
	require.ErrorContains(t, f.CheckReader(bytes.NewReader(good[:200]), 0, 100), "more than 100")
}

func TestSeedAndNameChangeTheBytes(t *testing.T) {
	a := New(1, "a", 4096)
	require.Equal(t, a.SHA256(), New(1, "a", 4096).SHA256())
	require.NotEqual(t, a.SHA256(), New(2, "a", 4096).SHA256())
	require.NotEqual(t, a.SHA256(), New(1, "b", 4096).SHA256())
}

func BenchmarkFill(b *testing.B) {
	f := New(1, "a", 1<<40)
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		f.fill(p, int64(i)<<20)
	}
}
