package console

import "damselfly/proto/commonpb"

// mapCells is how many columns a piece map has at most; content of fewer pieces
// has a column each.
const mapCells = 200

// run is some adjacent columns that are equally full.
type run struct {
	X, Width int
	// Full is 1 (some) to 4 (all).
	Full int
}

// pieceMap is what one host holds, as a picture. Of more than mapCells pieces
// each column stands for several.
type pieceMap struct {
	Cells int
	Runs  []run
}

// newPieceMap draws extents of content of n pieces; those outside are left out.
func newPieceMap(extents []*commonpb.Extent, n int) pieceMap {
	cells := min(n, mapCells)
	if cells == 0 {
		return pieceMap{}
	}
	held := make([]int, cells)
	for _, e := range extents {
		first, end := int(e.GetFirst()), min(int(e.GetEnd()), n)
		for i := first; i < end; {
			c := cellOf(i, n, cells)
			to := min(end, firstOf(c+1, n, cells))
			held[c] += to - i
			i = to
		}
	}
	m := pieceMap{Cells: cells}
	for c, h := range held {
		of := firstOf(c+1, n, cells) - firstOf(c, n, cells)
		full := 0
		if h > 0 {
			full = min(4, 1+h*3/of)
		}
		last := len(m.Runs) - 1
		switch {
		case full == 0:
		case last >= 0 && m.Runs[last].Full == full && m.Runs[last].X+m.Runs[last].Width == c:
			m.Runs[last].Width++
		default:
			m.Runs = append(m.Runs, run{c, 1, full})
		}
	}
	return m
}

// cellOf is the column of piece i, firstOf the first piece of a column.
func cellOf(i, n, cells int) int  { return int(int64(i) * int64(cells) / int64(n)) }
func firstOf(c, n, cells int) int { return int((int64(c)*int64(n) + int64(cells) - 1) / int64(cells)) }
