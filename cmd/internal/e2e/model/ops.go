package model

import (
	"fmt"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kind is a kind of operation, and how often it is drawn.
type kind struct {
	name   string
	weight int
	// do does it on an open file; nil if it reopens.
	do      func(t *thread, h *handle) error
	reopens bool
}

var kinds = []kind{
	{"pread", 30, (*thread).pread, false},
	{"readv", 10, (*thread).readv, false},
	{"mmap", 10, (*thread).mmap, false},
	{"sendfile", 5, (*thread).sendfile, false},
	{"copy_file_range", 5, (*thread).copyRange, false},
	{"fadvise", 10, (*thread).fadvise, false},
	{"lseek", 10, (*thread).lseek, false},
	{"reopen", 20, nil, true},
}

// weights is the sum of all.
var weights = func() (sum int) {
	for _, k := range kinds {
		sum += k.weight
	}
	return sum
}()

// maxRead is the most that one operation asks for.
const maxRead = 256 << 10

// align is what O_DIRECT wants of offset, length and memory.
const align = 4096

// aligned is memory that O_DIRECT may write to.
func aligned(n int) []byte {
	b := make([]byte, n+align)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (align - 1))
	return b[skip : skip+n : skip+n]
}

// span draws a range, sometimes over the end of the file.
func (t *thread) span(h *handle) (off int64, n int) {
	off, n = t.r.Int64N(h.version.Size+align), 1+t.r.IntN(maxRead)
	if t.r.IntN(4) == 0 { // as footers are read
		off = max(0, h.version.Size-t.r.Int64N(64<<10))
	}
	if h.direct {
		off, n = off&^(align-1), max(align, n&^(align-1))
	}
	return off, n
}

// judge compares what a read gave. It may give less than asked, but nothing at
// all only at the end.
func (h *handle) judge(got []byte, off int64, asked int) error {
	left := max(0, h.version.Size-off)
	if int64(len(got)) > left {
		return wrongf("%s: %d bytes at %d, where the file has %d", h.version.Name, len(got), off, left)
	}
	if len(got) == 0 && left > 0 && asked > 0 {
		return wrongf("%s: no bytes at %d of %d", h.version.Name, off, h.version.Size)
	}
	if len(got) == 0 {
		return nil
	}
	if err := h.version.Check(got, off); err != nil {
		return wrong{err}
	}
	return nil
}

func (t *thread) pread(h *handle) error {
	off, n := t.span(h)
	got, err := unix.Pread(int(h.Fd()), t.buf[:n], off)
	if err != nil {
		return err
	}
	return h.judge(t.buf[:got], off, n)
}

// readv seeks and reads into several buffers at once.
func (t *thread) readv(h *handle) error {
	off, n := t.span(h)
	var parts [][]byte
	for rest := t.buf[:n]; len(rest) > 0; {
		k := 1 + t.r.IntN(len(rest))
		if h.direct {
			k = min(len(rest), (k+align-1)&^(align-1))
		}
		parts, rest = append(parts, rest[:k]), rest[k:]
		if len(parts) == 8 {
			n -= len(rest)
			break
		}
	}
	if _, err := unix.Seek(int(h.Fd()), off, io.SeekStart); err != nil {
		return err
	}
	got, err := unix.Readv(int(h.Fd()), parts)
	if err != nil {
		return err
	}
	return h.judge(t.buf[:got], off, n)
}

var advices = []int{unix.MADV_NORMAL, unix.MADV_RANDOM, unix.MADV_SEQUENTIAL, unix.MADV_WILLNEED, unix.MADV_DONTNEED, unix.MADV_POPULATE_READ}

// mmap maps a window, advises, and touches pages of it.
func (t *thread) mmap(h *handle) error {
	off, n := t.span(h)
	off &^= align - 1
	n = int(min(int64(n), h.version.Size-off))
	if n <= 0 {
		return nil
	}
	m, err := unix.Mmap(int(h.Fd()), off, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(m)
	if err := unix.Madvise(m, advices[t.r.IntN(len(advices))]); err != nil {
		return err
	}
	for range 1 + t.r.IntN(4) {
		at := t.r.IntN(n)
		k := copy(t.buf, m[at:min(n, at+1+t.r.IntN(3*align))])
		if err := h.judge(t.buf[:k], off+int64(at), k); err != nil {
			return err
		}
	}
	return nil
}

// copied compares what the kernel wrote into t.out.
func (t *thread) copied(h *handle, off int64, got, asked int) error {
	if _, err := t.out.ReadAt(t.buf[:got], 0); err != nil {
		return fmt.Errorf("reading the copy: %w", err)
	}
	return h.judge(t.buf[:got], off, asked)
}

func (t *thread) sendfile(h *handle) error {
	off, n := t.span(h)
	if _, err := t.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	at := off
	got, err := unix.Sendfile(int(t.out.Fd()), int(h.Fd()), &at, n)
	if err != nil {
		return err
	}
	return t.copied(h, off, got, n)
}

// copyRange has the kernel copy; it may refuse to, between file systems.
func (t *thread) copyRange(h *handle) error {
	off, n := t.span(h)
	from, to := off, int64(0)
	got, err := unix.CopyFileRange(int(h.Fd()), &from, int(t.out.Fd()), &to, n, 0)
	switch err {
	case nil:
		return t.copied(h, off, got, n)
	case unix.EXDEV, unix.EOPNOTSUPP, unix.EINVAL:
		return nil
	}
	return err
}

var fadvices = []int{unix.FADV_NORMAL, unix.FADV_RANDOM, unix.FADV_SEQUENTIAL, unix.FADV_WILLNEED, unix.FADV_DONTNEED, unix.FADV_NOREUSE}

// fadvise advises about a range, and reads near it.
func (t *thread) fadvise(h *handle) error {
	off, n := t.span(h)
	if err := unix.Fadvise(int(h.Fd()), off, int64(n), fadvices[t.r.IntN(len(fadvices))]); err != nil {
		return err
	}
	return t.pread(h)
}

// lseek finds no holes, whatever is cached.
func (t *thread) lseek(h *handle) error {
	off, _ := t.span(h)
	fd, size := int(h.Fd()), h.version.Size
	for _, want := range []struct {
		whence int
		at     int64
	}{{unix.SEEK_DATA, off}, {unix.SEEK_HOLE, size}} {
		at, err := unix.Seek(fd, off, want.whence)
		switch {
		case off >= size && err == unix.ENXIO:
		case err != nil:
			return err
		case off >= size || at != want.at:
			return wrongf("%s: lseek of %d of %d (whence %d) gave %d", h.version.Name, off, size, want.whence, at)
		}
	}
	end, err := unix.Seek(fd, 0, io.SeekEnd)
	if err == nil && end != size {
		err = wrongf("%s: its end is at %d of %d", h.version.Name, end, size)
	}
	return err
}
