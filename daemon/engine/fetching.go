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
	for _, r := range c.pick.Next() {
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
	from := fromPeer
	if host.Type == pieces.SeedHost {
		from = fromSeed
	}
	c.tellFetching(r.Extent)
	c.wg.Go(func() {
		if c.pin() != nil {
			return
		}
		defer c.unpin()
		var cur *buffer
		req := fetch.Request{
			Key: c.key, Geometry: geo, Extent: r.Extent, Host: host,
			Sum: c.sum,
			Buffer: func(ctx context.Context, n int) ([]byte, error) {
				b, err := c.e.memory.get(ctx, n)
				if err != nil {
					return nil, err
				}
				cur = b
				return b.data, nil
			},
			Free: func([]byte) { cur.release() },
			Deliver: func(i int, data []byte, sum pieces.Sum, cost time.Duration) {
				rep := report{cost: costOf(host.ID, len(data), cost), urgent: r.Class == pieces.Demand}
				c.deliver(i, cur, sum, from, rep)
			},
		}
		if r.Wait {
			req.Wait = c.e.o.NeighbourWait
		}
		start := time.Now()
		bytes, err := c.e.fetch.Get(c.ctx, req)
		c.finish(r, bytes, time.Since(start), err)
	})
}

func (c *Content) sum(i int) pieces.Sum {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sums[i]
}

// finish ends a request and, when it failed, finds other sources.
func (c *Content) finish(r picker.Request, bytes int64, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pick.Done(r, bytes, took)
	var fe *fetch.Error
	if errors.As(err, &fe) {
		c.requestFailed(r, fe)
	}
	if err != nil {
		c.tellStopped(r.Extent)
	} else if n := c.neighbours[r.Host]; n != nil {
		n.strikes = 0
	}
	c.schedule()
}

// requestFailed draws the consequences of a failed request. c.mu is held.
func (c *Content) requestFailed(r picker.Request, fe *fetch.Error) {
	for k := range c.asked {
		c.asked[k].RemoveExtent(r.Extent)
	}
	n := c.neighbours[r.Host]
	if n == nil {
		return
	}
	switch {
	case fe.Busy:
		c.pause(n, max(fe.RetryAfter, 50*time.Millisecond))
		return
	case fe.Reason == pieces.FailNotFound:
		// It lost the pieces, or its fetch did not end in time: no fault.
		c.pick.NeighbourLost(r.Host, r.Extent)
		c.pick.NeighbourStopped(r.Host, r.Extent)
	case fe.Reason == pieces.FailBadBytes:
		c.log.WithError(fe).Warn("a neighbour sent wrong bytes")
		c.block(n, badBlock)
	default:
		c.log.WithError(fe).WithField("host", r.Host.Short()).Debug("a neighbour failed")
		c.block(n, 0)
	}
	if c.peer != nil {
		c.peer.Failed(r.Host, []pieces.Extent{r.Extent}, fe.Reason)
	}
}

// pause leaves a busy neighbour alone for a moment. c.mu is held.
func (c *Content) pause(n *neighbour, d time.Duration) {
	c.pick.Pause(n.host.ID, true)
	time.AfterFunc(min(d, time.Second), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pick.Pause(n.host.ID, false)
		c.schedule()
	})
}

// badBlock is how long a host that sent wrong bytes is out of a content.
const badBlock = time.Hour

// block remembers a failed host; the time doubles with each failure.
type block struct {
	until time.Time
	times int
}

// block stops using a neighbour for d, or, with d = 0, for 1 s, 2 s, … 64 s.
// c.mu is held.
func (c *Content) block(n *neighbour, d time.Duration) {
	b := c.blocked[n.host.ID]
	if b == nil {
		if len(c.blocked) > 1000 {
			clear(c.blocked)
		}
		b = &block{}
		c.blocked[n.host.ID] = b
	}
	if d == 0 {
		d = time.Second << min(b.times, 6)
	}
	b.times++
	b.until = time.Now().Add(d)
	c.removeNeighbour(n)
}

func (c *Content) isBlocked(id pieces.HostID) bool {
	b := c.blocked[id]
	return b != nil && time.Now().Before(b.until)
}

// blockedHosts are named to the scheduler, so that it names others.
func (c *Content) blockedHosts() []pieces.HostID {
	var out []pieces.HostID
	for id := range c.blocked {
		if c.isBlocked(id) {
			out = append(out, id)
		}
	}
	return out
}
