package fusefs

import (
	"context"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// names is by-name/: a symlink per name.
type names struct{ folder }

// Lookup finds a name. In the access log it stands with the Task it leads to.
func (d *names) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	began := d.m.access.began()
	n, id, errno := d.lookup(ctx, name, out)
	d.m.access.tell(ctx, began, Access{Op: "lookup", Task: id, Errno: errno})
	return n, errno
}

func (d *names) lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, pieces.TaskID, syscall.Errno) {
	o := d.m.begin(ctx, d.m.o.LookupDeadline, nil)
	defer o.finish()
	id, err := d.m.backend.Name(o, name)
	if err != nil {
		return nil, "", d.m.metrics.failed("lookup", o.errno(err))
	}
	l := &link{m: d.m, id: id}
	l.attr(&out.Attr)
	out.SetEntryTimeout(d.m.o.NameTimeout)
	return d.NewInode(ctx, l, stableAttr(fuse.S_IFLNK, inoName, name, string(id))), id, 0
}

// Readdir lists the names known here.
func (d *names) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	began := d.m.access.began()
	list, errno := d.readdir(ctx)
	d.m.access.tell(ctx, began, Access{Op: "readdir", Errno: errno})
	return list, errno
}

func (d *names) readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	o := d.m.begin(ctx, d.m.o.LookupDeadline, nil)
	defer o.finish()
	all, err := d.m.backend.Names(o)
	if err != nil {
		return nil, d.m.metrics.failed("readdir", o.errno(err))
	}
	list := make([]fuse.DirEntry, 0, len(all))
	for _, name := range all {
		if listable(name) {
			list = append(list, fuse.DirEntry{Name: name, Mode: fuse.S_IFLNK})
		}
	}
	return d.stream(list), 0
}

// listable reports whether a name can stand in a directory; the kernel fails
// the whole listing for one that can't.
func listable(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\x00")
}

// link is a symlink to a Task. One with another target is another inode.
type link struct {
	fs.Inode
	readonly
	m  *Mount
	id pieces.TaskID
}

func (l *link) target() string { return "../" + string(l.id) }

// Readlink answers from what the lookup said.
func (l *link) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	began := l.m.access.began()
	target := []byte(l.target())
	l.m.access.tell(ctx, began, Access{Op: "readlink", Task: l.id, Size: int64(len(target))})
	return target, 0
}

// Getattr answers from what the lookup said.
func (l *link) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	began := l.m.access.began()
	l.attr(&out.Attr)
	l.m.access.tell(ctx, began, Access{Op: "getattr", Task: l.id})
	return 0
}

func (l *link) attr(a *fuse.Attr) {
	a.Mode, a.Size, a.Nlink = fuse.S_IFLNK|0o777, uint64(len(l.target())), 1
	l.m.owned(a)
}
