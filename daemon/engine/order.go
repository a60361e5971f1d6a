package engine

import (
	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

// Readers touch pieces in an order that later readers often follow, on this host
// and on others. First touches are told to the scheduler once a tick; it merges
// what all hosts tell and hands it to whoever registers later. While a reader
// keeps to such an order, what comes next in it is fetched ahead, behind demand
// and windows.

// maxTouches bounds the extents told, as the scheduler bounds those it keeps.
const maxTouches = 1000

// touches are the pieces in the order in which readers of this host first
// touched them. Content.mu guards it.
type touches struct {
	seen pieces.Set
	list []pieces.Extent
	// told is how many of list the scheduler has heard.
	told int
}

// add notes a touch of piece i.
func (t *touches) add(i int) {
	if !t.seen.Add(i) {
		return
	}
	if last := len(t.list) - 1; last >= t.told && t.list[last].End == i {
		t.list[last].End++
	} else if len(t.list) < maxTouches {
		t.list = append(t.list, pieces.Extent{First: i, End: i + 1})
	}
}

// touch notes that a reader read e. c.mu is held.
func (c *Content) touch(e pieces.Extent) {
	a := &c.ahead
	if e.Len() == 1 && e.First == a.last {
		return
	}
	for i := range e.All() {
		a.last = i
		if !a.touched.Add(i) {
			continue
		}
		c.touches.add(i)
		if a.follow != nil {
			a.follow.Touch(i)
			a.follow.moved = true
		}
	}
}

// tellTouches tells the scheduler what was touched since it was told last. c.mu
// is held.
func (c *Content) tellTouches() {
	if t := &c.touches; c.peer != nil && c.downSince.IsZero() && t.told < len(t.list) {
		c.peer.Touched(t.list[t.told:])
		t.told = len(t.list)
	}
}

// following is the access order in use.
type following struct {
	*readahead.Follower
	// wanted are the interests in what comes next, at most orderWants.
	wanted []*interest
	// moved: a reader moved, or something wanted has come.
	moved bool
}

// orderWants is how many extents of the order are asked for at once, and
// orderRun how many pieces one of them has at most: few, so that they come about
// in the order in which they are needed; enough to keep a link busy.
const (
	orderWants = 16
	orderRun   = 8
)

// takeOrder learns an access order of earlier readers. c.mu is held.
func (c *Content) takeOrder(order []pieces.Extent) {
	if len(order) == 0 {
		return
	}
	// No piece may come twice.
	var seen pieces.Set
	c.order = nil
	for _, e := range order {
		for run := range seen.Missing(e.Intersect(c.geo.All())) {
			c.order = append(c.order, run)
		}
		seen.AddExtent(e.Intersect(c.geo.All()))
	}
	c.followOrder()
}

// followOrder begins to follow the order that is known, if any. What readers
// have touched already counts. c.mu is held.
func (c *Content) followOrder() {
	a := &c.ahead
	if a.follow != nil {
		c.releaseAll(a.follow.wanted)
		a.follow = nil
	}
	if len(c.order) == 0 || c.e.o.OrderAhead < 0 {
		return
	}
	a.follow = &following{Follower: readahead.NewFollower(c.order, int(c.e.o.OrderAhead/c.geo.PieceSize)), moved: true}
	for _, e := range c.touches.list[max(0, len(c.touches.list)-orderWants):] {
		for i := range e.All() {
			if a.touched.Has(i) {
				a.follow.Touch(i)
			}
		}
	}
}

// wantOrder asks for what comes next in the order; it reports whether that is
// new. c.mu is held.
func (c *Content) wantOrder() (asked bool) {
	f := c.ahead.follow
	if f == nil || !f.moved || c.handles == 0 {
		return false
	}
	f.moved = false
	var ahead pieces.Set
	for e := range f.Ahead {
		ahead.AddExtent(e)
	}
	var gone []*interest
	kept := f.wanted[:0]
	var wanted pieces.Set
	for _, in := range f.wanted {
		switch {
		case in.err != nil:
			// The origin or the scheduler refuses it: nothing ahead is worth
			// asking for until a reader has to.
			c.order = nil
		case c.lacks(in.extent) && ahead.Has(in.extent.First):
			kept = append(kept, in)
			wanted.AddExtent(in.extent)
		default:
			gone = append(gone, in)
		}
	}
	f.wanted = kept
	c.releaseAll(gone)
	if c.order == nil {
		c.followOrder()
		return false
	}
	for e := range f.Ahead {
		for run := range c.held.Missing(e) {
			for part := range wanted.Missing(run) {
				for ; !part.Empty(); part.First += orderRun {
					if len(f.wanted) >= orderWants {
						return asked
					}
					in := c.state(pieces.Extent{First: part.First, End: min(part.End, part.First+orderRun)}, pieces.Order)
					f.wanted = append(f.wanted, in)
					asked = true
				}
			}
		}
	}
	return asked
}

// orderArrived notes that piece i has come. c.mu is held.
func (c *Content) orderArrived(i int) {
	f := c.ahead.follow
	if f == nil || f.moved {
		return
	}
	for _, in := range f.wanted {
		if in.extent.Has(i) {
			f.moved = true
			return
		}
	}
}
