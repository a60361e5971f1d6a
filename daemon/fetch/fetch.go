// Package fetch downloads extents of pieces from other hosts' piece servers:
// one HTTP/1.1 range request each, every answer checked, every piece verified
// against its recorded digest in memory before anyone sees it.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"damselfly/pieces"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// Options configure a Client; zero fields take their defaults.
type Options struct {
	// Host is this host's id, told to the servers.
	Host pieces.HostID
	// ConnsPerHost bounds the connections to one server (default 11: those of a
	// picker that has but one neighbour, and one for demand; mostly 2 are used).
	ConnsPerHost int
	// Dial and Idle bound connecting and any gap without a byte (both default
	// 2 s, so that a stopped server is given up and replaced within 3 s).
	DialTimeout, IdleTimeout time.Duration
	// MinRate is how many bytes per second must come, over each IdleTimeout,
	// for a server to count as alive (default 4 KiB/s).
	MinRate int64
	// Throttle, if set, is called before n bytes are read.
	Throttle func(ctx context.Context, n int) error
}

// Client downloads from piece servers. Safe for concurrent use.
type Client struct {
	o    Options
	pool *pool
}

// New returns a client; Close ends its idle connections.
func New(o Options) *Client {
	if o.ConnsPerHost == 0 {
		o.ConnsPerHost = 11
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = 2 * time.Second
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 2 * time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 4 << 10
	}
	return &Client{o: o, pool: newPool(o.DialTimeout, o.ConnsPerHost)}
}

// Close ends idle connections.
func (c *Client) Close() { c.pool.close() }

// Error is a failed download, classified for the scheduler.
type Error struct {
	Reason pieces.FailReason
	// Busy: the server had no free slot; ask again after RetryAfter. Deferred:
	// a seed gave the extent to another host first, who has it sooner.
	Busy, Deferred bool
	RetryAfter     time.Duration
	// Holder is the host it names, if any; it may be no more than an ID.
	Holder pieces.Host
	// Piece is the one that did not match, for FailBadBytes.
	Piece int
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Request is one extent to get from one host.
type Request struct {
	Key      pieces.Key
	Geometry pieces.Geometry
	Extent   pieces.Extent
	Host     pieces.Host
	// Urgent: a reader waits for it.
	Urgent bool
	// Insist: the server sent us elsewhere for it before, in vain.
	Insist bool
	// Wait is how long the server may wait for pieces it is still fetching.
	Wait time.Duration
	// Sum returns the recorded digest of a piece of the extent.
	Sum func(i int) pieces.Sum
	// Buffer returns a buffer of n bytes for piece i, waiting for memory.
	Buffer func(ctx context.Context, n int) ([]byte, error)
	// Progress, if set, is told of every n bytes that came.
	Progress func(n int)
	// Free takes back a buffer that was not delivered.
	Free func(buf []byte)
	// Deliver takes a verified piece and owns its buffer; cost is how long
	// its bytes took.
	Deliver func(i int, data []byte, sum pieces.Sum, cost time.Duration)
}

// Get downloads r.Extent, delivering each piece as it is verified. It returns
// the bytes delivered, and an *Error, or ctx's error if that ended it.
func (c *Client) Get(ctx context.Context, r Request) (n int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newWatchdog(c.o.IdleTimeout+r.Wait, func() { cancel(errIdle) })
	defer watch.stop()

	a, err := c.open(ctx, r)
	if err != nil {
		return 0, c.classify(ctx, err)
	}
	defer func() { a.end(err == nil) }()
	watch.limit(c.o.IdleTimeout+r.Wait, int64(float64(c.o.MinRate)*c.o.IdleTimeout.Seconds()))
	wake := a.conn.pace()
	for i := range r.Extent.All() {
		if err := c.piece(ctx, r, i, a.conn.br, watch, wake); err != nil {
			if r.Wait > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
				// What was still on its way there did not come, and an answer
				// that has begun can say so only by its end.
				return n, &Error{Reason: pieces.FailNotFound, Err: err}
			}
			return n, c.classify(ctx, err)
		}
		n += r.Geometry.Len(i)
	}
	return n, nil
}

var errIdle = errors.New("too few bytes arrived in time")

// answer is a request's connection, at the body of the answer.
type answer struct {
	pool *pool
	conn *conn
	// keep: the server leaves the connection open. stop ends the watch for the
	// end of the request's context, false if that has come.
	keep bool
	stop func() bool
}

// end gives the connection back; whole: the answer was read to its end.
func (a answer) end(whole bool) {
	undisturbed := a.stop()
	a.pool.put(a.conn, undisturbed && whole && a.keep && a.conn.br.Buffered() == 0)
}

