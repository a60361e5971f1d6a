package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/lab"
)

// load reads on every host, in several ways, while it runs.
type load struct {
	tally *tally
	// files are those of the round.
	files atomic.Pointer[[]*file]
	// round tells which daemons dfget may not meet: it would start another in
	// the place of one that is down.
	round atomic.Pointer[Round]
}

// pause between failed attempts of one reader.
const pause = 200 * time.Millisecond

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// reader reads on d until ctx ends.
func (l *load) reader(ctx context.Context, d *lab.Daemon, r *rand.Rand) {
	buf := alignedBuffer(128 << 10)
	for ctx.Err() == nil {
		files := *l.files.Load()
		f := files[r.IntN(len(files))]
		if err := l.visit(ctx, d, f, r, buf); err != nil {
			rest(ctx, pause)
			continue
		}
		rest(ctx, time.Duration(r.Int64N(int64(20*time.Millisecond))))
	}
}

// visit opens f and reads some of it: in order, here and there, or past the
// page cache.
func (l *load) visit(ctx context.Context, d *lab.Daemon, f *file, r *rand.Rand, buf []byte) error {
	flags, way := os.O_RDONLY, r.IntN(3)
	if way == 2 {
		flags |= unix.O_DIRECT
	}
	h, err := l.open(d, f, flags)
	if err != nil {
		return err
	}
	defer h.Close()
	size := h.version.Size
	switch way {
	case 0:
		off := r.Int64N(size) &^ 4095
		for i := 0; i < 64 && off < size && ctx.Err() == nil && err == nil; i++ {
			err = h.read(buf, off)
			off += int64(len(buf))
		}
	case 1:
		for i := 0; i < 16 && ctx.Err() == nil && err == nil; i++ {
			err = h.read(buf[:1+r.IntN(32<<10)], r.Int64N(size))
		}
	case 2:
		for i := 0; i < 8 && ctx.Err() == nil && err == nil; i++ {
			err = h.read(buf[:4096*(1+r.IntN(16))], r.Int64N(size)&^4095)
		}
	}
	return err
}

// opened is an open file of a mount, whose version is known.
type opened struct {
	*os.File
	l       *load
	host    string
	version versioned
}

// versioned is the content that a descriptor must show.
type versioned struct {
	Size  int64
	Check func(got []byte, off int64) error
}

func (l *load) open(d *lab.Daemon, f *file, flags int) (*opened, error) {
	o := l.tally.begin(openDeadline, "open %s on %s", f.Name, d.Host.Name)
	h, err := os.OpenFile(filepath.Join(d.Mount, f.id), flags, 0)
	var size int64
	if err == nil {
		var st os.FileInfo
		if st, err = h.Stat(); err == nil {
			size = st.Size()
		} else {
			h.Close()
		}
	}
	if l.tally.end(o, err) != nil {
		l.judge(err, d.Host.Name, o)
		return nil, err
	}
	v, err := f.OfSize(size)
	if err != nil {
		h.Close()
		l.tally.wrongBytes(0, fmt.Errorf("%s: %w", d.Host.Name, err))
		return nil, err
	}
	return &opened{File: h, l: l, host: d.Host.Name, version: versioned{v.Size, v.Check}}, nil
}

// read reads p at off and checks every byte. Only the end of the file may cut
// it short.
func (h *opened) read(p []byte, off int64) error {
	want := int(min(int64(len(p)), h.version.Size-off))
	o := h.l.tally.begin(readDeadline, "read %s [%d,+%d) on %s", filepath.Base(h.Name())[:12], off, len(p), h.host)
	n, err := unix.Pread(int(h.Fd()), p, off)
	if err == nil && n < want && n >= 0 {
		// read(2) may give less than asked, but not nothing before the end.
		if n == 0 {
			err = io.ErrUnexpectedEOF
		}
		want = n
	}
	if h.l.tally.end(o, err) != nil {
		h.l.judge(err, h.host, o)
		return err
	}
	if n > want {
		err = fmt.Errorf("%s: %d bytes where the file has %d", h.host, n, want)
	} else {
		err = h.version.Check(p[:n], off)
	}
	if err != nil {
		h.l.tally.wrongBytes(n, fmt.Errorf("%s: %w", h.host, err))
		return err
	}
	h.l.tally.read(n)
	return nil
}

