package source

import (
	"context"
	"io"

	"damselfly/pieces"
)

// Limiter makes readers pay for bytes: *limit.Rate is one.
type Limiter interface {
	// WaitN returns when n bytes may pass, or with ctx's error.
	WaitN(ctx context.Context, n int) error
}

// limitStep is the most bytes read between two payments.
const limitStep = 256 << 10

// WithLimit makes every byte read from o pay to each of ls before it is handed
// out. What is not paid for is not read, so the connection slows down.
func WithLimit(o Origin, ls ...Limiter) Origin { return &limited{o, ls} }

type limited struct {
	Origin
	ls []Limiter
}

func (l *limited) pay(ctx context.Context, n int) error {
	for _, r := range l.ls {
		if err := r.WaitN(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

func (l *limited) Stat(ctx context.Context, t *pieces.Task) (Stat, error) {
	st, err := l.Origin.Stat(ctx, t)
	if err != nil {
		return st, err
	}
	if err := l.pay(ctx, len(st.Prefix)); err != nil {
		return Stat{}, err
	}
	return st, nil
}

func (l *limited) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	body, err := l.Origin.ReadRange(ctx, t, f, off, n)
	if err != nil {
		return nil, err
	}
	return &limitedBody{body, ctx, l}, nil
}

func (l *limited) ReadAll(ctx context.Context, t *pieces.Task) (io.ReadCloser, Stat, error) {
	body, st, err := l.Origin.ReadAll(ctx, t)
	if err != nil {
		return nil, st, err
	}
	return &limitedBody{body, ctx, l}, st, nil
}

type limitedBody struct {
	io.ReadCloser
	ctx context.Context
	l   *limited
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), limitStep)])
	if perr := b.l.pay(b.ctx, n); perr != nil {
		return 0, perr
	}
	return n, err
}
