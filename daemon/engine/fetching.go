package engine

import (
	"context"
	"errors"
	"time"

	"damselfly/daemon/fetch"
	"damselfly/daemon/picker"
	"damselfly/pieces"
)

// schedule starts whatever can be started now. c.mu is held. It is called
// after every change of what is wanted, held, offered or permitted.
func (c *Content) schedule() {
	if c.closed {
		return
	}
	for _, r := range c.pick.Next(time.Now()) {
		c.request(r)
	}
	c.ask()
}

// request runs one data request to a neighbour. c.mu is held.
func (c *Content) request(r picker.Request) {
	n := c.neighbours[r.Host]
	if n == nil {
		c.pick.Done(r, 0, 0)
		return
	}
	host, geo := n.host, c.geo
	from := pieces.HitPeer
	if host.Type == pieces.SeedHost {
		from = pieces.HitSeed
	}
	insist := c.insist.Has(r.Extent.First)
	f, ctx := c.launch(r)
	ctx, span := c.requestSpan(ctx, r)
	c.tellFetching(r.Extent, c.e.o.Host.Far(host))
	c.wg.Go(func() {
		if err := c.pin(); err != nil {
			span.End(err)
			c.finish(f, 0, 0, err)
			return
		}
		defer c.unpin()
		var cur *buffer
		req := fetch.Request{
			Key: c.key, Geometry: geo, Extent: r.Extent, Host: host,
			Sum: c.sum, Urgent: r.Class == pieces.Demand, Insist: insist,
			Buffer: func(ctx context.Context, n int) ([]byte, error) {
				b, err := c.e.memory.get(ctx, n)
				if err != nil {
					return nil, err
				}
				cur = b
				return b.data, nil
			},
			Progress: func(n int) { f.bytes.Add(int64(n)) },
			Free:     func([]byte) { cur.release() },
			Deliver: func(i int, data []byte, sum pieces.Sum, cost time.Duration) {
				rep := report{cost: costOf(host.ID, len(data), cost), urgent: r.Class == pieces.Demand, flight: f}
				c.deliver(i, cur, sum, from, rep)
			},
		}
		if r.Wait {
			req.Wait = c.e.o.NeighbourWait
		}
		start := time.Now()
		bytes, err := c.e.fetch.Get(ctx, req)
		span.Int("bytes", bytes)
		span.End(err)
		c.finish(f, bytes, time.Since(start), err)
	})
}

func (c *Content) sum(i int) pieces.Sum {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sums[i]
}

// finish ends a request and, when it failed, finds other sources.
func (c *Content) finish(f *flight, bytes int64, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.land(f)
	c.pick.Done(f.Request, bytes, took)
	n := c.neighbours[f.Host]
	var fe *fetch.Error
	switch {
	case errors.As(err, &fe):
		c.requestFailed(f.Request, fe)
	case err == nil && n != nil:
		n.strikes = 0 // late or not: it gives
		// One that others overtook proves nothing: a busy seed is late for
		// everybody, and who is blocked for it reads the origin again. The
		// picker asks the late last.
	}
	if err != nil {
		c.tellStopped(f.Extent)
	}
	c.schedule()
}

// requestFailed draws the consequences of a failed request. c.mu is held.
func (c *Content) requestFailed(r picker.Request, fe *fetch.Error) {
	for k := range c.asked {
		c.asked[k].RemoveExtent(r.Extent)
	}
	c.unpointFrom(r)
	n := c.neighbours[r.Host]
	switch {
	case fe.Reason == pieces.FailBadBytes:
		c.log.WithError(fe).Warn("a neighbour sent wrong bytes")
		if !c.convict(r.Host, fe.Piece) {
			return
		}
	case n == nil:
		return
	case fe.Deferred:
		if r.Class == pieces.Demand {
			c.point(n, r.Extent, fe.Holder, fe.RetryAfter)
		} else {
			c.deferTo(n, r.Extent, fe.RetryAfter)
		}
		return
	case fe.Busy:
		c.pause(n, r.Class, max(fe.RetryAfter, 50*time.Millisecond))
		return
	case fe.Reason == pieces.FailNotFound:
		// It lost the pieces, or its fetch did not end in time: no fault,
		// unless it goes on saying that it holds what it does not give.
		lied := c.pick.Claims(r.Host, r.Extent)
		c.pick.NeighbourLost(r.Host, r.Extent)
		c.pick.NeighbourStopped(r.Host, r.Extent)
		if r.Wait {
			// The scheduler may know by now that the piece has come, and
			// would hold the wait against the host.
			return
		}
		if lied {
			c.strike(n, r)
			return
		}
	default:
		c.log.WithError(fe).WithField("host", r.Host.Short()).Debug("a neighbour failed")
		c.block(r.Host, 0)
	}
	c.tellFailed(r, fe.Reason)
}

func (c *Content) tellFailed(r picker.Request, why pieces.FailReason) {
	if c.peer != nil {
		c.peer.Failed(r.Host, []pieces.Extent{r.Extent}, why)
	}
}

// maxStrikes in a row block a neighbour as a failure does.
const maxStrikes = 3

// strike notes a request for something that the host says it holds and does
// not give. c.mu is held.
func (c *Content) strike(n *neighbour, r picker.Request) {
	if n.strikes++; n.strikes >= maxStrikes {
		c.log.WithField("host", r.Host.Short()).Debug("a neighbour keeps giving nothing")
		c.block(r.Host, 0)
	}
	c.tellFailed(r, pieces.FailNotFound)
}

// deferTo leaves pieces that a seed gave to another child to that child for a
// while; demand may ask for them all the same. c.mu is held.
func (c *Content) deferTo(n *neighbour, e pieces.Extent, d time.Duration) {
	c.pick.Defer(n.host.ID, e, true)
	time.AfterFunc(min(max(d, 20*time.Millisecond), time.Second), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pick.Defer(n.host.ID, e, false)
		c.schedule()
	})
}

// pause leaves a neighbour alone for a moment that was too busy for a request of a
// class. c.mu is held.
func (c *Content) pause(n *neighbour, refused pieces.Class, d time.Duration) {
	c.pick.Pause(n.host.ID, refused, true)
	time.AfterFunc(min(d, time.Second), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pick.Pause(n.host.ID, refused, false)
		c.schedule()
	})
}