// open asks for r and returns the answer if it is what was asked for. A
// connection that the server has closed meanwhile is replaced once.
func (c *Client) open(ctx context.Context, r Request) (answer, error) {
	addr := net.JoinHostPort(r.Host.IP, strconv.Itoa(r.Host.UploadPort))
	off, n := r.Geometry.Bytes(r.Extent)
	request := c.request(ctx, r, addr, off, n)
	for fresh := false; ; fresh = true {
		conn, err := c.pool.get(ctx, addr, fresh)
		if err != nil {
			return answer{}, err
		}
		a := answer{pool: c.pool, conn: conn, stop: context.AfterFunc(ctx, conn.interrupt)}
		resp, stale, err := conn.ask(request)
		if err != nil {
			a.end(false)
			if stale && !fresh && ctx.Err() == nil {
				continue
			}
			return answer{}, err
		}
		a.keep = !resp.Close
		if err := check(resp, off, n, r.Geometry.Size); err != nil {
			a.end(conn.drain(resp))
			return answer{}, fmt.Errorf("host %s: %w", r.Host.ID.Short(), err)
		}
		conn.body(n)
		return a, nil
	}
}

// request is what is sent for n bytes from off.
func (c *Client) request(ctx context.Context, r Request, addr string, off, n int64) []byte {
	b := fmt.Appendf(nil, "GET /v1/tasks/%s/%s HTTP/1.1\r\nHost: %s\r\nRange: bytes=%d-%d\r\nX-Df-Host: %s\r\n",
		r.Key.Task, r.Key.Version, addr, off, off+n-1, c.o.Host)
	if r.Urgent {
		b = append(b, "X-Df-Urgent: 1\r\n"...)
	}
	if r.Insist {
		b = append(b, "X-Df-Insist: 1\r\n"...)
	}
	if p := trace.Of(ctx); p.Valid() {
		b = fmt.Appendf(b, "%s: %s\r\n", trace.Header, p)
	}
	if r.Wait > 0 {
		b = fmt.Appendf(b, "X-Df-Wait: %d\r\n", r.Wait.Milliseconds())
	}
	return append(b, "\r\n"...)
}

// holderOf returns whom a seed sends us to.
func holderOf(h http.Header) pieces.Host {
	id, _ := pieces.ParseHostID(h.Get("X-Df-Holder"))
	if host, err := wire.HostFromHeader(h.Get("X-Df-Holder-Host")); err == nil && host.ID == id {
		return host
	}
	return pieces.Host{ID: id}
}

// check refuses every answer but 206 with exactly the asked range.
func check(resp *http.Response, off, n, size int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
	case http.StatusInternalServerError, http.StatusGatewayTimeout:
		return &Error{Reason: pieces.FailTimeout, Err: fmt.Errorf("status %s", resp.Status)}
	case http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return &Error{Reason: pieces.FailNotFound, Err: errors.New("does not hold the extent")}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		ms, _ := strconv.Atoi(resp.Header.Get("Retry-After-Ms"))
		return &Error{Reason: pieces.FailTimeout, Busy: true, RetryAfter: time.Duration(ms) * time.Millisecond, Err: errors.New("no free upload slot")}
	case http.StatusConflict:
		ms, _ := strconv.Atoi(resp.Header.Get("Retry-After-Ms"))
		return &Error{Reason: pieces.FailNotFound, Deferred: true, Holder: holderOf(resp.Header), RetryAfter: time.Duration(ms) * time.Millisecond, Err: errors.New("another host was given the extent first")}
	default:
		return &Error{Reason: pieces.FailMalformed, Err: fmt.Errorf("status %s", resp.Status)}
	}
	want := fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, size)
	if got := resp.Header.Get("Content-Range"); got != want || resp.ContentLength != n {
		return &Error{Reason: pieces.FailMalformed, Err: fmt.Errorf("Content-Range %.80q of %d bytes, want %q", got, resp.ContentLength, want)}
	}
	return nil
}

// piece reads one piece, hashing as it comes.
func (c *Client) piece(ctx context.Context, r Request, i int, body io.Reader, watch *watchdog, wake *pacer) error {
	want := int(r.Geometry.Len(i))
	watch.pause()
	if c.o.Throttle != nil {
		if err := c.o.Throttle(ctx, want); err != nil {
			return err
		}
	}
	buf, err := r.Buffer(ctx, want)
	watch.resume()
	if err != nil {
		return err
	}
	start := time.Now()
	h := pieces.NewSumHash()
	for got := 0; got < want; {
		n, err := body.Read(buf[got:min(got+mostPerWake, want)])
		h.Write(buf[got : got+n])
		got += n
		if n > 0 {
			watch.beat(n)
			wake.read(n)
			if r.Progress != nil {
				r.Progress(n)
			}
		}
		if err != nil && got < want {
			r.Free(buf)
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	var sum pieces.Sum
	h.Sum(sum[:0])
	if sum != r.Sum(i) {
		r.Free(buf)
		return &Error{Reason: pieces.FailBadBytes, Piece: i, Err: fmt.Errorf("piece %d from host %s does not match its digest", i, r.Host.ID.Short())}
	}
	r.Deliver(i, buf, sum, time.Since(start))
	return nil
}

// classify turns whatever ended a request into an *Error, leaving the asker's
// own cancellation alone.
func (c *Client) classify(ctx context.Context, err error) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(context.Cause(ctx), errIdle):
		return &Error{Reason: pieces.FailTimeout, Err: errIdle}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return &Error{Reason: pieces.FailTimeout, Err: err}
	}
	return &Error{Reason: pieces.FailUnreachable, Err: err}
}
