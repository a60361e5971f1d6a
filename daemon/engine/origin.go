package engine

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"damselfly/daemon/limit"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// originRead is one extent being read from the origin: under a lease, or
// without one (lease 0) when no scheduler can be reached.
type originRead struct {
	lease  pieces.LeaseID
	extent pieces.Extent
	class  pieces.Class
	// reread: others disagree about these pieces, so they are read though held.
	reread bool
	// by is the span it is done for, if there is one.
	by     trace.Parent
	cancel context.CancelFunc
	// bytes came so far under this lease, by all reads that share it.
	bytes *atomic.Int64

	// Guarded by Content.mu: the pieces it has not asked for, the one it is at,
	// where its running request ends, and how much it has read since when.
	todo  *pieces.Set
	at    int
	until int
	read  int64
	since time.Time
	turn  turn
}

// Limits of reads without a lease, per content: the scheduler sets its own.
const (
	aloneDemand = 16
	aloneBulk   = 2
	aloneProbes = 4 // after a failure, until the origin delivers
)

// readAlone starts origin reads for what is wanted at a class and can't be had
// nearby. c.mu is held.
func (c *Content) readAlone(class pieces.Class, need *pieces.Set) {
	running := 0
	for o := range c.origins {
		if o.lease == 0 && (o.class == pieces.Demand) == (class == pieces.Demand) {
			running++
		}
	}
	limit := aloneBulk
	if class == pieces.Demand {
		limit = aloneDemand
	}
	if c.rest.err != nil {
		limit = min(limit, aloneProbes)
	}
	most := max(1, int(c.e.o.OriginExtent/c.geo.PieceSize))
	for e := range need.Extents() {
		for ; !e.Empty() && running < limit; running++ {
			part := pieces.Extent{First: e.First, End: min(e.End, e.First+most)}
			c.startOrigin(0, part, class, false, trace.Parent{})
			e.First = part.End
		}
	}
}

// startOrigin reads e from the origin in the background, for whoever is traced
// as by, if that is valid. c.mu is held.
func (c *Content) startOrigin(lease pieces.LeaseID, e pieces.Extent, class pieces.Class, reread bool, by trace.Parent) {
	if !c.facts.Ranges {
		// Without ranges the content comes whole, or not at all.
		for o := range c.origins {
			if o.extent == c.geo.All() && !reread {
				return
			}
		}
		e = c.geo.All()
	}
	if lease != 0 {
		c.leases[lease] = []pieces.Extent{e}
	}
	c.tellFetching(e, false)
	c.runOrigin(&originRead{lease: lease, extent: e, class: class, reread: reread, by: by, bytes: &atomic.Int64{}})
}

// runOrigin runs o in the background. c.mu is held.
func (c *Content) runOrigin(o *originRead) {
	ctx, cancel := context.WithCancel(limit.WithClass(c.ctx, o.class))
	o.cancel, o.todo, o.at, o.since = cancel, pieces.SetOf(o.extent), o.extent.First, time.Now()
	ctx, span := c.originSpan(ctx, o)
	c.origins[o] = struct{}{}
	c.pick.StartOrigin(o.extent)
	task, can := c.task, c.canFetch
	c.wg.Go(func() {
		defer cancel()
		err := error(pieces.Errorf(pieces.Denied, "this host lacks the credentials or signed parameters of the URL; add it again with them"))
		if broken := c.brokenNow(); broken != nil {
			err = broken
		} else if c.replacedNow() {
			err = pieces.Errorf(pieces.Changed, "%v was replaced at its origin", c.key)
		} else if can && c.pin() == nil {
			if o.lease != 0 {
				c.wg.Go(func() { c.beatLease(ctx, o) })
			}
			err = c.readOrigin(ctx, task, o)
			c.unpin()
		}
		cancel()
		span.End(err)
		c.endOrigin(o, err)
	})
}

func (c *Content) brokenNow() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken.now()
}

func (c *Content) replacedNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.replaced
}

// beatLease keeps a lease alive while its read runs.
func (c *Content) beatLease(ctx context.Context, o *originRead) {
	t := time.NewTicker(c.e.o.Tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.mu.Lock()
			p := c.peer
			c.mu.Unlock()
			if p != nil {
				p.LeaseProgress(o.lease, o.bytes.Load())
			}
		}
	}
}

// readOrigin reads the pieces of o that are missing here, and that no demand
// read has taken from it meanwhile (hasten.go).
func (c *Content) readOrigin(ctx context.Context, t *pieces.Task, o *originRead) error {
	if !c.facts.Ranges {
		return c.readWhole(ctx, t, o)
	}
	if c.facts.Size == 0 {
		return nil
	}
	for {
		if more, err := c.readNext(ctx, t, o); !more || err != nil {
			return err
		}
	}
}

