package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"damselfly/pieces"
)

// standing is how many peers a Task needs at least, so that who registers finds
// four parents.
const standing = 5

// crowd is a fleet with contents in which some of its hosts take part.
//
// Content t has its peers at hosts t·each, t·each+1, …, counted round the
// fleet. The first holds everything. Who registers later comes after these, so
// that a host is in a Task once.
type crowd struct {
	fleet    *fleet
	contents []*content
	each     int
}

// settle brings each of n contents of size bytes to so many peers. They are in
// the midst of their downloads: half of the pieces held, the others wanted.
func settle(ctx context.Context, f *fleet, run string, n, each int, size int64) (*crowd, error) {
	c := &crowd{fleet: f, each: each}
	for i := range n {
		x, err := newContent(run, i, size)
		if err != nil {
			return nil, err
		}
		c.contents = append(c.contents, x)
	}
	// The first peer of each, then the others: these find parents.
	if err := forEach(ctx, n, func(ctx context.Context, i int) error { return c.found(ctx, i) }); err != nil {
		return nil, err
	}
	err := forEach(ctx, n*(each-1), func(ctx context.Context, k int) error {
		i := k % n
		h, x := c.peer(i, 1+k/n), c.contents[i]
		if _, err := h.register(ctx, x); err != nil {
			return err
		}
		if err := h.want(x, x.all()); err != nil {
			return err
		}
		return h.held(x, pieces.Extent{End: x.pieces / 2}, nil)
	})
	if broken := f.err(); broken != nil {
		err = broken // the rest follows from it
	}
	return c, err
}

// peer is the k-th host of content i.
func (c *crowd) peer(i, k int) *host {
	return c.fleet.hosts[(i*c.each+k)%len(c.fleet.hosts)]
}

// sumsAtOnce is how many digests a message carries at most.
const sumsAtOnce = 1024

// found makes the first peer of content i: it read the origin, and tells every
// digest.
func (c *crowd) found(ctx context.Context, i int) error {
	h, x := c.peer(i, 0), c.contents[i]
	if err := h.stat(ctx, x); err != nil {
		return err
	}
	if _, err := h.register(ctx, x, x.all()); err != nil {
		return err
	}
	for first := 0; first < x.pieces; first += sumsAtOnce {
		e := pieces.Extent{First: first, End: min(first+sumsAtOnce, x.pieces)}
		if err := h.held(x, e, nil, x.sums(e, h.ID)); err != nil {
			return err
		}
	}
	return nil
}

// fresh is the k-th peer that registers beyond the standing ones.
func (c *crowd) fresh(k int) (*host, *content) {
	i := k % len(c.contents)
	return c.peer(i, c.each+k/len(c.contents)), c.contents[i]
}

// freshMost is how many there can be.
func (c *crowd) freshMost() int { return (len(c.fleet.hosts) - c.each) * len(c.contents) }

// open registers n fresh peers at rate per second; all have left when it
// returns. With churn each leaves as soon as it has its answer. parents is how
// many they were given in all, of which nobody got none.
func (c *crowd) open(ctx context.Context, n int, rate float64, random *rand.Rand, churn bool, do func(func())) (o *Outcome, parents int64, err error) {
	var given, lost atomic.Int64
	var leaving sync.WaitGroup
	leave := func(ctx context.Context, k int) {
		h, x := c.fresh(k % c.freshMost())
		if h.leave(ctx, x) != nil {
			lost.Add(1)
		}
	}
	do(func() {
		o = Open(ctx, n, rate, random, func(ctx context.Context, k int) error {
			h, x := c.fresh(k % c.freshMost())
			ps, err := h.register(ctx, x)
			given.Add(int64(len(ps)))
			if err == nil && len(ps) == 0 {
				err = pieces.Errorf(pieces.NotFound, "registered without a parent")
			}
			if churn {
				leaving.Go(func() { leave(ctx, k) })
			}
			return err
		})
		leaving.Wait()
	})
	if !churn {
		err = forEach(ctx, min(n, c.freshMost()), func(ctx context.Context, k int) error {
			leave(ctx, k)
			return nil
		})
	}
	if broken := c.fleet.err(); broken != nil {
		err = broken
	}
	if err == nil && lost.Load() > 0 && o.Failed == 0 {
		err = pieces.Errorf(pieces.Unavailable, "%d peers could not leave", lost.Load())
	}
	return o, given.Load(), err
}
