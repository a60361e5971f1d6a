package host

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
)

// gentle is how long Close waits for a mount to go in good order before it
// cuts off whoever still has it open.
const gentle = 2 * time.Second

// MountsOptions configure Mounts. FUSE and Record are needed.
type MountsOptions struct {
	// FUSE is what all mounts have in common; Dir is set for each.
	FUSE fusefs.Options
	// Record is the file in which the mounts are remembered.
	Record string
	// Last, if not nil, is called after the last mount went.
	Last func()
	// Guard, if not nil, looks after each mount.
	Guard Guard
	Log   *logrus.Entry
}

// Guard ends mounts that this process does not serve any more, though it
// should. *supervisor.Guard is one.
type Guard interface {
	// Add has the mount on dir with connection dev looked after. remove is
	// called when it is no longer served. Asked, it reports whether the guard
	// ended it; that may take a moment.
	Add(dir, dev string) (remove func(ask bool) (cut bool))
}

// noGuard looks after nothing.
type noGuard struct{}

func (noGuard) Add(string, string) func(bool) bool { return func(bool) bool { return false } }

// Mounts are the FUSE mounts of a daemon. They are recorded in a file, which
// Close empties: what Restore finds there was left by an unclean stop. Safe for
// concurrent use.
type Mounts struct {
	o MountsOptions
	// ctx fails the requests of all mounts when it ends.
	ctx     context.Context
	cancel  context.CancelFunc
	watches sync.WaitGroup

	// changing holds a value while a mount comes or goes by our hand.
	changing chan struct{}

	mu      sync.Mutex
	mounts  map[string]made        // by Dir; guarded by mu
	live    map[*fusefs.Mount]bool // also those unmounted lazily and still in use; guarded by mu
	changed time.Time              // guarded by mu
}

// made is a mount and the options it was made with.
type made struct {
	*fusefs.Mount
	options []string
}

var _ control.Mounts = (*Mounts)(nil)

// NewMounts returns no mounts yet. Close it in the end.
func NewMounts(o MountsOptions) *Mounts {
	if o.Guard == nil {
		o.Guard = noGuard{}
	}
	m := &Mounts{
		o: o, mounts: map[string]made{}, live: map[*fusefs.Mount]bool{}, changed: time.Now(),
		changing: make(chan struct{}, 1),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Restore makes the recorded mounts again. One that can't be made is logged
// and forgotten.
func (m *Mounts) Restore(ctx context.Context) error {
	before, damaged, err := readRecord(m.o.Record)
	if err != nil || damaged > 0 {
		m.o.Log.WithError(err).WithField("damaged_lines", damaged).Warn("not all mounts from before are known")
	}
	for _, b := range before {
		if err := m.Mount(ctx, b.Path, b.Options); err != nil && pieces.KindOf(err) != pieces.Exists {
			m.o.Log.WithError(err).WithField("mount", b.Path).Warn("a mount from before could not be made again")
		}
	}
	m.note()
	return nil
}

// Mount implements control.Mounts. The options are those of fusefs.Options.Set,
// and fill=auto|always|never.
func (m *Mounts) Mount(_ context.Context, path string, options []string) error {
	m.changing <- struct{}{}
	defer func() { <-m.changing }()
	if m.find(path) != nil {
		return pieces.Errorf(pieces.Exists, "%s is mounted already", path)
	}
	if err := checkDir(path); err != nil {
		return err
	}
	o := m.o.FUSE
	o.Dir = path
	for _, option := range options {
		if err := set(&o, option); err != nil {
			return err
		}
	}
	return m.mount(o, options)
}

// filler is a backend that takes the option fill=auto|always|never.
type filler interface {
	filling(value string) (fusefs.Backend, error)
}

// set applies one option of a mount: ours, or one of fusefs.
func set(o *fusefs.Options, option string) (err error) {
	if value, ok := strings.CutPrefix(option, "fill="); ok {
		if b, ok := o.Backend.(filler); ok {
			o.Backend, err = b.filling(value)
			return err
		}
	}
	return o.Set(option)
}

// mount makes a mount with o, in which options were set. The caller is the one
// that is changing.
func (m *Mounts) mount(o fusefs.Options, options []string) error {
	mount, err := fusefs.New(m.ctx, o)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.mounts[mount.Dir()] = made{mount, options}
	m.live[mount] = true
	m.changed = time.Now()
	m.mu.Unlock()
	unguard := m.o.Guard.Add(mount.Dir(), mount.Dev())
	m.watches.Go(func() { m.watch(mount, o, options, unguard) })
	m.note()
	return nil
}

// checkDir returns an Invalid error unless path is a directory. A dead mount
// there is fine: it will be replaced.
func checkDir(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, unix.ENOTCONN), errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EIO):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return pieces.Errorf(pieces.Invalid, "mount point %s does not exist; make it with 'mkdir -p %s'", path, path)
	case err != nil:
		return pieces.WithKind(pieces.KindOf(err), err, "mount point")
	case !st.IsDir():
		return pieces.Errorf(pieces.Invalid, "mount point %s is not a directory", path)
	}
	return nil
}

