package daemon

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"damselfly/daemon/engine"
	"damselfly/daemon/readahead"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// FileInfo is a Task as a file of the mount.
type FileInfo struct {
	Key      pieces.Key
	Size     int64
	Modified time.Time
	// Private files belong to UID and GID alone.
	Private  bool
	UID, GID uint32
	// Known: Key.Version, Size and Modified are set.
	Known bool
}

func (t *task) info() FileInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := FileInfo{Key: pieces.Key{Task: t.id}, Private: !t.entry.Task.Public(), UID: t.entry.UID, GID: t.entry.GID}
	if t.facts != nil {
		i.Known, i.Key.Version, i.Size, i.Modified = true, t.facts.VersionID(), t.facts.Size, t.facts.Modified
	}
	return i
}

// Lookup answers stat(2) for a Task known here or to the manager.
func (d *Daemon) Lookup(ctx context.Context, id pieces.TaskID) (FileInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, d.o.FactsTimeout)
	defer cancel()
	t, err := d.task(ctx, id)
	if err != nil {
		return FileInfo{}, err
	}
	if _, err := t.current(ctx); err != nil {
		return FileInfo{}, err
	}
	return t.info(), nil
}

// Files lists the Tasks added or held here, without network: Key, Known, and
// with it Size and Modified. Of those not in use it keeps nothing in memory.
func (d *Daemon) Files() (out []FileInfo, err error) {
	err = d.store.Known(func(id pieces.TaskID, f *pieces.Facts) {
		i := FileInfo{Key: pieces.Key{Task: id}}
		if f != nil {
			i.Known, i.Key.Version, i.Size, i.Modified = true, f.VersionID(), f.Size, f.Modified
		}
		out = append(out, i)
	})
	for i := range out {
		d.mu.Lock()
		t := d.tasks[out[i].Key.Task]
		d.mu.Unlock()
		if t != nil { // it may know better
			out[i] = t.info()
		}
	}
	return out, err
}

// Here returns a Task added or held here, without network; NotFound for others.
func (d *Daemon) Here(id pieces.TaskID) (FileInfo, error) {
	t, err := d.taskHere(id)
	if err != nil {
		return FileInfo{}, err
	}
	return t.info(), nil
}

// OpenFile makes a Version readable. A Version that was replaced is Changed.
func (d *Daemon) OpenFile(ctx context.Context, key pieces.Key) (*File, error) {
	return d.OpenFilled(ctx, key, readahead.FillAuto)
}

// OpenFilled is OpenFile where fill says when the file is fetched whole, unless
// that was said when it was added.
func (d *Daemon) OpenFilled(ctx context.Context, key pieces.Key, fill readahead.Fill) (*File, error) {
	t, err := d.task(ctx, key.Task)
	if err != nil {
		return nil, err
	}
	f, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	if f.VersionID() != key.Version {
		return nil, pieces.Errorf(pieces.Changed, "%v was replaced at its origin", key)
	}
	return t.open(f, func(c *engine.Content) (*engine.Handle, error) {
		c.OpenedBy(trace.Of(ctx))
		return c.OpenReader(t.fill(fill))
	})
}

// open opens the content that facts describe.
func (t *task) open(f pieces.Facts, open func(*engine.Content) (*engine.Handle, error)) (*File, error) {
	d := t.d
	if err := t.keep(); err != nil {
		d.o.Log.WithError(err).Warn("keeping a catalogue entry")
	} else if err := d.store.PutFacts(t.id, f, time.Now()); err != nil {
		d.o.Log.WithError(err).Warn("keeping facts")
	}
	c, err := d.engine.Content(t.spec(), f, t.canFetch())
	if err != nil {
		return nil, err
	}
	h, err := open(c)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.handles++
	d.mu.Unlock()
	return &File{t: t, h: h, done: sync.OnceFunc(d.closed)}, nil
}

func (d *Daemon) closed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handles--
	d.lastUse = time.Now()
}

// IdleSince returns since when nothing was open, fetched or uploaded; zero
// while something is.
func (d *Daemon) IdleSince() time.Time {
	d.mu.Lock()
	handles, last := d.handles, d.lastUse
	d.mu.Unlock()
	up := d.upload.IdleSince()
	if handles > 0 || up.IsZero() || d.engine.Busy() {
		return time.Time{}
	}
	if up.After(last) {
		return up
	}
	return last
}

// File is an open Version, for the mount and for control. Safe for concurrent
// use.
type File struct {
	t    *task
	h    *engine.Handle
	done func()
}

// Close lets the Version go.
func (f *File) Close() error {
	err := f.h.Close()
	f.done()
	return err
}

// ReadAt reads verified bytes, fetching what is missing; see engine.Handle.
func (f *File) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	return f.h.ReadAt(ctx, p, off)
}

// ReadFrom is ReadAt for a program: it is counted, and tells where the bytes came
// from.
func (f *File) ReadFrom(ctx context.Context, p []byte, off int64) (int, pieces.HitBytes, error) {
	return f.h.ReadFrom(ctx, p, off)
}

// Passthrough returns the complete, verified content file, which is durably
// marked: it will never be changed. The caller closes it.
func (f *File) Passthrough() (*os.File, bool) { return f.h.File() }

// Progress returns when the last verified byte arrived, or zero.
func (f *File) Progress() time.Time { return f.h.Content().Progress() }

// Facts returns those of the open Version.
func (f *File) Facts() pieces.Facts { return f.h.Content().Facts() }

// Settled waits until everything fetched so far is on disk.
func (f *File) Settled(ctx context.Context) error { return f.h.Settled(ctx) }

// Attr returns what user.df.<name> says.
func (f *File) Attr(name string) (string, bool) {
	c := f.h.Content()
	switch name {
	case "url":
		return f.t.spec().PublicURL, true
	case "version":
		return string(c.Key().Version), true
	case "size":
		return strconv.FormatInt(c.Geometry().Size, 10), true
	case "cached":
		return strconv.FormatInt(heldBytes(c), 10), true
	case "state":
		return string(stateOf(c)), true
	case "sources":
		t := c.Traffic()
		return fmt.Sprintf("origin=%d peers=%d seeds=%d cache=%d", t.Origin, t.Peers, t.Seeds, t.Cache), true
	case "reads":
		return readsText(c.Reads()), true
	}
	return "", false
}

// heldBytes returns how many bytes of c are here.
func heldBytes(c *engine.Content) int64 {
	g, held := c.Geometry(), c.Held()
	n := int64(held.Count()) * g.PieceSize
	if last := g.Count() - 1; last >= 0 && held.Has(last) {
		n -= g.PieceSize - g.Len(last)
	}
	return n
}
