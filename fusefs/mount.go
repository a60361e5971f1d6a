package fusefs

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/sirupsen/logrus"

	"damselfly/fusefs/attach"
	"damselfly/pieces"
)

// Mount is a mounted file system. Its methods are safe for concurrent use.
type Mount struct {
	o       Options
	backend Backend
	log     *logrus.Entry
	metrics *metrics
	began   time.Time

	// ctx ends when the mount is to fail every request.
	ctx    context.Context
	cancel context.CancelFunc

	point  *attach.Point
	server *fuse.Server
	pass   *passthrough
	open   handles
	access accessLog

	unmounted atomic.Bool   // by Unmount
	done      chan struct{} // closed when the last request is answered
}

// New mounts o.Dir and serves it until it is unmounted. A dead mount on Dir is
// taken off first. When ctx ends, every request fails at once; unmounting
// stays the caller's business.
func New(ctx context.Context, o Options) (*Mount, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := attach.CleanStale(o.Dir); err != nil {
		return nil, err
	}
	m := &Mount{o: o, backend: o.Backend, began: time.Now(), done: make(chan struct{})}
	fd, point, err := attachTo(ctx, o)
	if err != nil {
		return nil, err
	}
	m.point = point
	m.log = o.Log.WithField("mount", point.Dir())
	m.metrics = newMetrics(o.Registry, point.Dir())
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.server, err = fuse.NewServer(fs.NewNodeFS(newRoot(m), m.nodeOptions()), fmt.Sprintf("/dev/fd/%d", fd), m.serverOptions())
	if err != nil {
		m.cancel()
		m.metrics.close()
		err = pieces.WithKind(pieces.Unavailable, err, "FUSE handshake on "+point.Dir())
		if derr := point.Detach(context.WithoutCancel(ctx), true); derr != nil {
			m.log.WithError(derr).Warn("the failed mount stays")
		}
		return nil, err
	}
	m.pass = probePassthrough(m.server, o)
	if err := point.SetReadAhead(o.ReadAheadKiB); err != nil {
		m.log.WithError(err).Info("kernel readahead stays at its default")
	}
	go func() {
		defer close(m.done)
		m.server.Serve()
		m.cancel()
		m.open.closeAll()
		m.metrics.close()
	}()
	if err := m.refusePoll(); err != nil {
		m.log.WithError(err).Warn("the kernel may ask whether files can be polled: this process should not read them")
	}
	on, why := m.Passthrough()
	m.log.WithFields(logrus.Fields{"passthrough": on, "why": why}).Info("mounted")
	return m, nil
}

// attachTo mounts with the kernel checking permissions, for all users when
// root does it or when so asked.
func attachTo(ctx context.Context, o Options) (int, *attach.Point, error) {
	ao := attach.Options{
		Dir: o.Dir, Source: o.Source, Subtype: fsSubtype, MaxRead: maxRequest,
		AllowOther: o.AllowOther || !o.Private && os.Geteuid() == 0, Helper: o.Helper,
	}
	return attach.Attach(ctx, ao)
}

func (m *Mount) nodeOptions() *fs.Options {
	return &fs.Options{
		EntryTimeout: &m.o.Timeout,
		AttrTimeout:  &m.o.Timeout,
		// No NegativeTimeout: a name may come to be at any moment.
		NullPermissions: true,
		RootStableAttr:  &fs.StableAttr{Ino: fuse.FUSE_ROOT_ID},
		Logger:          log.New(logWriter{m.log}, "", 0),
	}
}

func (m *Mount) serverOptions() *fuse.MountOptions {
	return &fuse.MountOptions{
		Name:                     fsSubtype,
		MaxBackground:            m.o.MaxBackground,
		MaxWrite:                 maxRequest,
		ExplicitDataCacheControl: true,
		DisableReadDirPlus:       true,
		IgnoreSecurityLabels:     true,
		Logger:                   log.New(logWriter{m.log}, "", 0),
		PanicHandler:             m.recovered,
	}
}

// recovered answers a request whose handler panicked.
func (m *Mount) recovered(v any) fuse.Status {
	m.metrics.panics.Inc()
	m.log.WithField("stack", string(debug.Stack())).Errorf("panic in a handler: %v", v)
	return fuse.EIO
}

// begin returns the op of a request whose context go-fuse made.
func (m *Mount) begin(ctx context.Context, limit time.Duration, progress func() time.Time) *op {
	asked := func() bool {
		caller, _ := fuse.FromContext(ctx)
		return caller == nil || askedToEnd(caller.Pid)
	}
	return begin(m.ctx, ctx.Done(), limit, m.o.InterruptGrace, asked, progress)
}

// Dir returns the mount point, absolute and without symlinks.
func (m *Mount) Dir() string { return m.point.Dir() }

// Dev returns "major:minor" of the mount, the kernel's name of its connection;
// empty if it could not be learnt.
func (m *Mount) Dev() string { return m.point.Dev() }

// Wait blocks until the mount is gone and every request answered. The error
// says if it went without Unmount.
func (m *Mount) Wait() error {
	<-m.done
	if !m.unmounted.Load() {
		return pieces.Errorf(pieces.Unavailable, "%s was unmounted or its connection aborted by somebody else", m.Dir())
	}
	return nil
}

// Done is closed when Wait would return.
func (m *Mount) Done() <-chan struct{} { return m.done }

// Unmount takes the mount off its directory. While something in it is open it
// is an Unavailable error, unless lazy: then the name goes at once and open
// files can be read until they are closed. It returns when the server has
// ended; lazy, when the name is gone.
func (m *Mount) Unmount(ctx context.Context, lazy bool) error {
	before := m.unmounted.Swap(true)
	if err := m.point.Detach(ctx, lazy); err != nil {
		m.unmounted.Store(before)
		return err
	}
	if lazy {
		return nil
	}
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return pieces.WithKind(pieces.Timeout, ctx.Err(), "unmount "+m.Dir()+": it lives on in another mount namespace")
	}
}

// Close ends the mount come what may: requests fail, the name goes, open files
// are cut off. It returns when the server has ended, or with an error when ctx
// ends first.
func (m *Mount) Close(ctx context.Context) error {
	m.cancel()
	m.unmounted.Store(true)
	aborted := m.point.Abort()
	err := m.point.Detach(ctx, true)
	select {
	case <-m.done:
		return err
	case <-ctx.Done():
		if aborted != nil {
			return aborted
		}
		return pieces.WithKind(pieces.Timeout, ctx.Err(), "close "+m.Dir())
	}
}

// Passthrough reports whether complete files are read by the kernel itself,
// and if not, why.
func (m *Mount) Passthrough() (on bool, why string) { return m.pass.state() }

// Reads returns how many READ requests were answered, well or badly.
func (m *Mount) Reads() int64 { return m.metrics.readCount.Load() }

// OpenHandles returns how many handles of files are open now.
func (m *Mount) OpenHandles() int { return int(m.metrics.openCount.Load()) }

// CleanStale takes mounts off dir whose server is dead.
func CleanStale(dir string) error { return attach.CleanStale(dir) }

// logWriter passes go-fuse's lines on.
type logWriter struct{ log *logrus.Entry }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug(string(p))
	return len(p), nil
}
