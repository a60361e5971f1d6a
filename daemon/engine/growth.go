package engine

import (
	"os"

	"damselfly/pieces"
)

// Growth follows the content file of an open content while pieces are written
// to it, for one who copies them. Safe for concurrent use.
type Growth struct {
	c    *Content
	step int64
	more chan struct{} // capacity 1

	// grown is how many bytes were written since more last got a value, told
	// what Written returned, as of the given number of losses. Content.mu
	// guards them.
	grown  int64
	told   *pieces.Set
	losses int
}

// Grow follows the content file until Close. More tells every step bytes.
func (h *Handle) Grow(step int64) *Growth {
	g := &Growth{c: h.c, step: step, more: make(chan struct{}, 1), told: &pieces.Set{}}
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	g.c.growths[g] = struct{}{}
	return g
}

// Close ends it.
func (g *Growth) Close() {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	delete(g.c.growths, g)
}

// More has a value when another step bytes were written.
func (g *Growth) More() <-chan struct{} { return g.more }

// File opens the content file read-only; the caller closes it. False while
// there is none, or something in it is suspect. Only what Written returned may
// be read from it, while the handle is open.
func (g *Growth) File() (*os.File, bool) {
	if g.c.v == nil {
		return nil, false
	}
	f, err := g.c.v.Partial()
	return f, err == nil
}

// Written returns the pieces in the file that it has not returned before, and
// whether all are there. When pieces were lost meanwhile, it returns all again:
// others may be in their place.
func (g *Growth) Written() (fresh []pieces.Extent, all bool) {
	c := g.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.losses != c.losses {
		g.losses, g.told = c.losses, &pieces.Set{}
	}
	there := c.held.Clone()
	for i := range c.mem {
		there.Remove(i)
	}
	untold := there.Clone()
	untold.SubtractSet(g.told)
	g.told = there
	return untold.List(), there.Count() == c.geo.Count()
}

// grew says that n bytes were written. c.mu is held.
func (c *Content) grew(n int64) {
	for g := range c.growths {
		if g.grown += n; g.grown >= g.step {
			g.grown = 0
			select {
			case g.more <- struct{}{}:
			default:
			}
		}
	}
}
