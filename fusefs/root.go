package fusefs

import (
	"context"
	"os"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// Names in the root that are no Tasks.
const (
	nameByName = "by-name"
	nameDF     = ".df"
)

// folder is a directory of ours: 0555 without the umask, owned by who mounted or
// by whom the options name.
type folder struct {
	fs.Inode
	readonlyDir
	m *Mount
}

func (d *folder) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	d.m.folderAttr(&out.Attr)
	return 0
}

func (d *folder) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	return statfs(out)
}

func (m *Mount) folderAttr(a *fuse.Attr) {
	a.Mode, a.Nlink = fuse.S_IFDIR|0o555, 1 // 1: subdirectories aren't counted
	m.owned(a)
	a.Mode &^= m.o.Umask
}

// stream is a listing with the two entries every directory has.
func (d *folder) stream(list []fuse.DirEntry) fs.DirStream {
	parent := &d.Inode
	if _, p := d.Parent(); p != nil {
		parent = p
	}
	return fs.NewListDirStream(append([]fuse.DirEntry{
		{Name: ".", Mode: fuse.S_IFDIR, Ino: d.StableAttr().Ino},
		{Name: "..", Mode: fuse.S_IFDIR, Ino: parent.StableAttr().Ino},
	}, list...))
}

// owned sets owner and times of what is nobody's in particular.
func (m *Mount) owned(a *fuse.Attr) {
	a.Uid, a.Gid = uint32(os.Geteuid()), uint32(os.Getegid())
	if m.o.UID != nil {
		a.Uid = *m.o.UID
	}
	if m.o.GID != nil {
		a.Gid = *m.o.GID
	}
	a.SetTimes(&m.began, &m.began, &m.began)
}

// statfs answers without asking anybody: df must never wait.
func statfs(out *fuse.StatfsOut) syscall.Errno {
	*out = fuse.StatfsOut{Bsize: 4096, Frsize: 4096, NameLen: 255}
	return 0
}

// root is the directory of Tasks.
type root struct{ folder }

func newRoot(m *Mount) *root { return &root{folder{m: m}} }

// OnAdd makes the fixed entries.
func (r *root) OnAdd(ctx context.Context) {
	add := func(name string, n fs.InodeEmbedder) {
		r.AddChild(name, r.NewPersistentInode(ctx, n, stableAttr(fuse.S_IFDIR, inoFolder, name)), false)
	}
	add(nameByName, &names{folder{m: r.m}})
	add(nameDF, newControl(r.m))
}

// Lookup finds the fixed entries and Tasks. A name that is no task id is
// ENOENT without asking.
func (r *root) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	began := r.m.access.began()
	n, errno := r.lookup(ctx, name, out)
	if !began.IsZero() {
		id, _ := pieces.ParseTaskID(name)
		r.m.access.tell(ctx, began, Access{Op: "lookup", Task: id, Errno: errno})
	}
	return n, errno
}

func (r *root) lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if name == nameByName || name == nameDF {
		r.m.folderAttr(&out.Attr)
		return r.GetChild(name), 0
	}
	id, err := pieces.ParseTaskID(name)
	if err != nil {
		return nil, syscall.ENOENT
	}
	o := r.m.begin(ctx, r.m.o.LookupDeadline, nil)
	defer o.finish()
	var j journey
	span := j.next(o, r.m.o.Tracer, "mount.lookup")
	span.Str("task", string(id))
	e, err := r.m.backend.Lookup(o, id)
	if err == nil && e.Key.Task != id {
		err = pieces.Errorf(pieces.Internal, "lookup of %s answered %s", id.Short(), e.Key)
	}
	span.End(err)
	if err != nil {
		r.m.log.WithError(err).WithField("task", id.Short()).Debug("lookup failed")
		return nil, r.m.metrics.failed("lookup", o.errno(err))
	}
	n := r.file(ctx, name, e)
	n.journey.leave(span, r.m.o.Tracer)
	n.attr(&out.Attr)
	return n.EmbeddedInode(), 0
}

// file returns the inode of e: the one under that name if it still is the
// same Version.
func (r *root) file(ctx context.Context, name string, e Entry) *file {
	if ch := r.GetChild(name); ch != nil {
		if n, ok := ch.Operations().(*file); ok && n.key == e.Key {
			n.set(e)
			return n
		}
	}
	n := &file{m: r.m, key: e.Key, entry: e}
	r.NewInode(ctx, n, fileAttr(e.Key))
	return n
}

// Readdir lists what is added or held here, without network.
func (r *root) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	began := r.m.access.began()
	list, errno := r.readdir(ctx)
	r.m.access.tell(ctx, began, Access{Op: "readdir", Errno: errno})
	return list, errno
}

func (r *root) readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	o := r.m.begin(ctx, r.m.o.LookupDeadline, nil)
	defer o.finish()
	entries, err := r.m.backend.List(o)
	if err != nil {
		return nil, r.m.metrics.failed("readdir", o.errno(err))
	}
	list := make([]fuse.DirEntry, 0, len(entries)+2)
	for _, name := range []string{nameDF, nameByName} {
		list = append(list, fuse.DirEntry{Name: name, Mode: fuse.S_IFDIR, Ino: stableAttr(0, inoFolder, name).Ino})
	}
	for _, e := range entries {
		d := fuse.DirEntry{Name: string(e.Key.Task), Mode: fuse.S_IFREG}
		if e.Known {
			d.Ino = fileAttr(e.Key).Ino
		}
		list = append(list, d)
	}
	return r.stream(list), 0
}
