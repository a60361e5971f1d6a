package limit

import (
	"context"
	"io"
)

// Reader returns a reader of r that pays every byte it read to each of rates
// before handing it out. Reads fail once ctx has ended. Nil rates are skipped;
// rates that become unlimited later cost nothing.
func Reader(ctx context.Context, r io.Reader, rates ...*Rate) io.Reader {
	return &reader{ctx, r, present(rates)}
}

type reader struct {
	ctx   context.Context
	r     io.Reader
	rates []*Rate
}

func (l *reader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), chunk(l.rates))])
	if werr := waitAll(l.ctx, l.rates, n); werr != nil {
		return 0, werr
	}
	return n, err
}

// Writer returns a writer to w that pays every byte to each of rates before
// writing it. Writes fail once ctx has ended.
func Writer(ctx context.Context, w io.Writer, rates ...*Rate) io.Writer {
	return &writer{ctx, w, present(rates)}
}

type writer struct {
	ctx   context.Context
	w     io.Writer
	rates []*Rate
}

func (l *writer) Write(p []byte) (written int, err error) {
	for first := true; first || len(p) > 0; first = false {
		part := p[:min(len(p), chunk(l.rates))]
		if err := waitAll(l.ctx, l.rates, len(part)); err != nil {
			return written, err
		}
		n, err := l.w.Write(part)
		written += n
		if err != nil {
			return written, err
		}
		p = p[len(part):]
	}
	return written, nil
}

func waitAll(ctx context.Context, rates []*Rate, n int) error {
	for _, r := range rates {
		if err := r.WaitN(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// chunk returns how many bytes to move between payments: the smallest burst.
func chunk(rates []*Rate) int {
	n := maxBurst
	for _, r := range rates {
		if per := r.Rate(); per > 0 {
			n = min(n, burstOf(per))
		}
	}
	return n
}

func present(rates []*Rate) []*Rate {
	var out []*Rate
	for _, r := range rates {
		if r != nil {
			out = append(out, r)
		}
	}
	return out
}
