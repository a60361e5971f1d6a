// Package readahead decides what to fetch ahead of the readers of one file. It
// is pure: no clock, no goroutine, no lock; callers serialise their calls.
//
// # Streams
//
// Cursors belong to the file, not to a handle, so that several descriptors or
// threads reading one stream share one cursor. A cursor opens only after two
// reads that adjoin; a random reader never opens one, and where hardly any read
// adjoins another, it takes four. Its window starts small and grows
// to four times its size whenever a reader stalls, that is, had to wait for a
// byte the window should have covered.
//
// # Steps
//
// Three reads of one length at equal distances, forward or backward, make a
// cursor that steps: it looks ahead to where the next ones will be, twice as
// many of them after each stall. A backward reader steps by its own length.
//
// # What the kernel does
//
// Buffered reads and page faults reach us as the kernel's own readahead: runs of
// up to read_ahead_kb (1 MiB on our mounts), which adjoin for a sequential
// program, and up to 1 MiB around the page for a fault that follows no other.
// One such run is one read here, so that random faults open nothing.
//
// # Beside cursors
//
// A Follower leads a reader along the access order of earlier ones (order.go),
// FooterAt knows formats that are read from their end (footer.go), and Whole
// tells a file that is evidently wanted as a whole (whole.go).
package readahead

// Config holds the policy's numbers; zero fields take their defaults (DESIGN §8).
type Config struct {
	// Cursors per file (default 16), least recently used one replaced.
	Cursors int
	// Behind and Ahead of a cursor, in bytes, a read still belongs to it
	// (defaults 1 MiB and 16 MiB).
	Behind, Ahead int64
	// Gap that two reads may leave and still adjoin (default 128 KiB).
	Gap int64
	// Start and Max of the window in bytes (defaults 1 MiB and 32 MiB).
	Start, Max int64
	// Steps is the most reads a stepping cursor looks ahead (default 32, and no
	// more than Max bytes).
	Steps int
	// InOrder is the share of the file that is read in order from its start
	// before the file counts as wanted whole (default 1/4), AnyOrder the share
	// that is read in whatever order (default 7/8).
	InOrder, AnyOrder float64
}

func (c Config) withDefaults() Config {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Cursors == 0 {
		c.Cursors = 16
	}
	if c.Steps == 0 {
		c.Steps = 32
	}
	if c.InOrder == 0 {
		c.InOrder = 0.25
	}
	if c.AnyOrder == 0 {
		c.AnyOrder = 0.875
	}
	def(&c.Behind, 1<<20)
	def(&c.Ahead, 16<<20)
	def(&c.Gap, 128<<10)
	def(&c.Start, 1<<20)
	def(&c.Max, 32<<20)
	return c
}

// Range is bytes [Off, Off+N) of the file.
type Range struct{ Off, N int64 }

// Policy holds the cursors of one file.
type Policy struct {
	cfg     Config
	size    int64
	cursors []*Cursor
	tick    uint64
	// loners are the last reads that no cursor took, the newest last.
	loners []Range
	// recent has a bit per recent read, the newest lowest: some cursor took it.
	recent uint16
	reads  int
}

// New returns a policy for a file of size bytes.
func New(size int64, cfg Config) *Policy { return &Policy{cfg: cfg.withDefaults(), size: size} }

// Advice is what a read changes. A cursor's ranges replace those it asked for
// before; no Ranges: what it asked for stays.
type Advice struct {
	Cursor *Cursor
	// Ranges to have here, the nearest first; all lie in the file.
	Ranges []Range
	// Replaced is a cursor that was given up for this one, or nil.
	Replaced *Cursor
}

// Read records a read of n bytes at off; stalled says that it had to wait.
func (p *Policy) Read(off, n int64, stalled bool) Advice {
	p.tick++
	p.reads++
	r := Range{off, min(n, p.size-off)}
	c := p.find(r)
	p.recent <<= 1
	if c == nil {
		return p.alone(r)
	}
	p.recent |= 1
	c.used = p.tick
	if c.step != 0 {
		return Advice{Cursor: c, Ranges: c.stride(r, stalled, p)}
	}
	return Advice{Cursor: c, Ranges: c.stream(r, stalled, p)}
}

// find returns the cursor that a read belongs to, the nearest of several.
func (p *Policy) find(r Range) *Cursor {
	var best *Cursor
	for _, c := range p.cursors {
		if c.takes(r, p) && (best == nil || distance(c.end, r.Off) < distance(best.end, r.Off)) {
			best = c
		}
	}
	return best
}

// alone begins a cursor with a read that belongs to none.
func (p *Policy) alone(r Range) Advice {
	c := &Cursor{begin: r.Off, end: r.Off + r.N, used: p.tick}
	a := Advice{Cursor: c, Replaced: p.add(c)}
	if step := p.steps(r); step != 0 {
		c.step, c.each, c.end, c.depth = step, r.N, r.Off, startDepth
		a.Ranges = c.ahead(p)
	}
	if len(p.loners) == lonersKept {
		p.loners = append(p.loners[:0], p.loners[1:]...)
	}
	p.loners = append(p.loners, r)
	return a
}

// randomBelow: with fewer of the last 16 reads taken by cursors, readers count
// as random.
const randomBelow = 4

// enough is how many reads must adjoin to open a cursor.
func (p *Policy) enough() int {
	taken := 0
	for m := p.recent; m != 0; m &= m - 1 {
		taken++
	}
	if p.reads >= 16 && taken < randomBelow {
		return 4
	}
	return 2
}

func (p *Policy) add(c *Cursor) (replaced *Cursor) {
	if len(p.cursors) < p.cfg.Cursors {
		p.cursors = append(p.cursors, c)
		return nil
	}
	oldest := 0
	for i, o := range p.cursors {
		if o.used < p.cursors[oldest].used {
			oldest = i
		}
	}
	replaced, p.cursors[oldest] = p.cursors[oldest], c
	return replaced
}

func distance(a, b int64) int64 {
	if a > b {
		return a - b
	}
	return b - a
}
