// Package readahead decides how far to fetch ahead of the readers of one file.
// It is pure: no clock, no goroutine, no lock; callers serialise their calls.
//
// Cursors belong to the file, not to a handle, so that several descriptors or
// threads reading one stream share one cursor. A cursor opens only after two
// reads that adjoin; a random reader never opens one. Its window starts small
// and doubles whenever a reader stalls, that is, had to wait for a byte the
// window should have covered.
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
	def(&c.Behind, 1<<20)
	def(&c.Ahead, 16<<20)
	def(&c.Gap, 128<<10)
	def(&c.Start, 1<<20)
	def(&c.Max, 32<<20)
	return c
}

// Cursor is one sequential stream through the file.
type Cursor struct {
	// end is where the furthest read of the stream ended.
	end int64
	// open: two reads adjoined, so the stream has a window.
	open   bool
	window int64
	used   uint64
}

// Policy holds the cursors of one file.
type Policy struct {
	cfg     Config
	size    int64
	cursors []*Cursor
	tick    uint64
}

// New returns a policy for a file of size bytes.
func New(size int64, cfg Config) *Policy { return &Policy{cfg: cfg.withDefaults(), size: size} }

// Advice is what to fetch ahead after a read: bytes [Off, Off+N) for Cursor.
// N = 0: nothing.
type Advice struct {
	Cursor *Cursor
	Off, N int64
	// Replaced is a cursor that was given up for this one, or nil.
	Replaced *Cursor
}

// Read records a read of n bytes at off; stalled says that it had to wait.
func (p *Policy) Read(off, n int64, stalled bool) Advice {
	p.tick++
	end := min(off+n, p.size)
	c := p.find(off, end)
	if c == nil {
		c = &Cursor{end: end, used: p.tick}
		return Advice{Cursor: c, Replaced: p.add(c)}
	}
	c.used = p.tick
	switch {
	case !c.open:
		c.open, c.window = true, p.cfg.Start
	case stalled:
		c.window = min(2*c.window, p.cfg.Max)
	}
	c.end = max(c.end, end)
	return Advice{Cursor: c, Off: c.end, N: min(c.window, p.size-c.end)}
}

// find returns the cursor that a read belongs to: an open one whose range
// covers it, or one read old that it adjoins.
func (p *Policy) find(off, end int64) *Cursor {
	var best *Cursor
	for _, c := range p.cursors {
		var mine bool
		if c.open {
			mine = off >= c.end-p.cfg.Behind && off <= c.end+min(p.cfg.Ahead, c.window)
		} else {
			mine = off >= c.end && off-c.end <= p.cfg.Gap
		}
		if mine && (best == nil || distance(c.end, off) < distance(best.end, off)) {
			best = c
		}
	}
	return best
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
