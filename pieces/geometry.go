package pieces

import "math/bits"

// Bounds of the piece size and the number of pieces it aims at (DESIGN §5).
const (
	MinPieceSize = 256 << 10
	MaxPieceSize = 4 << 20
	targetPieces = 16384
	// MaxSize is the largest content we handle: 2^44 bytes, 4 Mi pieces.
	MaxSize = 1 << 44
)

// Geometry is how content of a size is cut into pieces: all of PieceSize bytes
// but the last. The zero Geometry is that of empty content.
type Geometry struct {
	Size      int64
	PieceSize int64
}

// GeometryOf returns the geometry every host uses for content of size bytes:
// the smallest power of two ≥ size/16384, clamped to 256 KiB … 4 MiB.
// A negative size or one over MaxSize is an Invalid error.
func GeometryOf(size int64) (Geometry, error) {
	if size < 0 || size > MaxSize {
		return Geometry{}, Errorf(Invalid, "content size %d is outside 0 … %d", size, int64(MaxSize))
	}
	want := uint64((size + targetPieces - 1) / targetPieces)
	ps := int64(MinPieceSize)
	if want > MinPieceSize {
		ps = 1 << bits.Len64(want-1)
	}
	return Geometry{Size: size, PieceSize: min(ps, MaxPieceSize)}, nil
}

// Count returns the number of pieces, 0 for empty content.
func (g Geometry) Count() int {
	if g.PieceSize == 0 {
		return 0
	}
	return int((g.Size + g.PieceSize - 1) / g.PieceSize)
}

// Offset returns where piece i begins.
func (g Geometry) Offset(i int) int64 { return int64(i) * g.PieceSize }

// Len returns the length of piece i in bytes; 0 ≤ i < Count.
func (g Geometry) Len(i int) int64 { return min(g.PieceSize, g.Size-g.Offset(i)) }

// Index returns the piece that holds byte off.
func (g Geometry) Index(off int64) int { return int(off / g.PieceSize) }

// All returns the extent of every piece.
func (g Geometry) All() Extent { return Extent{0, g.Count()} }

// Covering returns the pieces that hold bytes [off, off+n), clipped to the
// content; empty if nothing of it lies inside.
func (g Geometry) Covering(off, n int64) Extent {
	if off < 0 || n <= 0 || off >= g.Size {
		return Extent{}
	}
	end := g.Size
	if n < g.Size-off {
		end = off + n
	}
	return Extent{g.Index(off), g.Index(end-1) + 1}
}

// Bytes returns the byte range [off, off+n) of the pieces of e, clipped.
func (g Geometry) Bytes(e Extent) (off, n int64) {
	off = min(g.Offset(e.First), g.Size)
	return off, min(g.Offset(e.End), g.Size) - off
}

// Contains reports whether e lies inside the content and is not empty.
func (g Geometry) Contains(e Extent) bool {
	return e.First >= 0 && e.First < e.End && e.End <= g.Count()
}
