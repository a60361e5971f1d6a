package fusefs

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// file is the inode of one Version of one Task. Its content never changes.
type file struct {
	fs.Inode
	readonly
	m        *Mount
	key      pieces.Key
	failures failures
	journey  journey

	mu    sync.Mutex
	entry Entry
	modes modes
	// released is closed when a handle is released; nil if nobody waits.
	released chan struct{}
	// held is how many cached-mode handles an open waited for in vain: somebody
	// really keeps them.
	held int
}

// set takes over what a later lookup says of the same Version.
func (n *file) set(e Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entry = e
}

func (n *file) attr(a *fuse.Attr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a.Mode, a.Size, a.Nlink = fuse.S_IFREG|0o444, uint64(n.entry.Size), 1
	n.m.owned(a)
	a.Mode &^= n.m.o.Umask
	if n.entry.Private {
		a.Mode, a.Uid, a.Gid = fuse.S_IFREG|0o400, n.entry.UID, n.entry.GID
	}
	modified := n.entry.Modified
	if modified.IsZero() {
		modified = time.Unix(0, 0)
	}
	a.SetTimes(&modified, &modified, &modified)
}

// Getattr answers from what the last lookup said: stat of a known file never
// waits.
func (n *file) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	began := n.m.access.began()
	n.attr(&out.Attr)
	n.m.access.tell(ctx, began, Access{Op: "getattr", Task: n.key.Task})
	return 0
}

func (n *file) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno { return statfs(out) }

// Lseek lets the kernel answer SEEK_DATA and SEEK_HOLE by itself, for good: to
// a program there are no holes, whatever is cached.
func (n *file) Lseek(context.Context, fs.FileHandle, uint64, uint32) (uint64, syscall.Errno) {
	return 0, syscall.ENOSYS
}

// writes reports whether open flags ask for more than reading.
func writes(flags uint32) bool {
	return flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0
}

// Open makes a handle in the mode the inode is in or, if it is in none, in
// passthrough when the file is complete.
func (n *file) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	began := time.Now()
	h, errno := n.open(ctx, flags)
	took := time.Since(began)
	n.m.access.write(ctx, Access{At: began.Add(took), Took: took, Op: "open", Task: n.key.Task, Size: n.size(), Errno: errno})
	if errno != 0 {
		return nil, 0, errno
	}
	h.opening = took
	if h.mode == ModePassthrough {
		// FOPEN_PASSTHROUGH itself is added by go-fuse.
		return passHandle{h}, fuse.FOPEN_NOFLUSH, 0
	}
	return h, fuse.FOPEN_KEEP_CACHE | fuse.FOPEN_NOFLUSH, 0
}

func (n *file) open(ctx context.Context, flags uint32) (*handle, syscall.Errno) {
	if writes(flags) {
		return nil, syscall.EROFS
	}
	o := n.m.begin(ctx, n.m.o.LookupDeadline, nil)
	defer o.finish()
	span := n.journey.next(o, n.m.o.Tracer, "mount.open")
	span.Str("task", string(n.key.Task))
	f, err := n.m.backend.Open(o, n.key)
	span.End(err)
	if err != nil {
		n.m.log.WithError(err).WithFields(n.key.Fields()).Debug("open failed")
		return nil, n.m.metrics.failed("open", o.errno(err))
	}
	h := n.handle(o, f)
	h.journey.leave(span, n.m.o.Tracer)
	n.m.open.add(h)
	n.m.metrics.openCount.Add(1)
	n.m.metrics.opens.WithLabelValues(h.mode.String()).Inc()
	return h, 0
}

// handle counts f as open in one mode or the other.
func (n *file) handle(ctx context.Context, f File) *handle {
	h := &handle{n: n, f: f, size: n.size()}
	backing := n.backing(ctx, f)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch mode := n.modes.mode(); {
	case mode == ModePassthrough:
		closeFile(backing)
		n.modes.openPassthrough(nil)
		h.mode = ModePassthrough
	case mode == ModeNone && backing != nil:
		n.modes.openPassthrough(backing)
		h.mode = ModePassthrough
	default:
		closeFile(backing)
		n.modes.openCached()
		h.mode = ModeCached
	}
	return h
}

func (n *file) size() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.entry.Size
}

// backing returns the content file for passthrough, or nil: the file is not
// complete, or the kernel does not take it, or cached-mode handles stay.
func (n *file) backing(ctx context.Context, f File) *os.File {
	if on, _ := n.m.pass.state(); !on || n.mode() == ModePassthrough {
		return nil
	}
	c, ok := f.Passthrough()
	if !ok {
		return nil
	}
	if errno := n.m.pass.try(c); errno != 0 {
		n.m.log.WithFields(n.key.Fields()).Warn("no passthrough: ", why(errno))
		c.Close()
		return nil
	}
	n.awaitRelease(ctx)
	return c
}

func (n *file) mode() Mode {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.modes.mode()
}

// awaitRelease waits a moment for cached-mode handles to go. RELEASE comes
// some time after close(2), and without this wait who reads a file twice would
// find itself in the way.
func (n *file) awaitRelease(ctx context.Context) {
	timeout := time.NewTimer(n.m.o.ReleaseGrace)
	defer timeout.Stop()
	for {
		n.mu.Lock()
		if n.modes.cached <= n.held {
			n.mu.Unlock()
			return
		}
		if n.released == nil {
			n.released = make(chan struct{})
		}
		released := n.released
		n.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return
		case <-timeout.C:
			n.mu.Lock()
			n.held = n.modes.cached
			n.mu.Unlock()
			return
		}
	}
}

// release uncounts h.
func (n *file) release(h *handle) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.modes.release(h.mode)
	n.held = min(n.held, n.modes.cached)
	if n.released != nil {
		close(n.released)
		n.released = nil
	}
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}
