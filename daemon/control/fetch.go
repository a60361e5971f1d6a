package control

import (
	"context"
	"math"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/daemonpb"
)

// Sizes of a download that comes as messages.
const (
	dataChunk = 1 << 20
	// dataWindow is how much is fetched before it is sent when it can't all
	// stay in the cache.
	dataWindow = 16 << 20
)

// Warm fetches content into the cache.
func (s *Server) Warm(req *daemonpb.WarmRequest, stream daemonpb.Control_WarmServer) (err error) {
	ctx, span := s.tracer.Root(stream.Context(), "daemon.warm")
	defer func() { span.End(err) }()
	id, err := s.find(ctx, req.GetRef(), fetch)
	if err != nil {
		return err
	}
	h, err := s.engine.Open(ctx, id)
	if err != nil {
		return err
	}
	w, err := warming(ctx, id, h, req)
	if err == nil && req.GetBackground() {
		if err := s.background.run(func(ctx context.Context) { s.warmBehind(ctx, w) }); err != nil {
			h.Close()
			return err
		}
		return stream.Send(progressTo(id, Progress{Total: w.total}, true))
	}
	defer h.Close()
	if err != nil {
		return err
	}
	last, err := s.watch(ctx, w.total, w.fetch, nil, func(p Progress) error {
		return stream.Send(progressTo(id, p, false))
	})
	if err != nil {
		return err
	}
	return stream.Send(progressTo(id, last, true))
}

// follow fetches r and tells how it goes.
func (s *Server) follow(ctx context.Context, h Handle, r Range, tell func(Progress) error) (Progress, error) {
	return s.watch(ctx, r.N, func(ctx context.Context, progress progressFunc) error {
		return h.Fetch(ctx, r.Off, r.N, progress)
	}, nil, tell)
}

// progressFunc is told how far a fetch is.
type progressFunc = func(have, total int64, tr Traffic)

// watch runs a fetch of total bytes and tells how it goes, every progressEvery
// and whenever more has a value. It returns the final progress.
func (s *Server) watch(ctx context.Context, total int64, fetch func(context.Context, progressFunc) error, more <-chan struct{}, tell func(Progress) error) (Progress, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	at := Progress{Total: total} // guarded by mu
	current := func() Progress {
		mu.Lock()
		defer mu.Unlock()
		return at
	}
	done := make(chan error, 1)
	go func() {
		done <- fetch(ctx, func(have, total int64, tr Traffic) {
			mu.Lock()
			defer mu.Unlock()
			at = Progress{have, total, tr}
		})
	}()
	tick := time.NewTicker(s.progressEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			last := current()
			if err == nil {
				last.Done, last.Total = total, total
			}
			return last, err
		case <-tick.C:
		case <-more:
		}
		if err := tell(current()); err != nil {
			cancel()
			<-done
			return current(), err
		}
	}
}

// Download fetches content and hands it over.
func (s *Server) Download(req *daemonpb.DownloadRequest, stream daemonpb.Control_DownloadServer) (err error) {
	ctx, span := s.tracer.Root(stream.Context(), "daemon.download")
	defer func() { span.End(err) }()
	who, err := callerOf(ctx)
	if err != nil {
		return err
	}
	t, err := s.task(req.GetSource())
	if err != nil {
		return err
	}
	span.Str("task", string(t.ID))
	if err := s.engine.Add(ctx, t, "", who.Owner); err != nil {
		return err
	}
	h, err := s.engine.Open(ctx, t.ID)
	if err != nil {
		return err
	}
	defer h.Close()
	r, err := wanted(req).clip(h.Facts().Size)
	if err != nil {
		return err
	}
	d := download{server: s, stream: stream, handle: h, id: t.ID, owner: who.Owner}
	st, err := s.engine.Status(ctx)
	if err != nil {
		return err
	}
	if !st.Caching || r.N > st.CacheSize {
		return d.byWindows(ctx, r, dataWindow)
	}
	if req.GetWantDescriptor() && r.N == h.Facts().Size {
		return d.byDescriptor(ctx, r, req.GetWantReady())
	}
	return d.byWindows(ctx, r, max(r.N, 1))
}

func wanted(req *daemonpb.DownloadRequest) Range {
	switch {
	case !req.GetHasRange():
		return Whole
	case req.GetLast() == math.MaxInt64:
		return Range{req.GetFirst(), -1}
	case req.GetLast() < req.GetFirst():
		return Range{-1, 0} // clip refuses it
	}
	return Range{req.GetFirst(), req.GetLast() - req.GetFirst() + 1}
}

// download is one Download call.
type download struct {
	server *Server
	stream daemonpb.Control_DownloadServer
	handle Handle
	id     pieces.TaskID
	owner  Owner
}

func (d *download) tell(p Progress, finished bool) error {
	return d.stream.Send(&daemonpb.DownloadReply{Body: &daemonpb.DownloadReply_Progress{Progress: progressTo(d.id, p, finished)}})
}

// byWindows fetches and sends window bytes at a time.
func (d *download) byWindows(ctx context.Context, r Range, window int64) error {
	var before Traffic
	for off := r.Off; off < r.Off+r.N; off += window {
		part := Range{off, min(window, r.Off+r.N-off)}
		overall := func(p Progress) Progress {
			return Progress{off - r.Off + p.Done, r.N, before.plus(p.Traffic)}
		}
		last, err := d.server.follow(ctx, d.handle, part, func(p Progress) error { return d.tell(overall(p), false) })
		if err != nil {
			return err
		}
		last = overall(last)
		before = last.Traffic
		if err := d.tell(last, last.Done == r.N); err != nil {
			return err
		}
		if err := d.send(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// send sends the bytes of r as messages.
func (d *download) send(ctx context.Context, r Range) error {
	buf := make([]byte, min(dataChunk, r.N))
	for off, end := r.Off, r.Off+r.N; off < end; {
		p := buf[:min(int64(len(buf)), end-off)]
		n, err := d.handle.ReadAt(ctx, p, off)
		if n < len(p) {
			if err == nil {
				err = pieces.Errorf(pieces.Internal, "content of task %s ends at byte %d of %d", d.id.Short(), off+int64(n), d.handle.Facts().Size)
			}
			return err
		}
		if err := d.stream.Send(&daemonpb.DownloadReply{Body: &daemonpb.DownloadReply_Data{Data: p}}); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func (t Traffic) plus(o Traffic) Traffic {
	return Traffic{t.Origin + o.Origin, t.Peers + o.Peers, t.Seeds + o.Seeds, t.Cache + o.Cache, t.Uploaded + o.Uploaded}
}