// readNext makes o's next request in its turn, and reports whether there was one.
func (c *Content) readNext(ctx context.Context, t *pieces.Task, o *originRead) (bool, error) {
	defer c.endTurn(o)
	if err := c.awaitTurn(ctx, o); err != nil {
		return false, err
	}
	e, ok := c.nextRun(o)
	if !ok {
		return false, nil
	}
	return true, c.readRun(ctx, t, o, e)
}

// readRun reads one run of pieces with one request.
func (c *Content) readRun(ctx context.Context, t *pieces.Task, o *originRead, e pieces.Extent) error {
	off, n := c.geo.Bytes(e)
	var prefix []byte
	if off == 0 && !o.reread {
		prefix = c.e.o.Prefix(c.key)
		if int64(len(prefix)) > n {
			prefix = prefix[:n]
		}
	}
	var body io.Reader = eof{}
	if skip := int64(len(prefix)); skip < n {
		rc, err := c.e.o.Origin.ReadRange(ctx, t, c.facts, off+skip, n-skip)
		if err != nil {
			return err
		}
		defer rc.Close()
		body = rc
	}
	for i := e.First; i < e.End; i++ {
		var err error
		if prefix, err = c.readPiece(ctx, o, i, prefix, body); err != nil {
			return err
		}
		c.advance(o, i)
	}
	return nil
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// readPiece reads piece i from what is left of prefix and then body, and
// delivers it; it returns the rest of prefix.
func (c *Content) readPiece(ctx context.Context, o *originRead, i int, prefix []byte, body io.Reader) ([]byte, error) {
	b, err := c.e.memory.get(ctx, int(c.geo.Len(i)))
	if err != nil {
		return nil, err
	}
	k := copy(b.data, prefix)
	for got := k; got < len(b.data); {
		n, err := body.Read(b.data[got:])
		got += n
		o.bytes.Add(int64(n))
		if err != nil && got < len(b.data) {
			b.release()
			if err == io.EOF {
				err = pieces.Errorf(pieces.Origin, "origin ended the content early")
			}
			return nil, err
		}
	}
	c.deliver(i, b, pieces.SumOf(b.data), pieces.HitOrigin, report{lease: o.lease, urgent: o.class == pieces.Demand, sum: true, reread: o.reread})
	return prefix[k:], nil
}

// readWhole reads content whose origin has no ranges, from start to end.
func (c *Content) readWhole(ctx context.Context, t *pieces.Task, o *originRead) error {
	if c.facts.Validator.Kind == pieces.ContentSum {
		return c.readAgain(ctx, t, o)
	}
	rc, st, err := c.e.o.Origin.ReadAll(ctx, t)
	if err != nil {
		return err
	}
	defer rc.Close()
	if v := st.Facts.VersionID(); v != c.key.Version {
		c.e.o.Replaced(c.key.Task, st.Facts)
		return pieces.Errorf(pieces.Changed, "%v was replaced at its origin", c.key)
	}
	for i := range c.geo.All().All() {
		if _, err := c.readPiece(ctx, o, i, nil, rc); err != nil {
			return err
		}
	}
	if k, _ := rc.Read(make([]byte, 1)); k > 0 {
		return pieces.Errorf(pieces.Origin, "origin sent more than the %d bytes it announced", c.facts.Size)
	}
	return nil
}

// endOrigin closes the books on an origin read.
func (c *Content) endOrigin(o *originRead, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.origins, o)
	if !c.reads(o.lease) {
		delete(c.leases, o.lease)
	}
	c.pick.EndOrigin(o.extent)
	if err != nil && c.ctx.Err() == nil {
		c.tellStopped(o.extent)
		c.originFailed(o, err)
	}
	c.schedule()
}

// originFailed shares an origin's failure: through the scheduler, which tells
// every waiter or tries again, or, when alone, with the waiters here. c.mu is
// held.
func (c *Content) originFailed(o *originRead, err error) {
	kind := pieces.KindOf(err)
	if kind == pieces.Canceled {
		return
	}
	c.log.WithError(err).WithField("pieces", o.extent.String()).Info("reading the origin failed")
	if kind == pieces.Changed && !c.replaced {
		c.replaced = true
		c.wg.Go(func() { c.e.o.Replaced(c.key.Task, pieces.Facts{}) })
	}
	for k := range c.asked {
		c.asked[k].RemoveExtent(o.extent)
	}
	if o.lease != 0 && c.peer != nil && c.downSince.IsZero() {
		for k := range c.asked {
			for e := range c.pick.Missing(pieces.Class(k)).Extents() {
				c.asked[k].AddExtent(e.Intersect(o.extent))
			}
		}
		c.peer.OriginError(o.lease, err)
		return
	}
	if (kind != pieces.Changed || c.confirmed) && c.restFrom(err) {
		return
	}
	c.fail(o.extent, err)
}

// endLease stops an origin read whose lease is over.
func (c *Content) endLease(id pieces.LeaseID) {
	for o := range c.origins {
		if o.lease == id && id != 0 {
			o.cancel()
		}
	}
}
