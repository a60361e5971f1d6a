package engine

import (
	"cmp"
	"context"
	"os"
	"sync"
	"time"

	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

// Handle is an open content. Safe for concurrent use.
type Handle struct {
	c *Content
	// had are the pieces that were here at the open: reads of them count as
	// cache hits.
	had *pieces.Set

	// reader: a program reads it, whose touches are told as access order, and
	// who may follow one. fill says when the file is fetched whole for it.
	reader bool
	fill   readahead.Fill
	close  sync.Once
}

// Open returns a handle; Close it. It joins the Task's swarm in the background.
func (c *Content) Open() (*Handle, error) {
	if err := c.pin(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles++
	c.register()
	return &Handle{c: c, had: c.held.Clone(), fill: readahead.FillNever}, nil
}

// OpenReader is Open for a program's reads.
func (c *Content) OpenReader(fill readahead.Fill) (*Handle, error) {
	h, err := c.Open()
	if err != nil {
		return nil, err
	}
	h.reader, h.fill = true, fill
	if fill == readahead.FillAlways {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.fillWhole()
	}
	return h, nil
}

// Content returns what the handle reads.
func (h *Handle) Content() *Content { return h.c }

// Close lets the content go.
func (h *Handle) Close() error {
	h.close.Do(func() {
		c := h.c
		c.mu.Lock()
		if c.handles--; c.handles == 0 {
			c.endAhead()
		}
		c.mu.Unlock()
		c.unpin()
	})
	return nil
}

// ReadAt reads len(p) bytes at off, fewer at the end of the content, where it
// returns 0, nil. It blocks until the bytes are here and verified, ctx ends, or
// nothing arrives for the read deadline. An error may follow some bytes.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	var from pieces.HitBytes
	return h.read(ctx, p, off, &from)
}

// read is ReadAt that adds to from where the bytes came from.
func (h *Handle) read(ctx context.Context, p []byte, off int64, from *pieces.HitBytes) (int, error) {
	c := h.c
	if off < 0 {
		return 0, pieces.Errorf(pieces.Invalid, "negative offset %d", off)
	}
	want := c.geo.Covering(off, int64(len(p)))
	if want.Empty() {
		return 0, nil
	}
	n, stalled, err := c.readHeld(ctx, p, off, pieces.HitNone, from)
	if stalled && err == nil && n == 0 && c.readPrefix(p, off, from) {
		n, stalled = len(p), false
	}
	looked := false
	if stalled && err == nil {
		n, looked, err = h.readWaiting(ctx, p, off, n, from)
	}
	if n > 0 {
		h.account(off, int64(n))
		h.wasRead(p[:n], off, stalled, looked)
	}
	return n, err
}

// readPrefix copies p from what came with the facts, if all of it did, and adds to
// from: who looks at the head of a file need not wait for its first piece. It is
// not compared with the digest that others have of that piece, so only a strong
// validator, by which the origin vouches for each byte of this Version, will do.
func (c *Content) readPrefix(p []byte, off int64, from *pieces.HitBytes) bool {
	if off >= c.geo.PieceSize || c.facts.Validator.Kind != pieces.StrongETag {
		return false
	}
	b := c.e.o.Prefix(c.key)
	if off+int64(len(p)) > int64(len(b)) {
		return false
	}
	copy(p, b[off:])
	from[pieces.HitOrigin] += int64(len(p))
	return true
}

// account counts bytes of pieces that were here at the open as cache hits.
func (h *Handle) account(off, n int64) {
	for i := range h.c.geo.Covering(off, n).All() {
		if h.had.Has(i) {
			first := max(off, h.c.geo.Offset(i))
			last := min(off+n, h.c.geo.Offset(i)+h.c.geo.Len(i))
			h.c.traffic.cache.Add(last - first)
			h.c.e.traffic.cache.Add(last - first)
		}
	}
}

// readWaiting goes on with a read at p[n:], wanting all it lacks at once; looked
// says that it has moved the reader's cursor.
func (h *Handle) readWaiting(ctx context.Context, p []byte, off int64, n int, from *pieces.HitBytes) (_ int, looked bool, err error) {
	c := h.c
	defer c.stalled(time.Now())
	left := c.geo.Covering(off+int64(n), int64(len(p)-n))
	ctx, span := c.waiting(ctx, left, pieces.Demand)
	defer func() { span.End(err) }()
	c.mu.Lock()
	in := c.stateFor(span.Parent(), left, pieces.Demand)
	if looked = !c.failing(); looked {
		h.lookAhead(off, int64(len(p)), true)
	}
	c.schedule()
	c.mu.Unlock()
	defer c.drop(in)
	came := pieces.HitNone
	for tries := 0; n < len(p); {
		k, stalled, err := c.readHeld(ctx, p[n:], off+int64(n), came, from)
		n += k
		if err != nil || !stalled {
			return n, looked, err
		}
		// Bytes that were here may turn out bad on disk, and are fetched
		// again; not for ever.
		if tries++; tries > 4*left.Len() {
			return n, looked, pieces.Errorf(pieces.Integrity, "the cache of %v keeps losing pieces", c.key)
		}
		if came, err = c.await(ctx, in, c.geo.Index(off+int64(n))); err != nil {
			return n, looked, err
		}
	}
	return n, looked, nil
}

// readHeld copies what is held from off on, and adds to from where it was; came,
// unless none, is where the first piece came from just now. missing says that it
// stopped at a piece that is not here. The content is pinned.
func (c *Content) readHeld(ctx context.Context, p []byte, off int64, came pieces.Hit, from *pieces.HitBytes) (n int, missing bool, err error) {
	for n < len(p) && off+int64(n) < c.geo.Size {
		at := off + int64(n)
		i := c.geo.Index(at)
		part := p[n:min(len(p), n+int(c.geo.Offset(i)+c.geo.Len(i)-at))]
		hit, err := c.readPieceHeld(i, part, at)
		if err != nil {
			return n, false, err
		}
		if hit == pieces.HitNone {
			return n, true, ctx.Err()
		}
		from[cmp.Or(came, hit)] += int64(len(part))
		came = pieces.HitNone
		n += len(part)
	}
	return n, false, nil
}

// readPieceHeld copies from piece i and returns where it was; none: it is not
// here.
func (c *Content) readPieceHeld(i int, p []byte, off int64) (pieces.Hit, error) {
	c.mu.Lock()
	if !c.held.Has(i) {
		err := c.broken.now()
		c.mu.Unlock()
		return pieces.HitNone, err
	}
	b := c.mem[i]
	if b != nil {
		b.retain()
	}
	c.mu.Unlock()
	if b != nil {
		copy(p, b.data[off-c.geo.Offset(i):])
		hit := b.from
		b.release()
		return hit, nil
	}
	if c.v == nil {
		c.lost([]pieces.Extent{{First: i, End: i + 1}})
		return pieces.HitNone, nil
	}
	if _, err := c.v.ReadAt(p, off); err != nil {
		c.bad(pieces.Extent{First: i, End: i + 1}, err)
		return pieces.HitNone, nil
	}
	if c.geo.Count() == 1 { // as the store has it
		return pieces.HitInline, nil
	}
	return pieces.HitDisk, nil
}

// Fetch brings bytes [off, off+n) here at the lowest priority, telling progress
// in bytes. When that is the whole content, a pinned digest is verified too.
func (h *Handle) Fetch(ctx context.Context, off, n int64, progress func(done, total int64)) (err error) {
	c := h.c
	e := c.geo.Covering(off, n)
	_, total := c.geo.Bytes(e)
	ctx, span := c.waiting(ctx, e, pieces.Fill)
	defer func() { span.End(err) }()
	c.mu.Lock()
	in := c.wantFor(span.Parent(), e, pieces.Fill)
	c.mu.Unlock()
	defer c.drop(in)
	err = c.waitAll(ctx, in, func(held int) {
		progress(min(int64(held)*c.geo.PieceSize, total), total)
	})
	if err != nil || e != c.geo.All() {
		return err
	}
	return c.awaitWhole(ctx)
}

// Settled waits until everything fetched so far is on disk.
func (h *Handle) Settled(ctx context.Context) error {
	c := h.c
	for {
		c.mu.Lock()
		n, changed := len(c.mem), c.changed
		c.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// File returns a read-only descriptor of the complete, verified content file
// for the kernel to read by itself; the caller closes it. False while pieces
// are missing, for inline content, and without a cache.
func (h *Handle) File() (*os.File, bool) {
	c := h.c
	if !c.complete() || c.v == nil || !c.v.Complete() {
		return nil, false
	}
	if !c.v.Verified() {
		c.verifyCached()
		return nil, false
	}
	f, err := c.v.Passthrough()
	if err != nil {
		return nil, false
	}
	return f, true
}
