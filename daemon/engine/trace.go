package engine

import (
	"context"
	"fmt"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// What is fetched is shared, so it hangs on no reader's context: the wants of
// traced readers carry their span, and what is started for a piece is below the
// span of one of those that want it.

// OpenedBy notes in which span the content is opened, so that its registration,
// if that is yet to come, is below it.
func (c *Content) OpenedBy(by trace.Parent) {
	if !by.Valid() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer == nil && !c.registering {
		c.openedBy = by
	}
}

// registeredFor takes the span a registration is made for, if any. c.mu is held.
func (c *Content) registeredFor() trace.Parent {
	by := c.openedBy
	c.openedBy = trace.Parent{}
	if !by.Valid() {
		for _, by = range c.traced {
			break
		}
	}
	return by
}

// follows notes that in is the want of a traced reader, if by is valid. c.mu is
// held.
func (c *Content) follows(in *interest, by trace.Parent) {
	if !by.Valid() {
		return
	}
	if c.traced == nil {
		c.traced = map[*interest]trace.Parent{}
	}
	c.traced[in] = by
}

// tracedIn returns the span of a traced reader who wants some of es: the most
// urgent one. c.mu is held.
func (c *Content) tracedIn(es []pieces.Extent) (by trace.Parent) {
	best := pieces.Class(pieces.Classes)
	for in, p := range c.traced {
		if in.class >= best {
			continue
		}
		for _, e := range es {
			if !in.extent.Intersect(e).Empty() {
				best, by = in.class, p
				break
			}
		}
	}
	return by
}

// span begins a span about this content.
func (c *Content) span(ctx context.Context, by trace.Parent, name string) (context.Context, trace.Span) {
	ctx, span := c.e.o.Tracer.Under(ctx, by, name, trace.Internal)
	c.name(span)
	return ctx, span
}

func (c *Content) name(span trace.Span) {
	if span.On() {
		span.Str("task", string(c.key.Task))
		span.Str("version", string(c.key.Version))
	}
}

// waiting begins the span of a reader that waits for e, if it is traced.
func (c *Content) waiting(ctx context.Context, e pieces.Extent, class pieces.Class) (context.Context, trace.Span) {
	ctx, span := trace.Child(ctx, "daemon.wait", trace.Internal)
	if span.On() {
		c.name(span)
		span.Str("pieces", fmt.Sprint(e))
		span.Str("class", fmt.Sprint(class))
	}
	return ctx, span
}

// requestSpan begins the span of a request to a neighbour, if somebody who is
// traced wants it. c.mu is held.
func (c *Content) requestSpan(ctx context.Context, r picker.Request) (context.Context, trace.Span) {
	if len(c.traced) == 0 {
		return ctx, trace.Span{}
	}
	ctx, span := c.e.o.Tracer.Under(ctx, c.tracedIn([]pieces.Extent{r.Extent}), "piece.get", trace.Client)
	if span.On() {
		c.name(span)
		span.Str("pieces", fmt.Sprint(r.Extent))
		span.Str("class", fmt.Sprint(r.Class))
		span.Str("host", string(r.Host))
	}
	return ctx, span
}

// originSpan begins the span of a read of the origin: for whoever the lease is
// given, or a traced reader here. c.mu is held.
func (c *Content) originSpan(ctx context.Context, o *originRead) (context.Context, trace.Span) {
	if !o.by.Valid() && len(c.traced) > 0 {
		o.by = c.tracedIn([]pieces.Extent{o.extent})
	}
	ctx, span := c.span(ctx, o.by, "origin.read")
	if span.On() {
		span.Str("pieces", fmt.Sprint(o.extent))
		span.Str("class", fmt.Sprint(o.class))
		span.Int("lease", int64(o.lease))
	}
	return ctx, span
}