// judge records an error that the faults of the round don't explain: only a
// host whose own daemon was hit may lose its mount for a while, and only a
// file with a new version may be stale.
func (l *load) judge(err error, host string, o *op) {
	r := l.round.Load()
	if r == nil {
		return // before the first
	}
	switch no := syscall.Errno(0); {
	case errors.Is(err, io.ErrUnexpectedEOF):
	case !errors.As(err, &no):
	case no == syscall.EIO, no == syscall.ETIMEDOUT:
		return
	case no == syscall.ESTALE && r.Has(Deploy):
		return
	case no == syscall.ENOENT && (r.Hits("manager") || r.Hits(adder)):
		return // it hears of what was added as soon as they can talk
	case no == syscall.ENOENT || no == syscall.ENOTCONN || no == syscall.ECONNABORTED || no == syscall.ESTALE:
		if r.Breaks(host) {
			return
		}
	}
	l.tally.failed("%s: %v, which no fault explains", o.what, err)
}

// alignedBuffer is memory that O_DIRECT may write to.
func alignedBuffer(n int) []byte {
	const page = 4096
	b := make([]byte, n+page)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (page - 1))
	return b[skip : skip+n]
}

// getter downloads with dfget, on hosts whose daemon has no fault, until ctx
// ends.
func (l *load) getter(ctx context.Context, hosts []*lab.Daemon, r *rand.Rand) {
	for ctx.Err() == nil {
		rest(ctx, time.Second)
		d := hosts[r.IntN(len(hosts))]
		files := *l.files.Load()
		f := files[r.IntN(len(files))]
		if l.round.Load().Breaks(d.Host.Name) {
			continue
		}
		if err := l.get(ctx, d, f); err != nil {
			rest(ctx, pause)
		}
	}
}

// get downloads f with dfget and checks what came.
func (l *load) get(ctx context.Context, d *lab.Daemon, f *file) error {
	out := filepath.Join(d.Host.Dir, "got.bin")
	defer os.Remove(out)
	run, cancel := context.WithTimeout(context.WithoutCancel(ctx), getDeadline)
	defer cancel()
	o := l.tally.begin(getDeadline, "dfget %s on %s", f.Name, d.Host.Name)
	res, err := d.Dfget(run, f.url, "-O", out)
	if err == nil && res.Exit != 0 {
		err = fmt.Errorf("exit code %d", res.Exit)
	}
	if l.tally.end(o, err) != nil {
		if res.Exit > 6 || res.Exit == 2 {
			l.tally.failed("dfget on %s: %v", d.Host.Name, res.Err())
		}
		return err
	}
	h, err := os.Open(out)
	if err != nil {
		l.tally.failed("dfget on %s ended with 0 and left no file: %v", d.Host.Name, err)
		return err
	}
	defer h.Close()
	st, err := h.Stat()
	if err != nil {
		return err
	}
	v, err := f.OfSize(st.Size())
	if err == nil {
		err = v.CheckReader(h, 0, v.Size)
	}
	if err != nil {
		l.tally.wrongBytes(0, fmt.Errorf("dfget on %s: %w", d.Host.Name, err))
	}
	return err
}

// proves reads f on d again and again until all of it is right, at most for
// healDeadline.
func (l *load) proves(ctx context.Context, d *lab.Daemon, f *file, n int64) {
	buf := alignedBuffer(128 << 10)
	ctx, cancel := context.WithTimeout(ctx, healDeadline)
	defer cancel()
	for {
		err := l.whole(d, f, n, buf)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			if !errors.Is(context.Cause(ctx), context.Canceled) {
				l.tally.failed("%s can't read %s %v after the last fault ended: %v", d.Host.Name, f.Name, healDeadline, err)
			}
			return
		}
		rest(ctx, pause)
	}
}

// whole reads the first n bytes of f.
func (l *load) whole(d *lab.Daemon, f *file, n int64, buf []byte) error {
	h, err := l.open(d, f, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer h.Close()
	for off := int64(0); off < min(n, h.version.Size); off += int64(len(buf)) {
		if err := h.read(buf, off); err != nil {
			return err
		}
	}
	return nil
}
