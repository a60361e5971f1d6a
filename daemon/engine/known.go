package engine

import (
	"context"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// answered says that what a scheduler knows of the content has come, or that
// none has answered. c.mu is held.
func (c *Content) answered() {
	select {
	case <-c.heard:
	default:
		close(c.heard)
	}
}

// AwaitOrder waits until a scheduler has told the access order it knows, if one
// is to be asked. The content is open.
func (c *Content) AwaitOrder(ctx context.Context) error {
	if !c.swarms() {
		return nil
	}
	select {
	case <-c.heard:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Order returns the access order that is known here: that of earlier readers,
// then what readers of this host touched that is not in it.
func (c *Content) Order() []pieces.Extent {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen pieces.Set
	var out []pieces.Extent
	for _, es := range [][]pieces.Extent{c.order, c.touches.list} {
		for _, e := range es {
			for run := range seen.Missing(e) {
				if last := len(out) - 1; last >= 0 && out[last].End == run.First {
					out[last].End = run.End
				} else {
					out = append(out, run)
				}
			}
			seen.AddExtent(e)
		}
	}
	return out
}

// PutOrder makes an access order known: readers here follow it, and the scheduler
// is told as if they had touched the pieces so. It returns how many extents were
// kept, at most maxTouches, with those touched here before.
func (c *Content) PutOrder(order []pieces.Extent) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var clean []pieces.Extent
	for _, e := range order {
		if e = e.Intersect(c.geo.All()); !e.Empty() {
			clean = append(clean, e)
		}
	}
	before := len(c.touches.list)
	for _, e := range clean {
		for i := range e.All() {
			c.touches.add(i)
		}
	}
	c.takeOrder(clean)
	c.tellTouches()
	if c.wantOrder() {
		c.schedule()
	}
	return len(c.touches.list) - before
}

// FetchAll is Fetch of several extents, which come about in this order.
func (h *Handle) FetchAll(ctx context.Context, es []pieces.Extent, progress func(done, total int64)) error {
	c, by := h.c, trace.Of(ctx)
	var total, done int64
	for _, e := range es {
		_, n := c.geo.Bytes(e)
		total += n
	}
	for len(es) > 0 {
		group := es[:min(len(es), orderWants)]
		es = es[len(group):]
		ins := make([]*interest, len(group))
		c.mu.Lock()
		for k, e := range group {
			ins[k] = c.stateFor(by, e, pieces.Fill)
		}
		c.schedule()
		c.mu.Unlock()
		err := h.awaitEach(ctx, ins, func(n int64) { progress(done+n, total) }, &done)
		c.mu.Lock()
		c.releaseAll(ins)
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitEach waits for one interest after the other and adds their bytes to done.
func (h *Handle) awaitEach(ctx context.Context, ins []*interest, progress func(int64), done *int64) error {
	for _, in := range ins {
		_, n := h.c.geo.Bytes(in.extent)
		err := h.c.waitAll(ctx, in, func(held int) { progress(min(n, int64(held)*h.c.geo.PieceSize)) })
		if err != nil {
			return err
		}
		*done += n
	}
	return nil
}

// Holding returns the pieces of a content that are here, without telling anybody
// that it is looked at.
func (e *Engine) Holding(t *pieces.Task, facts pieces.Facts, canFetch bool) (*pieces.Set, error) {
	c, err := e.Content(t, facts, canFetch)
	if err != nil {
		return nil, err
	}
	if err := c.pin(); err != nil {
		return nil, err
	}
	defer c.unpin()
	return c.Held(), nil
}
