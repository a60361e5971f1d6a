package engine

import (
	"context"
	"io"
	"time"

	"damselfly/daemon/picker"
	"damselfly/daemon/upload"
	"damselfly/pieces"
)

// Open answers a neighbour's request for bytes (upload.Backend). Pieces that
// are not here yet are waited for, each up to r.Wait, if they are being fetched;
// those before them are sent meanwhile.
func (e *Engine) Open(ctx context.Context, r upload.Request) (upload.Content, error) {
	c, err := e.await(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	if !c.public {
		return nil, pieces.Errorf(pieces.NotFound, "%v is not here", r.Key)
	}
	ext := c.geo.Covering(r.Off, r.N)
	if ext.Empty() || r.Off+r.N > c.geo.Size {
		return nil, pieces.Errorf(pieces.Invalid, "bytes %d-%d are outside the content's %d", r.Off, r.Off+r.N-1, c.geo.Size)
	}
	g, err := c.seed(r, ext)
	if err != nil {
		return nil, err
	}
	u := &uploading{c: c, grant: g, off: r.Off, end: r.Off + r.N, wait: r.Wait}
	if err := c.pin(); err != nil {
		g.over(true)
		return nil, err
	}
	if r.Wait <= 0 && !c.holds(ext) {
		u.Refused()
		u.Close()
		return nil, pieces.Errorf(pieces.NotFound, "pieces %v of %v are not all held", ext, c.key)
	}
	if r.Wait > 0 && r.Urgent {
		c.hastenFor(ext)
	}
	return u, nil
}

func (c *Content) holds(e pieces.Extent) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.lacks(e)
}

func (c *Content) hastenFor(e pieces.Extent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hasten(e)
}

// seed refuses, on a seed with several children, what another child was given
// first (picker.Seeding), and says to whom. Who did not get it there insists.
func (c *Content) seed(r upload.Request, ext pieces.Extent) (*grant, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seeding == nil || c.policy == pieces.PolicyClassic {
		return nil, nil
	}
	n := c.neighbours[r.Asker]
	g := &grant{c: c, asker: r.Asker, extent: ext}
	far := n != nil && c.e.o.Host.Far(n.host)
	now, expected := time.Now(), expectedAt(c.geo.Size, assumedRate)
	v, again := c.seeding.Ask(now, r.Asker, ext, r.Urgent && r.Insists, far, expected, c.pick.HeldNearby)
	if v == picker.Granted {
		return g, nil
	}
	to, known := c.seeding.First(ext.First)
	if r.Urgent && (!known || to == r.Asker) {
		// There is nowhere to send a reader to.
		c.seeding.Ask(now, r.Asker, ext, true, far, expected, c.pick.HeldNearby)
		return g, nil
	}
	if v == picker.Later {
		return nil, &pieces.Error{Kind: pieces.Throttled, Msg: "children nearby come first", RetryAfter: again}
	}
	return nil, &upload.Elsewhere{Host: c.hostOf(to), After: again}
}

// hostOf returns what is known of a host. c.mu is held.
func (c *Content) hostOf(id pieces.HostID) pieces.Host {
	if n := c.neighbours[id]; n != nil {
		return n.host
	}
	return pieces.Host{ID: id}
}

// leaseLag is how long an asker who may wait is given for pieces that nobody
// here fetches yet: the lease it was told of may be on its way.
const leaseLag = 250 * time.Millisecond

// awaitPiece returns when piece i is held, within wait; one that nobody fetches
// is NotFound soon.
func (c *Content) awaitPiece(ctx context.Context, i int, wait time.Duration) error {
	if c.holds(pieces.Extent{First: i, End: i + 1}) {
		return nil
	}
	began := time.Now()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		_, wanted := c.pick.Wanted(i)
		held, coming, changed := c.held.Has(i), c.pick.Flying(i) || wanted, c.changed
		c.mu.Unlock()
		if held {
			return nil
		}
		if wait <= 0 || !coming && time.Since(began) >= leaseLag {
			return pieces.Errorf(pieces.NotFound, "piece %d of %v is not held", i, c.key)
		}
		var lag <-chan time.Time
		if !coming {
			lag = time.After(leaseLag - time.Since(began))
		}
		select {
		case <-changed:
		case <-lag:
		case <-deadline.C:
			return pieces.Errorf(pieces.NotFound, "piece %d of %v did not arrive in %v", i, c.key, wait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// uploading is one answer: a chunk per piece in memory, longer ones from disk.
type uploading struct {
	c        *Content
	grant    *grant
	off, end int64
	refused  bool
	// wait is how long the asker waits for each piece.
	wait    time.Duration
	buf     *buffer
	scratch []byte
}

func (u *uploading) Size() int64 { return u.c.geo.Size }

func (u *uploading) Next(ctx context.Context) (upload.Chunk, error) {
	u.free()
	if u.off >= u.end {
		return upload.Chunk{}, io.EOF
	}
	c := u.c
	i := c.geo.Index(u.off)
	n := min(u.end, c.geo.Offset(i)+c.geo.Len(i)) - u.off
	if err := c.awaitPiece(ctx, i, u.wait); err != nil {
		return upload.Chunk{}, err
	}
	defer func() { u.off += n }()
	c.mu.Lock()
	held, b := c.held.Has(i), c.mem[i]
	if held && b != nil {
		u.buf = b.retain()
	}
	c.mu.Unlock()
	c.traffic.uploaded.Add(n)
	c.e.traffic.uploaded.Add(n)
	switch {
	case !held || b == nil && c.v == nil:
		return upload.Chunk{}, pieces.Errorf(pieces.NotFound, "piece %d of %v is gone", i, c.key)
	case b != nil:
		from := u.off - c.geo.Offset(i)
		return upload.Chunk{Data: b.data[from : from+n]}, nil
	}
	if f, ok := c.v.File(); ok {
		c.v.Touch(pieces.Extent{First: i, End: i + 1})
		return upload.Chunk{File: f, Off: u.off, Len: n}, nil
	}
	if int64(cap(u.scratch)) < n {
		u.scratch = make([]byte, n)
	}
	u.scratch = u.scratch[:n]
	if _, err := c.v.ReadAt(u.scratch, u.off); err != nil {
		c.bad(pieces.Extent{First: i, End: i + 1}, err)
		return upload.Chunk{}, err
	}
	return upload.Chunk{Data: u.scratch}, nil
}

func (u *uploading) free() {
	if u.buf != nil {
		u.buf.release()
		u.buf = nil
	}
}

func (u *uploading) Close() error {
	u.free()
	u.c.unpin()
	u.grant.over(u.refused)
	return nil
}

// Refused says that nothing is sent (upload.Refusable).
func (u *uploading) Refused() { u.refused = true }

// grant is what a seed granted; nil from hosts that are none.
type grant struct {
	c      *Content
	asker  pieces.HostID
	extent pieces.Extent
}

// over ends a grant. unsent: no byte was sent.
func (g *grant) over(unsent bool) {
	if g == nil {
		return
	}
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if unsent {
		g.c.seeding.Unsent(g.asker, g.extent)
	} else {
		g.c.seeding.Sent(time.Now(), g.asker, g.extent)
	}
}