// watch waits until the mount, made with o, is gone, by whoever's hand. One
// that the guard ended is made again: we live, so it can be served.
func (m *Mounts) watch(mount *fusefs.Mount, o fusefs.Options, options []string, unguard func(ask bool) (cut bool)) {
	err := mount.Wait()
	cut := unguard(err != nil)
	switch log := m.o.Log.WithField("mount", mount.Dir()); {
	case err == nil:
	case cut:
		log.Warn("the supervisor ended the mount, as this daemon did not serve it for too long; it is made again")
		if err := m.again(mount, o, options); err != nil {
			log.WithError(err).Error("the mount could not be made again")
		}
	default:
		log.WithError(err).Warn("a mount is gone")
	}
	m.forget(mount)
	m.mu.Lock()
	delete(m.live, mount)
	last := len(m.live) == 0 && m.ctx.Err() == nil
	m.mu.Unlock()
	if m.ctx.Err() == nil {
		m.note()
	}
	if last && m.o.Last != nil {
		m.o.Last()
	}
}

// again makes a mount in place of gone, unless somebody was faster, or all
// mounts are being closed.
func (m *Mounts) again(gone *fusefs.Mount, o fusefs.Options, options []string) error {
	select {
	case m.changing <- struct{}{}:
		defer func() { <-m.changing }()
	case <-m.ctx.Done():
		return nil
	}
	m.mu.Lock()
	wanted := m.mounts[gone.Dir()].Mount == gone && m.ctx.Err() == nil
	m.mu.Unlock()
	if !wanted {
		return nil
	}
	return m.mount(o, options)
}

// forget takes the mount off the list.
func (m *Mounts) forget(mount *fusefs.Mount) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mounts[mount.Dir()].Mount == mount {
		delete(m.mounts, mount.Dir())
		m.changed = time.Now()
	}
}

// find returns the mount on path, nil if there is none.
func (m *Mounts) find(path string) *fusefs.Mount {
	m.mu.Lock()
	mount := m.mounts[path].Mount
	m.mu.Unlock()
	if mount != nil {
		return mount
	}
	// Symlinks are looked through up to the last element, which may be ours.
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mounts[filepath.Join(dir, filepath.Base(path))].Mount
}

// Unmount implements control.Mounts.
func (m *Mounts) Unmount(ctx context.Context, path string, lazy bool) (stopping bool, err error) {
	m.changing <- struct{}{}
	defer func() { <-m.changing }()
	mount := m.find(path)
	if mount == nil {
		return false, pieces.Errorf(pieces.Invalid, "%s is no mount of this daemon; 'dfmount status' lists them", path)
	}
	if err := mount.Unmount(ctx, lazy); err != nil {
		return false, err
	}
	m.forget(mount)
	m.mu.Lock()
	stopping = m.o.Last != nil && len(m.mounts) == 0
	m.mu.Unlock()
	m.note()
	return stopping, nil
}

// List implements control.Mounts.
func (m *Mounts) List() []control.MountInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]control.MountInfo, 0, len(m.mounts))
	for dir, mount := range m.mounts {
		on, why := mount.Passthrough()
		cached, passthrough := mount.Open()
		list = append(list, control.MountInfo{
			Path: dir, Passthrough: on, PassthroughReason: why, Reads: mount.Reads(),
			OpenCached: cached, OpenPassthrough: passthrough,
		})
	}
	slices.SortFunc(list, func(a, b control.MountInfo) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// IdleSince returns since when there was no mount; zero while there is one.
func (m *Mounts) IdleSince() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.live) > 0 {
		return time.Time{}
	}
	return m.changed
}

// Close unmounts everything, cutting off open files if need be, and empties
// the record. What was unmounted lazily and is still in use may outlive it by a
// little: the kernel ends such a connection with the process.
func (m *Mounts) Close(ctx context.Context) error {
	m.changing <- struct{}{}
	defer func() { <-m.changing }()
	m.mu.Lock()
	mounts, lazy := slices.Collect(maps.Values(m.mounts)), len(m.live)-len(m.mounts)
	m.mu.Unlock()
	errs := make([]error, len(mounts))
	var wg sync.WaitGroup
	for i, mount := range mounts {
		wg.Go(func() {
			if errs[i] = closeMount(ctx, mount.Mount); errs[i] == nil {
				m.forget(mount.Mount)
			}
		})
	}
	wg.Wait()
	m.cancel()
	if err := errors.Join(errs...); err != nil {
		return err // the record stays: a later daemon cleans up
	}
	if lazy > 0 {
		m.o.Log.Warn("files of a mount that was unmounted lazily are cut off")
	} else {
		m.watches.Wait()
	}
	m.note()
	return nil
}

func closeMount(ctx context.Context, mount *fusefs.Mount) error {
	kind, cancel := context.WithTimeout(ctx, gentle)
	defer cancel()
	if mount.Unmount(kind, false) == nil {
		return nil
	}
	return mount.Close(ctx)
}
