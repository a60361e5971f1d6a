package fusefs

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// handle is an open file in cached mode: the kernel asks for what it has no
// page of.
type handle struct {
	n    *file
	f    File
	size int64
	mode Mode
	// opening is how long the open took; served: a READ got bytes.
	opening time.Duration
	served  atomic.Bool
	journey journey
}

// Read answers one READ request, at most 1 MiB.
func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	began := time.Now()
	var from pieces.HitBytes
	n, errno := h.read(ctx, dest, off, &from)
	took, m := time.Since(began), h.n.m
	m.metrics.read(took, n, &from, errno)
	if n > 0 && !h.served.Swap(true) {
		m.metrics.firstByte.Observe((h.opening + took).Seconds())
	}
	m.access.write(ctx, Access{
		At: began.Add(took), Took: took, Op: "read", Task: h.n.key.Task,
		Off: off, Size: int64(len(dest)), Hit: from.Farthest(), Errno: errno,
	})
	if errno != 0 {
		return nil, errno
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// read fills dest up to the end of the file, and from. Short of that it fails:
// the kernel would take missing bytes for zeros.
func (h *handle) read(ctx context.Context, dest []byte, off int64, from *pieces.HitBytes) (int, syscall.Errno) {
	end := min(off+int64(len(dest)), h.size)
	if off < 0 || end <= off {
		return 0, 0
	}
	n, m := h.n, h.n.m
	if errno, ok := n.failures.find(off, end, time.Now()); ok {
		return 0, errno
	}
	var progress func() time.Time
	if p, ok := h.f.(Progresser); ok {
		progress = p.Progress
	}
	o := m.begin(ctx, m.o.ReadDeadline, progress)
	defer o.finish()
	dest = dest[:end-off]
	span := h.journey.next(o, m.o.Tracer, "mount.read")
	got, err := h.readFrom(o, dest, off, from)
	tellRead(span, n.key, off, int64(len(dest)), got, from, err)
	if errors.Is(err, io.EOF) || err == nil {
		err = nil
		if got != len(dest) {
			err = pieces.Errorf(pieces.Internal, "read of %d bytes at %d gave %d", len(dest), off, got)
		}
	}
	errno := o.errno(err)
	switch errno {
	case 0:
		return got, 0
	case syscall.EINTR: // says nothing of the file
	default:
		m.log.WithError(err).WithFields(n.key.Fields()).Debugf("read at %d failed: %v", off, errno)
		n.failures.add(off, end, errno, time.Now().Add(m.o.FailureMemory))
	}
	return 0, errno
}

func (h *handle) readFrom(ctx context.Context, dest []byte, off int64, from *pieces.HitBytes) (n int, err error) {
	s, ok := h.f.(Sourced)
	if !ok {
		return h.f.ReadAt(ctx, dest, off)
	}
	n, *from, err = s.ReadFrom(ctx, dest, off)
	return n, err
}

// Release ends the handle. Nothing is left under way: the kernel sends it
// after the last request.
func (h *handle) Release(ctx context.Context) syscall.Errno {
	began := h.n.m.access.began()
	if h.n.m.open.remove(h) {
		h.close()
	}
	h.n.m.access.tell(ctx, began, Access{Op: "release", Task: h.n.key.Task})
	return 0
}

func (h *handle) close() {
	h.n.release(h)
	h.n.m.metrics.openCount.Add(-1)
	if err := h.f.Close(); err != nil {
		h.n.m.log.WithError(err).WithFields(h.n.key.Fields()).Debug("close failed")
	}
}

// handles are those open in a mount. An unmount right after close(2), or an
// aborted connection, swallows the RELEASE of some.
type handles struct {
	mu  sync.Mutex
	set map[*handle]struct{}
}

func (s *handles) add(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[*handle]struct{}{}
	}
	s.set[h] = struct{}{}
}

// remove reports whether h was open.
func (s *handles) remove(h *handle) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.set[h]
	delete(s.set, h)
	return ok
}

// each calls f for every handle; f must not open or close one.
func (s *handles) each(f func(*handle)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.set {
		f(h)
	}
}

// closeAll closes what the kernel did not, once no more requests come.
func (s *handles) closeAll() {
	s.mu.Lock()
	left := s.set
	s.set = nil
	s.mu.Unlock()
	for h := range left {
		h.close()
	}
}

// passHandle is an open file in passthrough: the kernel reads the content
// file.
type passHandle struct{ *handle }

// PassthroughFd is asked by go-fuse for the first handle of an inode.
func (h passHandle) PassthroughFd() (int, bool) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return int(h.n.modes.backing.Fd()), true
}

// Read comes only if the kernel refused the content file after all, after it
// took it a moment before: then go-fuse has given up on passthrough.
func (h passHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	h.n.m.pass.giveUp("the kernel refused a content file it had taken before")
	return h.handle.Read(ctx, dest, off)
}
