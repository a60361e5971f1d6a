package readahead

// Budget bounds the bytes that all windows of a daemon may reach ahead. The
// zero Budget bounds nothing. It is not safe for concurrent use.
type Budget struct {
	// Size in bytes; 0 = no bound.
	Size int64
	// used by windows, of which there are so many.
	used    int64
	windows int
}

// Take grants up to want bytes to a new window: its fair share of all, and no
// more than is left.
func (b *Budget) Take(want int64) int64 {
	b.windows++
	if b.Size > 0 {
		want = max(0, min(want, b.Size-b.used, b.Size/int64(b.windows)))
	}
	b.used += want
	return want
}

// Give returns what a window was granted; it is over.
func (b *Budget) Give(granted int64) {
	b.used -= granted
	b.windows--
}

// Clip shortens ranges to n bytes in all.
func Clip(rs []Range, n int64) []Range {
	var out []Range
	for _, r := range rs {
		if n <= 0 {
			break
		}
		r.N = min(r.N, n)
		n -= r.N
		out = append(out, r)
	}
	return out
}

// Bytes returns the length of all ranges.
func Bytes(rs []Range) (n int64) {
	for _, r := range rs {
		n += r.N
	}
	return n
}
