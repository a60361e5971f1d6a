package pieces

import (
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPieceSizes(t *testing.T) {
	const target = 16384
	for _, c := range []struct{ size, piece int64 }{
		{0, MinPieceSize}, {1, MinPieceSize}, {MinPieceSize, MinPieceSize}, {target * MinPieceSize, MinPieceSize},
		{target*MinPieceSize + 1, 2 * MinPieceSize}, {target * 512 << 10, 512 << 10}, {target*512<<10 + 1, 1 << 20},
		{target * 1 << 20, 1 << 20}, {target * 2 << 20, 2 << 20}, {target*2<<20 + 1, 4 << 20}, {target * 4 << 20, MaxPieceSize}, {MaxSize, MaxPieceSize},
	} {
		g, err := GeometryOf(c.size)
		require.NoError(t, err)
		require.Equal(t, Geometry{c.size, c.piece}, g)
	}
	for _, size := range []int64{-1, MaxSize + 1, -1 << 63, 1<<63 - 1} {
		_, err := GeometryOf(size)
		require.Equal(t, Invalid, KindOf(err))
	}
}

func TestEmptyGeometry(t *testing.T) {
	g, err := GeometryOf(0)
	require.NoError(t, err)
	for _, g := range []Geometry{g, {}} {
		require.Zero(t, g.Count())
		require.True(t, g.All().Empty())
		require.True(t, g.Covering(0, 10).Empty())
		require.False(t, g.Contains(Extent{0, 1}))
	}
}

// checkGeometry holds for content of any size: the pieces tile it, and offsets
// and indexes are each other's inverse.
func checkGeometry(t *testing.T, size, off, n int64) {
	g, err := GeometryOf(size)
	require.NoError(t, err)
	require.Equal(t, 1, bits.OnesCount64(uint64(g.PieceSize)))
	require.True(t, MinPieceSize <= g.PieceSize && g.PieceSize <= MaxPieceSize)
	if size <= 16384*MaxPieceSize {
		require.LessOrEqual(t, g.Count(), 16384)
	}
	require.Equal(t, (size+g.PieceSize-1)/g.PieceSize, int64(g.Count()))
	if size > 0 {
		last := g.Count() - 1
		require.Equal(t, size, g.Offset(last)+g.Len(last))
		require.Positive(t, g.Len(last))
		require.Equal(t, last, g.Index(size-1))
		i := g.Index(off % size)
		require.True(t, g.Offset(i) <= off%size && off%size < g.Offset(i)+g.Len(i))
		require.Equal(t, i, g.Index(g.Offset(i)))
		require.Equal(t, i, g.Index(g.Offset(i)+g.Len(i)-1))
		require.True(t, g.Contains(Extent{i, i + 1}))
	}
	allOff, allN := g.Bytes(g.All())
	require.Zero(t, allOff)
	require.Equal(t, size, allN)

	e := g.Covering(off, n)
	if off >= size || n <= 0 {
		require.True(t, e.Empty())
		return
	}
	require.True(t, g.Contains(e))
	bOff, bN := g.Bytes(e)
	end := size
	if n < size-off {
		end = off + n
	}
	require.True(t, bOff <= off && end <= bOff+bN, "covers what was asked")
	require.True(t, off-bOff < g.PieceSize && bOff+bN-end < g.PieceSize, "and no piece more")
	require.Equal(t, e, g.Covering(bOff, bN), "round trip")
	sum := int64(0)
	if e.Len() < 10000 {
		for i := range e.All() {
			sum += g.Len(i)
		}
		require.Equal(t, bN, sum)
	}
	require.False(t, g.Contains(Extent{e.First, g.Count() + 1}))
	require.False(t, g.Contains(Extent{-1, e.End}))
	require.False(t, g.Contains(Extent{e.First, e.First}))
}

func TestGeometryProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		size := r.Int64() >> (r.IntN(44) + 19)
		checkGeometry(t, size, r.Int64()>>(r.IntN(44)+19), r.Int64()>>r.IntN(63)-5)
	}
}

func FuzzGeometry(f *testing.F) {
	f.Add(int64(0), int64(0), int64(0))
	f.Add(int64(MaxSize), int64(MaxSize-1), int64(1<<63-1))
	f.Add(int64(16384*MinPieceSize+1), int64(MinPieceSize), int64(1))
	f.Fuzz(func(t *testing.T, size, off, n int64) {
		if size < 0 || size > MaxSize || off < 0 {
			_, err := GeometryOf(size)
			require.Equal(t, size < 0 || size > MaxSize, err != nil)
			require.True(t, Geometry{Size: 100, PieceSize: MinPieceSize}.Covering(min(off, -1), n).Empty())
			return
		}
		checkGeometry(t, size, off, n)
	})
}
