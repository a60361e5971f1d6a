package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
)

// thread is one of those that read.
type thread struct {
	m *model
	r *rand.Rand
	// open are its open files; nil where none is.
	open [4]*handle
	// out takes what the kernel copies by itself.
	out *os.File
	buf []byte
}

// handle is an open file, whose version its size tells.
type handle struct {
	*os.File
	f       *file
	version content.File
	direct  bool
	// era is that of the daemon when it was opened.
	era int64
}

// wrong is what must never happen: it ends the run.
type wrong struct{ error }

func wrongf(format string, args ...any) error { return wrong{fmt.Errorf(format, args...)} }

// patience bounds how long one operation is tried again, though its failures are
// explained.
const patience = 90 * time.Second

// thread does operations until enough were begun.
func (m *model) thread(ctx context.Context, n int) {
	// A mapping whose file can't be read gives SIGBUS: then an error, not the
	// end of the process.
	debug.SetPanicOnFault(true)
	t := &thread{m: m, r: rand.New(rand.NewPCG(m.o.Seed, uint64(n))), buf: aligned(maxRead)}
	var err error
	if t.out, err = os.Create(filepath.Join(m.tmp, fmt.Sprint(n))); err != nil {
		m.stop(err)
		return
	}
	defer t.out.Close()
	defer t.closeAll()
	for ctx.Err() == nil && m.begun.Add(1) <= int64(m.o.Ops) {
		if err := t.operate(ctx); err != nil {
			m.stop(err)
			return
		}
		m.done.Add(1)
	}
}

func (t *thread) closeAll() {
	for i, h := range t.open {
		if h != nil {
			h.Close()
			t.open[i] = nil
		}
	}
}

// operate does one operation, again until it succeeds as long as each failure is
// explained.
func (t *thread) operate(ctx context.Context) error {
	kind := t.draw()
	slot := t.r.IntN(len(t.open))
	for deadline := time.Now().Add(patience); ; {
		era := t.m.era.Load()
		err := t.try(kind, slot)
		if err == nil {
			t.m.ops[kind].Add(1)
			return nil
		}
		h := t.open[slot]
		if h != nil {
			era = min(era, h.era)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !t.explained(err, era, h):
			return fmt.Errorf("%s: %w, which neither a restart nor a new version explains", kinds[kind].name, err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: still %w after %v", kinds[kind].name, err, patience)
		}
		t.m.explained.Add(1)
		if h != nil {
			h.Close()
			t.open[slot] = nil
		}
		rest(ctx, 10*time.Millisecond)
	}
}

// draw picks a kind by its weight.
func (t *thread) draw() int {
	n := t.r.IntN(weights)
	for i, k := range kinds {
		if n -= k.weight; n < 0 {
			return i
		}
	}
	panic("model: weights don't add up")
}

// try does it once, on the slot's file, which it opens if need be.
func (t *thread) try(kind, slot int) (err error) {
	if t.open[slot] == nil {
		if t.open[slot], err = t.openOne(); err != nil {
			return err
		}
	}
	defer func() {
		if p := recover(); p != nil {
			fault, ok := p.(interface{ Addr() uintptr })
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("fault at %#x: %w", fault.Addr(), syscall.EIO)
		}
	}()
	if kinds[kind].reopens {
		h := t.open[slot]
		t.open[slot] = nil
		if err := h.Close(); err != nil {
			return err
		}
		t.open[slot], err = t.openOne()
		return err
	}
	return kinds[kind].do(t, t.open[slot])
}

// openOne opens a random file, one time in five past the page cache.
func (t *thread) openOne() (*handle, error) {
	h := &handle{f: t.m.files[t.r.IntN(len(t.m.files))], era: t.m.era.Load(), direct: t.r.IntN(5) == 0}
	flags := unix.O_RDONLY
	if h.direct {
		flags |= unix.O_DIRECT
	}
	var err error
	if h.File, err = os.OpenFile(filepath.Join(t.m.mount, h.f.id), flags, 0); err != nil {
		return nil, opening{err, h.f}
	}
	st, err := h.Stat()
	if err == nil {
		if h.version, err = h.f.OfSize(st.Size()); err != nil {
			err = wrong{err}
		}
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// opening is the failure to open a file.
type opening struct {
	error
	f *file
}

func (o opening) Unwrap() error { return o.error }

// seenLate is how long after a new version at the origin an open may still end
// in ESTALE: as long as the kernel and the daemon trust what they know.
const seenLate = 15 * time.Second

// explained reports whether err may be: the daemon was down, or went down, since
// era; or the file, open as h unless that is nil, has another version by now.
func (t *thread) explained(err error, era int64, h *handle) bool {
	var no syscall.Errno
	if errors.As(err, &wrong{}) || !errors.As(err, &no) {
		return false
	}
	if now := t.m.era.Load(); now != era || now%2 == 1 {
		switch no {
		case unix.EIO, unix.ENOTCONN, unix.ECONNABORTED, unix.ENOENT, unix.ESTALE, unix.ETIMEDOUT, unix.EFAULT:
			return true
		}
	}
	if no != unix.ESTALE && no != unix.EIO && no != unix.EFAULT {
		return false
	}
	var o opening
	if errors.As(err, &o) {
		return no == unix.ESTALE && time.Since(time.Unix(0, o.f.changed.Load())) < seenLate
	}
	return h != nil && h.version.Size != h.f.Last().Size
}
