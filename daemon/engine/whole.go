package engine

import (
	"context"
	"io"
	"time"

	"damselfly/pieces"
)

// wholeCheck is the verification of a pinned digest over the whole content.
type wholeCheck struct {
	running bool
	done    bool
	err     error
	// over is closed when the check that is running has ended.
	over chan struct{}
}

// breakage: the whole content did not match its pinned digest. It is not read
// again before until.
type breakage struct {
	err   error
	until time.Time
}

// now returns the error while it counts.
func (b breakage) now() error {
	if time.Now().Before(b.until) {
		return b.err
	}
	return nil
}

// checkWhole starts the verification of the pinned digest once all pieces are
// here; without a pinned digest there is nothing to do.
func (c *Content) checkWhole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.whole
	if c.task.Digest == "" || w.running || w.done || c.closed {
		return
	}
	w.running, w.over = true, make(chan struct{})
	digest := c.task.Digest
	c.wg.Go(func() {
		err := error(pieces.Errorf(pieces.Unavailable, "the daemon is stopping"))
		if c.pin() == nil {
			err = c.verifyWhole(c.ctx, digest)
			c.unpin()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		w.running, w.done, w.err = false, err == nil, err
		if pieces.KindOf(err) == pieces.Integrity {
			c.log.WithError(err).Error("content does not match its pinned digest: dropping it")
			e := pieces.Errorf(pieces.Integrity, "%w", err)
			e.Permanent = true
			c.broken = breakage{e, time.Now().Add(c.e.o.BrokenFor)}
			c.failAll(e)
			c.wg.Go(func() { c.e.o.Replaced(c.key.Task, pieces.Facts{}) })
			c.discard(c.geo.All())
		}
		close(w.over)
	})
}

// verifyWhole hashes the content as held; c is pinned.
func (c *Content) verifyWhole(ctx context.Context, d pieces.Digest) error {
	if c.v != nil && c.v.Whole() {
		return nil
	}
	h := d.Hash()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < c.geo.Size; {
		n, _, err := c.readHeld(ctx, buf, off, pieces.HitNone, &pieces.HitBytes{})
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	if err := d.Verify(h); err != nil {
		return err
	}
	if c.v != nil {
		return c.v.MarkWhole()
	}
	return nil
}

// awaitWhole waits for the pinned digest to be verified; all pieces are here.
func (c *Content) awaitWhole(ctx context.Context) error {
	for {
		c.checkWhole()
		c.mu.Lock()
		w, pinned, broken := c.whole, c.task.Digest != "", c.broken.now()
		c.mu.Unlock()
		switch {
		case broken != nil:
			return broken
		case !pinned || w.done:
			return nil
		case !w.running:
			return w.err
		}
		select {
		case <-w.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// complete reports whether all pieces are here and the pinned digest, if any,
// is verified.
func (c *Content) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held.Count() == c.geo.Count() && (c.task.Digest == "" || c.whole.done)
}

// verifyCached reads content that survived an unclean stop of the machine once
// more, beside its readers; until then it is not handed to the kernel. The
// content is pinned.
func (c *Content) verifyCached() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verifying || c.closed {
		return
	}
	c.verifying = true
	c.wg.Go(func() {
		if c.pin() == nil {
			if c.v != nil {
				if err := c.v.Verify(c.ctx); err != nil && c.ctx.Err() == nil {
					c.log.WithError(err).Warn("verifying the cache after an unclean stop")
				}
			}
			c.unpin()
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.verifying = false
	})
}
