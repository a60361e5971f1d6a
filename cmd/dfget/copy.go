package main

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// way is how bytes get from the content file into the output: the best that
// has not failed yet between these two files.
type way int

const (
	// share has both files share blocks (FICLONERANGE).
	share way = iota
	// inKernel is copy_file_range(2).
	inKernel
	// plain reads and writes.
	plain
)

// copyChunk is how many bytes are copied between two looks at the context.
const copyChunk = 16 << 20

// CopyFile implements control.Sink. To a file of its own it is CopyPart; what
// is written in place gets the bytes in order, where it stands.
func (o *output) CopyFile(ctx context.Context, f *os.File, off, n int64) error {
	o.copied = true
	if o.temporary == "" {
		o.how = max(o.how, inKernel)
		return o.copy(ctx, f, off, n, func(from, n int64) (int64, error) { return o.append(f, from, n) })
	}
	if err := o.place(ctx, f, off, 0, n); err != nil {
		return err
	}
	o.written = n
	return nil
}

// Parts implements control.Sink: what can't be taken back gets nothing before
// all is verified.
func (o *output) Parts() control.Parts {
	if o.temporary == "" {
		return nil
	}
	return o
}

// CopyPart implements control.Parts.
func (o *output) CopyPart(ctx context.Context, f *os.File, off, n int64) error {
	o.copied = true
	return o.place(ctx, f, off, off, n)
}

// Copied implements control.Parts.
func (o *output) Copied(size int64) { o.written = size }

// place copies n bytes of f from off on to byte to of the output: it shares
// f's blocks where the file system can, else has the kernel copy, else copies.
func (o *output) place(ctx context.Context, f *os.File, off, to, n int64) error {
	if n == 0 {
		return nil
	}
	if o.how == share {
		r := unix.FileCloneRange{Src_fd: int64(f.Fd()), Src_offset: uint64(off), Src_length: uint64(n), Dest_offset: uint64(to)}
		if unix.IoctlFileCloneRange(int(o.file.Fd()), &r) == nil {
			return nil
		}
		o.how = inKernel
	}
	return o.copy(ctx, f, off, n, func(from, n int64) (int64, error) {
		at := to + from - off
		if o.how == plain {
			return io.Copy(io.NewOffsetWriter(o.file, at), io.NewSectionReader(f, from, n))
		}
		got, err := unix.CopyFileRange(int(f.Fd()), &from, int(o.file.Fd()), &at, int(n), 0)
		return int64(max(got, 0)), err
	})
}

// append copies to where the output stands.
func (o *output) append(f *os.File, off, n int64) (got int64, err error) {
	if o.how == plain {
		got, err = io.Copy(o.file, io.NewSectionReader(f, off, n))
	} else {
		var k int
		k, err = unix.CopyFileRange(int(f.Fd()), &off, int(o.file.Fd()), nil, int(n), 0)
		got = int64(max(k, 0))
	}
	o.written += got
	return got, err
}

// copy has some copy bytes [off, off+n) of f bit by bit.
func (o *output) copy(ctx context.Context, f *os.File, off, n int64, some func(off, n int64) (int64, error)) error {
	for end := off + n; off < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := some(off, min(copyChunk, end-off))
		off += got
		switch {
		case got == 0 && o.how != plain:
			o.how = plain // the kernel can't between these two files
		case err != nil:
			return outputError(o.path, err)
		case got == 0:
			return pieces.Errorf(pieces.Internal, "content file ends at byte %d, %d too early", off, end-off)
		}
	}
	return nil
}

var (
	_ control.Sink  = (*output)(nil)
	_ control.Parts = (*output)(nil)
)
