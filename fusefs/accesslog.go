package fusefs

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// accessLog tells everybody who has .df/accesslog open of each request. While
// nobody has, a request costs one atomic load.
type accessLog struct {
	// readers is nil while there are none; what it points to never changes.
	readers atomic.Pointer[[]*accessReader]
	mu      sync.Mutex // held while readers is replaced
}

// began returns the time if anybody listens, else zero: a request that began
// unheard is not told.
func (l *accessLog) began() time.Time {
	if l.readers.Load() == nil {
		return time.Time{}
	}
	return time.Now()
}

// tell makes a line of a for everybody who listens. began is what began
// returned.
func (l *accessLog) tell(ctx context.Context, began time.Time, a Access) {
	if began.IsZero() {
		return
	}
	a.At = time.Now()
	a.Took = a.At.Sub(began)
	l.write(ctx, a)
}

// write is tell for who has measured already.
func (l *accessLog) write(ctx context.Context, a Access) {
	readers := l.readers.Load()
	if readers == nil {
		return
	}
	if c, ok := fuse.FromContext(ctx); ok {
		a.PID = c.Pid
	}
	line, _ := a.AppendText(make([]byte, 0, 192))
	for _, r := range *readers {
		r.add(line)
	}
}

func (l *accessLog) open() *accessReader {
	r := &accessReader{l: l, ready: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*accessReader
	if old := l.readers.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, r)
	l.readers.Store(&list)
	return r
}

func (l *accessLog) remove(r *accessReader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.readers.Load()
	if old == nil {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*old), func(o *accessReader) bool { return o == r })
	if len(list) == 0 {
		l.readers.Store(nil)
		return
	}
	l.readers.Store(&list)
}

// maxAccessBytes is how much waits for one reader of the log: some thousand
// lines. What comes while it is full is dropped, and counted.
const maxAccessBytes = 512 << 10

// accessReader is one open handle of the log: a stream, which begins when it is
// opened.
type accessReader struct {
	l     *accessLog
	ready chan struct{} // holds a value when there may be something to read

	mu      sync.Mutex
	lines   []byte
	dropped int64 // lines since the last that was told
}

func (r *accessReader) add(line []byte) {
	r.mu.Lock()
	if len(r.lines)+len(line) > maxAccessBytes {
		r.dropped++
	} else {
		r.tellDropped()
		r.lines = append(r.lines, line...)
	}
	r.mu.Unlock()
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// tellDropped puts the count where the lines are missing; call with mu.
func (r *accessReader) tellDropped() {
	if r.dropped > 0 {
		r.lines = fmt.Appendf(r.lines, "%s%d\n", droppedMark, r.dropped)
		r.dropped = 0
	}
}

// take moves up to len(dest) bytes out.
func (r *accessReader) take(dest []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == 0 {
		r.tellDropped()
	}
	n := copy(dest, r.lines)
	r.lines = r.lines[:copy(r.lines, r.lines[n:])]
	return n
}

// wait takes at least one byte, waiting for it until ctx ends.
func (r *accessReader) wait(ctx context.Context, dest []byte) int {
	for {
		if n := r.take(dest); n > 0 {
			return n
		}
		select {
		case <-r.ready:
		case <-ctx.Done():
			return 0
		}
	}
}

// accessFile is .df/accesslog: for who mounted alone, as it tells of private
// files too.
type accessFile struct {
	fs.Inode
	readonly
	m *Mount
}

func (f *accessFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Nlink = fuse.S_IFREG|0o400, 1
	f.m.owned(&out.Attr)
	return 0
}

// Open starts a stream: no seeking, no pages kept.
func (f *accessFile) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if writes(flags) {
		return nil, 0, syscall.EROFS
	}
	h := &accessHandle{m: f.m, r: f.m.access.open(), nonblock: flags&syscall.O_NONBLOCK != 0}
	return h, fuse.FOPEN_DIRECT_IO | fuse.FOPEN_STREAM | fuse.FOPEN_NONSEEKABLE, 0
}

// accessHandle is an open .df/accesslog.
type accessHandle struct {
	m        *Mount
	r        *accessReader
	nonblock bool
}

// forever is no deadline.
const forever = time.Duration(math.MaxInt64)

// Read waits for the next lines. Opened with O_NONBLOCK it answers EAGAIN when
// there are none; it ends with the mount.
func (h *accessHandle) Read(ctx context.Context, dest []byte, _ int64) (fuse.ReadResult, syscall.Errno) {
	if h.nonblock {
		if n := h.r.take(dest); n > 0 {
			return fuse.ReadResultData(dest[:n]), 0
		}
		return nil, syscall.EAGAIN
	}
	o := h.m.begin(ctx, forever, nil)
	defer o.finish()
	n := h.r.wait(o, dest)
	if n == 0 && o.ended() != opStopped {
		return nil, o.errno(pieces.Errorf(pieces.Canceled, "nobody waits for the access log any more"))
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Release ends the stream.
func (h *accessHandle) Release(context.Context) syscall.Errno {
	h.r.l.remove(h.r)
	return 0
}
