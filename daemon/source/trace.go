package source

import (
	"context"
	"fmt"
	"io"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// WithTrace makes a span of each request that o makes in a traced context, from
// the call to the end of the body. It says scheme, host and path of a public
// Task's URL, as messages do, the range and the status. The origin is told
// nothing of it.
func WithTrace(o Origin) Origin { return &traced{o} }

type traced struct{ o Origin }

// begin begins the span of a request.
func (d *traced) begin(ctx context.Context, t *pieces.Task, op string) (context.Context, trace.Span) {
	ctx, span := trace.Child(ctx, "origin.request", trace.Client)
	if span.On() {
		if t.Public() {
			span.Str("url", display(t))
		}
		span.Str("op", op)
	}
	return ctx, span
}

func (d *traced) Stat(ctx context.Context, t *pieces.Task) (Stat, error) {
	ctx, span := d.begin(ctx, t, "stat")
	st, err := d.o.Stat(ctx, t)
	span.Int("bytes", int64(len(st.Prefix)))
	span.End(err)
	return st, err
}

func (d *traced) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	ctx, span := d.begin(ctx, t, "range")
	if !span.On() {
		return d.o.ReadRange(ctx, t, f, off, n)
	}
	span.Str("range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	body, err := d.o.ReadRange(ctx, t, f, off, n)
	return watch(span, body, err), err
}

func (d *traced) ReadAll(ctx context.Context, t *pieces.Task) (io.ReadCloser, Stat, error) {
	ctx, span := d.begin(ctx, t, "all")
	body, st, err := d.o.ReadAll(ctx, t)
	if !span.On() {
		return body, st, err
	}
	return watch(span, body, err), st, err
}

// watch ends span with body, or at once if there is none.
func watch(span trace.Span, body io.ReadCloser, err error) io.ReadCloser {
	if err != nil {
		span.End(err)
		return nil
	}
	return &tracedBody{ReadCloser: body, span: span}
}

// tracedBody is used by one goroutine, as any body.
type tracedBody struct {
	io.ReadCloser
	span   trace.Span
	bytes  int64
	err    error
	closed bool
}

func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

func (b *tracedBody) Close() error {
	if !b.closed {
		b.closed = true
		b.span.Int("bytes", b.bytes)
		b.span.End(b.err)
	}
	return b.ReadCloser.Close()
}
