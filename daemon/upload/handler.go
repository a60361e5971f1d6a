package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"damselfly/daemon/limit"
	"damselfly/pieces"
)

// slice is how much goes at most between two looks at limits and deadlines,
// minSlice how much at least when a rate shares little among many answers.
const (
	slice    = 256 << 10
	minSlice = 16 << 10
)

// turns: under a rate, one answer takes no more than 1/turns of a second's
// bytes before others have their turn, so that none of them looks dead to the
// host it serves.
const turns = 256

type handler struct {
	*Server
	stopping context.Context // ends when no new answer may begin
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.begin()
	defer h.end()
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(h.opts.WriteTimeout))
	if r.ContentLength != 0 {
		// net/http reads what is left of a body; a slow sender must not hold us.
		_ = rc.SetReadDeadline(time.Now().Add(time.Second))
		w.Header().Set("Connection", "close")
	}
	r, span := h.traced(r)
	status := statusCut
	defer func() { tell(span, r, status) }()
	status = h.serve(w, rc, r)
	h.metrics.answered(status)
}

// serve answers one request and returns its status.
func (h *handler) serve(w http.ResponseWriter, rc *http.ResponseController, r *http.Request) int {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return h.answer(w, http.StatusMethodNotAllowed, pieces.Errorf(pieces.Invalid, "method %.20q: only GET is served", r.Method))
	}
	req, err := parseRequest(r, h.opts.MaxWait)
	if err != nil {
		return h.refuse(w, err)
	}
	// The asker's patience is counted from here, slot included.
	ctx, cancel := context.WithTimeout(r.Context(), req.Wait+h.opts.OpenTimeout)
	defer cancel()
	defer context.AfterFunc(h.stopping, cancel)()

	content, err := h.opts.Backend.Open(ctx, req)
	if err != nil {
		if pieces.KindOf(err) == pieces.Invalid {
			return h.outside(w, -1, err)
		}
		return h.refuse(w, err)
	}
	defer content.Close()
	size := content.Size()
	if req.Off+req.N > size {
		return h.outside(w, size, pieces.Errorf(pieces.Invalid, "bytes %d-%d are outside content of %d", req.Off, req.Off+req.N-1, size))
	}
	first, err := content.Next(ctx)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		refused(content)
		return h.refuse(w, err)
	}
	free, err := h.takeSlot(ctx, req)
	if err != nil {
		refused(content)
		return h.refuse(w, err)
	}
	b := &body{server: h.Server, w: w, rc: rc, left: req.N, task: h.opts.TaskRate(req.Key.Task)}
	defer func() { free(req.N-b.left, b.took) }()

	hd := w.Header()
	hd.Set("Content-Type", "application/octet-stream")
	hd.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", req.Off, req.Off+req.N-1, size))
	hd.Set("Content-Length", strconv.FormatInt(req.N, 10))
	w.WriteHeader(http.StatusPartialContent)
	if err := b.send(limit.WithClass(r.Context(), req.class()), first, content); err != nil {
		h.opts.Log.WithError(err).WithFields(req.Key.Fields()).WithField("host", req.Asker.Short()).
			Debugf("upload of bytes %d-%d stopped %d short", req.Off, req.Off+req.N-1, b.left)
		h.metrics.answered(statusCut)
		panic(http.ErrAbortHandler) // closes the connection: the client sees a short body
	}
	return http.StatusPartialContent
}

func refused(c Content) {
	if c, ok := c.(Refusable); ok {
		c.Refused()
	}
}

// takeSlot waits for a slot as long as the asker has patience; what is not
// urgent may only wait once it has one of those for its kind. Free is to be told
// how many bytes were sent, and how long that took.
func (s *Server) takeSlot(ctx context.Context, r Request) (free func(int64, time.Duration), err error) {
	full := &pieces.Error{Kind: pieces.Throttled, Msg: "all upload slots are taken", RetryAfter: s.opts.RetryAfter}
	bulk := !r.Urgent
	if bulk && !s.bulk.take() {
		return nil, full
	}
	if !s.slots.TryAcquire(1) {
		ctx, cancel := context.WithTimeout(ctx, r.Wait)
		defer cancel()
		if r.Wait == 0 || s.slots.Acquire(ctx, 1) != nil {
			if bulk {
				s.bulk.free(0, 0)
			}
			return nil, full
		}
	}
	s.inUse.Add(1)
	return func(n int64, took time.Duration) {
		if bulk {
			s.bulk.free(n, took)
		}
		s.slots.Release(1)
		s.inUse.Add(-1) // last: who sees none in use finds one
	}, nil
}

// body sends the bytes of one answer.
type body struct {
	server *Server
	w      http.ResponseWriter
	rc     *http.ResponseController
	task   Limiter
	left   int64 // bytes of the answer not yet sent
	took   time.Duration
}

var errTooMuch = errors.New("backend gave more bytes than were asked for")

func (b *body) send(ctx context.Context, c Chunk, content Content) error {
	for {
		if c.Size() > b.left {
			return errTooMuch
		}
		if err := b.chunk(ctx, c); err != nil {
			return err
		}
		if b.left == 0 {
			return nil
		}
		var err error
		if c, err = b.next(ctx, content); err == io.EOF {
			return io.ErrUnexpectedEOF
		} else if err != nil {
			return err
		}
	}
}

// next may block, so what was written before goes out first.
func (b *body) next(ctx context.Context, content Content) (Chunk, error) {
	if err := b.rc.Flush(); err != nil {
		return Chunk{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.server.opts.MaxWait)
	defer cancel()
	return content.Next(ctx)
}

func (b *body) chunk(ctx context.Context, c Chunk) error {
	defer func(began time.Time) { b.took += time.Since(began) }(time.Now())
	for done, size := int64(0), c.Size(); done < size; {
		n := min(size-done, b.slice())
		if err := b.pace(ctx, int(n)); err != nil {
			return err
		}
		if err := b.rc.SetWriteDeadline(time.Now().Add(b.server.opts.WriteTimeout)); err != nil {
			return err
		}
		var sent int64
		var err error
		if c.File != nil {
			sent, err = io.Copy(b.w, &section{f: c.File, off: c.Off + done, n: n})
		} else {
			var m int
			m, err = b.w.Write(c.Data[done : done+n])
			sent = int64(m)
		}
		b.server.metrics.sentBytes(sent)
		b.left -= sent
		done += sent
		if err == nil && sent < n {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// slice is how much may go at once.
func (b *body) slice() int64 {
	n := int64(slice)
	for _, l := range []Limiter{b.task, b.server.opts.Rate} {
		if r, ok := l.(interface{ Rate() int64 }); ok && r.Rate() > 0 {
			n = min(n, max(r.Rate()/turns, minSlice))
		}
	}
	return n
}

// pace waits until n bytes may go by the Task's limit and the server's.
func (b *body) pace(ctx context.Context, n int) error {
	for _, l := range []Limiter{b.task, b.server.opts.Rate} {
		if l == nil {
			continue
		}
		if err := l.WaitN(ctx, n); err != nil {
			return err
		}
	}
	return nil
}
