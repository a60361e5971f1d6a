package control

import (
	"context"
	"sync"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// Portion is what to warm of a Task: a range, or what the access order names, in
// that order. Background: the call answers at once.
type Portion struct {
	Range      Range
	Order      bool
	Background bool
}

// warmth is what one call of Warm fetches.
type warmth struct {
	id     pieces.TaskID
	handle Handle
	total  int64
	fetch  func(context.Context, progressFunc) error
}

// warming finds out what a request is about. h is open.
func warming(ctx context.Context, id pieces.TaskID, h Handle, req *daemonpb.WarmRequest) (w warmth, err error) {
	w.id, w.handle = id, h
	if !req.GetOrder() {
		r, err := Range{req.GetOffset(), lengthOf(req.GetLength())}.clip(h.Facts().Size)
		w.total = r.N
		w.fetch = func(ctx context.Context, progress progressFunc) error { return h.Fetch(ctx, r.Off, r.N, progress) }
		return w, err
	}
	rs, err := h.Order(ctx)
	if err != nil {
		return w, err
	}
	if len(rs) == 0 {
		return w, pieces.Errorf(pieces.NotFound, "no access order of task %s is known yet: it is recorded as programs read the file; 'dfmount order import' brings one along", id.Short())
	}
	for _, r := range rs {
		w.total += r.N
	}
	w.fetch = func(ctx context.Context, progress progressFunc) error { return h.FetchAll(ctx, rs, progress) }
	return w, nil
}

// lengthOf reads a length on the wire, where 0 means up to the end.
func lengthOf(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

// warmBehind fetches what nobody waits for, and closes the handle.
func (s *Server) warmBehind(ctx context.Context, w warmth) {
	defer w.handle.Close()
	if err := w.fetch(ctx, nil); err != nil && ctx.Err() == nil {
		s.log.WithError(err).WithField("task", w.id.Short()).Warn("warming in the background failed")
	}
}

// Cached answers how much of a portion is here.
func (s *Server) Cached(ctx context.Context, req *daemonpb.CachedRequest) (*daemonpb.CachedReply, error) {
	id, err := s.find(ctx, req.GetRef(), use)
	if err != nil {
		return nil, err
	}
	r := Range{req.GetOffset(), lengthOf(req.GetLength())}
	info, err := s.engine.Info(ctx, id)
	if pieces.KindOf(err) == pieces.NotFound && err != nil {
		return &daemonpb.CachedReply{TaskId: string(id)}, nil // only the manager knows it
	}
	if err != nil {
		return nil, err
	}
	if info.Facts != nil {
		if r, err = r.clip(info.Facts.Size); err != nil {
			return nil, err
		}
	}
	done, total, known, err := s.engine.Cached(ctx, id, r, req.GetOrder())
	return &daemonpb.CachedReply{TaskId: string(id), Known: known, Done: done, Total: total}, err
}

// Cached asks how much of a portion is here.
func (c *Client) Cached(ctx context.Context, ref Ref, p Portion) (Cached, error) {
	m, err := c.api.Cached(ctx, &daemonpb.CachedRequest{Ref: refTo(ref), Offset: p.Range.Off, Length: max(p.Range.N, 0), Order: p.Order})
	return Cached{pieces.TaskID(m.GetTaskId()), m.GetKnown(), m.GetDone(), m.GetTotal()}, err
}

// maxBackground bounds the fetches that run behind callers who have left.
const maxBackground = 1024

// background runs what outlives its call, until its context ends.
type background struct {
	running sync.WaitGroup

	mu  sync.Mutex
	ctx context.Context // guarded by mu; nil before start
	n   int             // guarded by mu
}

func (b *background) start(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx = ctx
}

// run starts f, or is an Unavailable or Full error.
func (b *background) run(f func(context.Context)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx == nil || b.ctx.Err() != nil:
		return pieces.Errorf(pieces.Unavailable, "the daemon is stopping")
	case b.n >= maxBackground:
		return pieces.Errorf(pieces.Full, "%d files are being warmed in the background already, as many as may be; use --wait", b.n)
	}
	b.n++
	ctx := b.ctx
	b.running.Go(func() {
		f(ctx)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.n--
	})
	return nil
}

// wait returns when all that was started has ended; the context has.
func (b *background) wait() {
	b.mu.Lock()
	b.ctx = nil
	b.mu.Unlock()
	b.running.Wait()
}
