package engine

import (
	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

// ahead is what readers make a content fetch before they ask for it. Content.mu
// guards it. All of it ends when the last handle is closed.
type ahead struct {
	policy  *readahead.Policy
	windows map[*readahead.Cursor]*window
	// footer is where a format is read from its end, once its head was read.
	footer *interest
	// touched are the pieces read since the first handle was opened, last the
	// one that came last.
	touched pieces.Set
	last    int
	follow  *following
	// fill is the interest in the whole, when it is evidently wanted; unfit: the
	// cache had no room for it then.
	fill  *interest
	unfit bool
}

// window is what was asked for ahead of a cursor.
type window struct {
	ins []*interest
	// granted of the budget for all windows.
	granted int64
}

func (c *Content) newAhead() ahead {
	return ahead{
		policy:  readahead.New(c.geo.Size, c.e.o.Readahead),
		windows: map[*readahead.Cursor]*window{}, last: -1,
	}
}

// lookAhead lets a read of n bytes at off move the reader's cursor, and reports
// whether something was asked for. It is called when a read begins to wait: its
// window is fetched beside it, and the reads that a kernel has under way at once
// come in their order, however they end. c.mu is held.
func (h *Handle) lookAhead(off, n int64, stalled bool) bool {
	c := h.c
	if c.handles == 0 || c.held.Count() == c.geo.Count() {
		return false // closed meanwhile, or all is here
	}
	a := c.ahead.policy.Read(off, n, stalled)
	if a.Replaced != nil {
		c.closeWindow(a.Replaced)
	}
	return c.moveWindow(a)
}

// wasRead notes a read of p at off that has ended well; stalled says that it had
// to wait, looked that it has moved the cursor.
func (h *Handle) wasRead(p []byte, off int64, stalled, looked bool) {
	c := h.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handles == 0 {
		return // closed meanwhile
	}
	if h.reader {
		c.touch(c.geo.Covering(off, int64(len(p))))
	}
	if c.held.Count() == c.geo.Count() {
		return
	}
	asked := !looked && h.lookAhead(off, int64(len(p)), stalled)
	if h.reader {
		asked = c.wantFooter(p, off) || asked
		asked = c.wantWhole(h.fill) || asked
		asked = c.wantOrder() || asked
	}
	if asked {
		c.schedule()
	}
}

// moveWindow asks for what is advised instead of what was before. c.mu is held.
func (c *Content) moveWindow(a readahead.Advice) bool {
	if len(a.Ranges) == 0 {
		return false
	}
	old := c.ahead.windows[a.Cursor]
	if old != nil {
		c.e.ahead.give(old.granted)
	}
	w := &window{granted: c.e.ahead.take(readahead.Bytes(a.Ranges))}
	for _, r := range readahead.Clip(a.Ranges, w.granted) {
		w.ins = append(w.ins, c.state(c.geo.Covering(r.Off, r.N), pieces.Window))
	}
	c.ahead.windows[a.Cursor] = w
	if old != nil {
		c.releaseAll(old.ins)
	}
	return true
}

// closeWindow gives up what was asked for ahead of a cursor. c.mu is held.
func (c *Content) closeWindow(cur *readahead.Cursor) {
	if w := c.ahead.windows[cur]; w != nil {
		delete(c.ahead.windows, cur)
		c.e.ahead.give(w.granted)
		c.releaseAll(w.ins)
	}
}

// wantFooter asks for the end of a file whose format is read from there, once
// its first bytes are read. c.mu is held.
func (c *Content) wantFooter(p []byte, off int64) bool {
	if off != 0 || c.ahead.footer != nil {
		return false
	}
	r := readahead.FooterAt(p, c.geo.Size)
	if r.N == 0 {
		return false
	}
	c.ahead.footer = c.state(c.geo.Covering(r.Off, r.N), pieces.Window)
	return true
}

// wantWhole asks for everything, behind all else, when the file is evidently
// wanted whole and the cache has room for it. c.mu is held.
func (c *Content) wantWhole(f readahead.Fill) bool {
	a := &c.ahead
	if f != readahead.FillAuto || a.fill != nil || a.unfit || !a.policy.Whole(a.touched.Count(), c.geo.Count()) {
		return false
	}
	if a.unfit = !c.fits(); a.unfit {
		return false
	}
	a.fill = c.state(c.geo.All(), pieces.Fill)
	return true
}

// fits reports whether the cache can keep all of the content; it is pinned.
func (c *Content) fits() bool {
	u := c.e.o.Store.Usage()
	return c.v != nil && u.Caching && c.geo.Size <= u.Size
}

// fillWhole fetches everything in the background, whoever goes on reading it.
// c.mu is held, and the content open.
func (c *Content) fillWhole() {
	if c.filling || c.closed || c.held.Count() == c.geo.Count() || !c.fits() {
		return
	}
	c.filling = true
	c.wg.Go(func() {
		h, err := c.Open()
		if err == nil {
			err = h.Fetch(c.ctx, 0, c.geo.Size, func(int64, int64) {})
			h.Close()
		}
		if err != nil && c.ctx.Err() == nil {
			c.log.WithError(err).Info("a file could not be fetched whole in the background")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.filling = false
	})
}

// endAhead drops what was fetched ahead for readers who are gone. c.mu is held.
func (c *Content) endAhead() {
	a := c.ahead
	for cur := range a.windows {
		c.closeWindow(cur)
	}
	var ins []*interest
	if a.follow != nil {
		ins = a.follow.wanted
	}
	for _, in := range []*interest{a.footer, a.fill} {
		if in != nil {
			ins = append(ins, in)
		}
	}
	c.releaseAll(ins)
	c.ahead = c.newAhead()
	c.followOrder()
}
