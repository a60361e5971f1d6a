package readahead

// Cursor is one stream through the file: of adjoining reads, or of reads at
// equal steps.
type Cursor struct {
	// begin is where the stream began, end where its furthest read ended.
	begin, end int64
	// adjoined counts reads that adjoined before the cursor opened.
	adjoined int
	// open: enough reads adjoined, so the stream has a window.
	open   bool
	window int64
	// asked is how far the ranges advised last reach.
	asked int64
	used  uint64

	// step is the distance of reads, negative if they go backward; 0: they
	// adjoin. Then end is where the last one began, each its length, depth how
	// many are looked ahead to, and asked where the last of these begins.
	step, each int64
	depth      int
}

// takes reports whether a read belongs to c: an open cursor's covers it, or one
// not open yet it adjoins.
func (c *Cursor) takes(r Range, p *Policy) bool {
	switch {
	case c.step != 0:
		k := (r.Off - c.end) / c.step
		return r.Off-c.end == k*c.step && k >= 1 && k <= int64(2*c.depth) && r.N <= 2*c.each
	case c.open:
		return r.Off >= c.end-p.cfg.Behind && r.Off <= c.end+min(p.cfg.Ahead, c.window)
	}
	return r.Off >= c.end && r.Off-c.end <= p.cfg.Gap
}

// growth is by what a stall multiplies a window. Each step costs a reader a round
// trip to where the bytes are, and what a reader that has come as far as a window
// leaves unread is little beside what it read.
const growth = 4

// stream moves c to a read that adjoins. The window is asked for anew when half
// of it is used up, so that small reads do not make small requests.
func (c *Cursor) stream(r Range, stalled bool, p *Policy) []Range {
	c.end = max(c.end, r.Off+r.N)
	switch {
	case c.open && stalled:
		c.window = min(growth*c.window, p.cfg.Max)
	case c.open:
	default:
		if c.adjoined++; c.adjoined+1 < p.enough() {
			return nil
		}
		c.open, c.window = true, p.cfg.Start
	}
	if c.asked-c.end > c.window/2 || c.end == p.size {
		return nil
	}
	to := min(c.end+c.window, p.size)
	if to <= c.asked {
		return nil
	}
	c.asked = to
	return []Range{{c.end, to - c.end}}
}

// startDepth is how many steps a new cursor looks ahead.
const startDepth = 2

// stride moves c to a read at one of the next steps.
func (c *Cursor) stride(r Range, stalled bool, p *Policy) []Range {
	c.end = r.Off
	if stalled {
		most := max(1, min(int64(p.cfg.Steps), p.cfg.Max/c.each))
		c.depth = int(min(int64(2*c.depth), most))
	}
	if (c.asked-c.end)/c.step > int64(c.depth/2) {
		return nil
	}
	return c.ahead(p)
}

// ahead returns where the next reads will be, joined where they nearly touch.
func (c *Cursor) ahead(p *Policy) []Range {
	var out []Range
	at := c.end
	for range c.depth {
		next := at + c.step
		if next < 0 && next > -c.each {
			next = 0 // the last one of a backward reader is shorter
		}
		if next < 0 || next >= p.size || next == at {
			break
		}
		at = next
		r := Range{at, min(c.each, p.size-at)}
		if last := len(out) - 1; last >= 0 && distance(at, out[last].Off) <= c.each+p.cfg.Gap {
			o := out[last]
			lo, hi := min(o.Off, r.Off), max(o.Off+o.N, r.Off+r.N)
			out[last] = Range{lo, hi - lo}
			continue
		}
		out = append(out, r)
	}
	c.asked = at
	return out
}

// lonersKept is among how many reads that belong to no cursor steps are looked
// for.
const lonersKept = 8

// steps returns the distance at which r follows two earlier reads of its
// length, 0 if it follows none.
func (p *Policy) steps(r Range) int64 {
	for i := len(p.loners) - 1; i > 0; i-- {
		mid := p.loners[i]
		step := r.Off - mid.Off
		if step == 0 || mid.N != r.N {
			continue
		}
		for _, first := range p.loners[:i] {
			if first.N == r.N && mid.Off-first.Off == step {
				return step
			}
		}
	}
	return 0
}
