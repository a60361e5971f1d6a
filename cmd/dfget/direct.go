package main

import (
	"context"
	"errors"
	"io"
	"time"

	"damselfly/daemon/control"
	"damselfly/daemon/source"
	"damselfly/pieces"
)

// direct reads a Task from its origin into an output.
type direct struct {
	origin source.Origin
	task   *pieces.Task
	out    io.Writer
	// tell hears of progress; total is -1 while unknown.
	tell func(done, total int64)

	done, total int64
}

// Write passes bytes on to out and tells how far it is.
func (d *direct) Write(p []byte) (int, error) {
	n, err := d.out.Write(p)
	d.done += int64(n)
	d.tell(d.done, d.total)
	return n, err
}

// factsTimeout is how long the origin may take to say what it has.
const factsTimeout = 30 * time.Second

func (d *direct) read(ctx context.Context, r control.Range) error {
	st, err := d.stat(ctx)
	if err != nil {
		return err
	}
	if st.Spool || !st.Facts.Ranges {
		return d.readAll(ctx, r)
	}
	size := st.Facts.Size
	if r, err = clip(r, size); err != nil {
		return err
	}
	d.total = r.N
	// The first bytes came with the facts.
	if head := int64(len(st.Prefix)); r.Off < head {
		part := st.Prefix[r.Off:min(head, r.Off+r.N)]
		if _, err := d.Write(part); err != nil {
			return err
		}
		r.Off, r.N = r.Off+int64(len(part)), r.N-int64(len(part))
	}
	if r.N == 0 {
		return nil
	}
	body, err := d.origin.ReadRange(ctx, d.task, st.Facts, r.Off, r.N)
	if err != nil {
		return err
	}
	return d.copyClose(body, r.N)
}

func (d *direct) stat(ctx context.Context) (source.Stat, error) {
	ctx, cancel := context.WithTimeout(ctx, factsTimeout)
	defer cancel()
	return d.origin.Stat(ctx, d.task)
}

// readAll reads content that can't be read in parts, and skips what is not
// asked for.
func (d *direct) readAll(ctx context.Context, r control.Range) error {
	body, st, err := d.origin.ReadAll(ctx, d.task)
	if err != nil {
		return err
	}
	if st.Facts.Size >= 0 {
		if r, err = clip(r, st.Facts.Size); err != nil {
			body.Close()
			return err
		}
	}
	n, err := io.CopyN(io.Discard, body, r.Off)
	if errors.Is(err, io.EOF) {
		err = beyond(r.Off, n)
	}
	if err != nil {
		body.Close()
		return err
	}
	d.total = r.N
	if err := d.copyClose(body, r.N); err != nil {
		return err
	}
	if d.done == 0 && r.Off > 0 && st.Facts.Size < 0 {
		return beyond(r.Off, r.Off)
	}
	return nil
}

// copyClose writes n bytes of body, or all of them if n < 0, and closes it. A
// body may end earlier only if its length was unknown.
func (d *direct) copyClose(body io.ReadCloser, n int64) error {
	defer body.Close()
	in := io.Reader(body)
	if n >= 0 {
		in = io.LimitReader(body, n)
	}
	_, err := io.Copy(d, in)
	return err
}

// clip resolves r against content of size bytes.
func clip(r control.Range, size int64) (control.Range, error) {
	if r.Off >= size && r.Off > 0 {
		return r, beyond(r.Off, size)
	}
	if r.N < 0 || r.N > size-r.Off {
		r.N = size - r.Off
	}
	return r, nil
}

func beyond(off, size int64) error {
	return pieces.Errorf(pieces.Invalid, "--range begins at byte %d, but the content has %d bytes", off, size)
}
