package engine

import (
	"context"
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// interest is one reader's want of an extent, until drop.
type interest struct {
	in     *picker.Interest
	extent pieces.Extent
	class  pieces.Class
	since  time.Time
	// stuck are pieces it has waited for too long to believe what neighbours
	// say they have; nil = none.
	stuck *pieces.Set
	// refusals counts the scheduler's answers that nobody can give it just now.
	refusals int
	// err is set before done is closed: the extent can't be had.
	err  error
	done chan struct{}
	// full, if somebody waits for all of the extent, is closed when the last of
	// the left missing pieces has come.
	full chan struct{}
	left int
}

// arrival is what readers of one missing piece wait for.
type arrival struct {
	done chan struct{}
	// from is where it came from; set before done is closed.
	from pieces.Hit
}

// want states an interest and starts what can be started for it. c.mu is held.
func (c *Content) want(e pieces.Extent, class pieces.Class) *interest {
	return c.wantFor(trace.Parent{}, e, class)
}

// wantFor is want for a reader that is traced, if by is valid. c.mu is held.
func (c *Content) wantFor(by trace.Parent, e pieces.Extent, class pieces.Class) *interest {
	in := c.stateFor(by, e, class)
	c.schedule()
	return in
}

// state is want that leaves the starting to the caller. c.mu is held.
func (c *Content) state(e pieces.Extent, class pieces.Class) *interest {
	return c.stateFor(trace.Parent{}, e, class)
}

// stateFor is wantFor that leaves the starting to the caller. c.mu is held.
func (c *Content) stateFor(by trace.Parent, e pieces.Extent, class pieces.Class) *interest {
	in := &interest{in: c.pick.Want(e, class), extent: e, class: class, since: time.Now(), done: make(chan struct{})}
	c.interests[in] = struct{}{}
	c.follows(in, by)
	if err := c.broken.now(); err != nil {
		c.failInterest(in, err)
	} else if f := c.failure; f.err != nil && class == pieces.Demand && time.Now().Before(f.until) && c.lacks(e.Intersect(f.extent)) {
		c.failInterest(in, f.err)
	}
	if class == pieces.Demand {
		c.hasten(e)
	}
	return in
}

// Want states an interest in e until the returned function is called.
func (c *Content) Want(e pieces.Extent, class pieces.Class) (drop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.want(e, class)
	return func() { c.drop(in) }
}

// drop ends an interest.
func (c *Content) drop(in *interest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseAll([]*interest{in})
}

// releaseAll is drop for several; c.mu is held.
func (c *Content) releaseAll(ins []*interest) {
	any := false
	for _, in := range ins {
		if _, ok := c.interests[in]; ok {
			delete(c.interests, in)
			delete(c.traced, in)
			c.pick.Drop(in.in)
			any = true
		}
	}
	if any {
		c.lastUse = time.Now()
		c.unask()
	}
}

// failInterest ends an interest in err: nothing is fetched for it any more,
// also if nobody waits for it now, as ahead of a reader. c.mu is held.
func (c *Content) failInterest(in *interest, err error) {
	if _, ok := c.interests[in]; !ok {
		return
	}
	delete(c.interests, in)
	delete(c.traced, in)
	c.pick.Drop(in.in)
	in.err = err
	close(in.done)
}

// fail ends the waits of interests in e that lack pieces of it; c.mu is held.
// Reads see the error for a second, since the kernel asks twice.
func (c *Content) fail(e pieces.Extent, err error) {
	c.failure = failure{e, err, time.Now().Add(time.Second)}
	for in := range c.interests {
		if c.lacks(in.extent.Intersect(e)) {
			c.failInterest(in, err)
		}
	}
	c.unask()
}

// failure is what is remembered of the last one.
type failure struct {
	extent pieces.Extent
	err    error
	until  time.Time
}

// failing reports whether something could not be had a moment ago: then nothing is
// looked for ahead of who tries again, until he succeeds. c.mu is held.
func (c *Content) failing() bool {
	return c.rest.err != nil || c.failure.err != nil && time.Now().Before(c.failure.until)
}

// lacks reports whether a piece of e is not here; c.mu is held.
func (c *Content) lacks(e pieces.Extent) bool {
	for range c.held.Missing(e) {
		return true
	}
	return false
}

func (c *Content) failAll(err error) {
	for in := range c.interests {
		c.failInterest(in, err)
	}
}

// arrived wakes whoever waits for piece i; c.mu is held.
func (c *Content) arrived(i int) {
	for in := range c.counted {
		if in.extent.Has(i) {
			if in.left--; in.left == 0 {
				close(in.full)
			}
		}
	}
	if a := c.arrivals[i]; a != nil {
		delete(c.arrivals, i)
		if b := c.mem[i]; b != nil {
			a.from = b.from
		}
		close(a.done)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// await waits until piece i is held, the interest failed, ctx ended, or
// nothing of the content arrived for the deadline. It returns where the piece
// came from if it had to wait for it.
func (c *Content) await(ctx context.Context, in *interest, i int) (pieces.Hit, error) {
	c.mu.Lock()
	if c.held.Has(i) {
		c.mu.Unlock()
		return pieces.HitNone, nil
	}
	a := c.arrivals[i]
	if a == nil {
		a = &arrival{done: make(chan struct{})}
		c.arrivals[i] = a
	}
	c.mu.Unlock()
	start := time.Now()
	t := time.NewTimer(c.e.o.ReadDeadline)
	defer t.Stop()
	for {
		select {
		case <-a.done:
			return a.from, nil
		case <-in.done:
			return pieces.HitNone, in.err
		case <-ctx.Done():
			return pieces.HitNone, ctx.Err()
		case <-t.C:
			left := c.e.o.ReadDeadline - time.Since(c.lastProgress(start))
			if left <= 0 {
				return pieces.HitNone, pieces.Errorf(pieces.Timeout, "no byte of %v arrived for %v", c.key, c.e.o.ReadDeadline)
			}
			t.Reset(left)
		}
	}
}

// lastProgress returns when the last verified byte came, at least since.
func (c *Content) lastProgress(since time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.progress.After(since) {
		return c.progress
	}
	return since
}

// waitAll waits until all of in's extent is held, calling progress with how many
// pieces of it are, at most every 200 ms and at the end.
func (c *Content) waitAll(ctx context.Context, in *interest, progress func(held int)) error {
	start := time.Now()
	deadline := time.NewTimer(c.e.o.ReadDeadline)
	defer deadline.Stop()
	tell := time.NewTicker(200 * time.Millisecond)
	defer tell.Stop()
	defer c.uncount(in)
	for {
		full, left := c.count(in)
		progress(in.extent.Len() - left)
		if left == 0 {
			return nil
		}
		select {
		case <-full:
		case <-tell.C:
		case <-in.done:
			return in.err
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			left := c.e.o.ReadDeadline - time.Since(c.lastProgress(start))
			if left <= 0 {
				return pieces.Errorf(pieces.Timeout, "no byte of %v arrived for %v", c.key, c.e.o.ReadDeadline)
			}
			deadline.Reset(left)
		}
	}
}

// count returns how many pieces in lacks, and what is closed when it lacks none.
func (c *Content) count(in *interest) (full <-chan struct{}, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, counted := c.counted[in]; !counted {
		c.counted[in] = struct{}{}
		c.countMissing(in)
	}
	return in.full, in.left
}

// countMissing counts anew: at the start, and when pieces were lost. c.mu is held.
func (c *Content) countMissing(in *interest) {
	in.full, in.left = make(chan struct{}), 0
	for m := range c.held.Missing(in.extent) {
		in.left += m.Len()
	}
}

func (c *Content) uncount(in *interest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.counted, in)
}
