package fusefs

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"damselfly/pieces"
)

// control is .df/: what this host knows, as text.
type control struct{ folder }

func (c *control) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	return c.stream([]fuse.DirEntry{
		{Name: nameStatus, Mode: fuse.S_IFREG, Ino: c.GetChild(nameStatus).StableAttr().Ino},
		{Name: nameAccess, Mode: fuse.S_IFREG, Ino: c.GetChild(nameAccess).StableAttr().Ino},
		{Name: nameTasks, Mode: fuse.S_IFDIR, Ino: c.GetChild(nameTasks).StableAttr().Ino},
	}), 0
}

func newControl(m *Mount) *control { return &control{folder{m: m}} }

const (
	nameStatus = "status"
	nameAccess = "accesslog"
	nameTasks  = "tasks"
	jsonSuffix = ".json"
)

// OnAdd makes the fixed entries.
func (c *control) OnAdd(ctx context.Context) {
	status := &text{m: c.m, make: func() ([]byte, error) {
		return append(c.m.backend.Status(), c.m.status()...), nil
	}}
	c.AddChild(nameStatus, c.NewPersistentInode(ctx, status, stableAttr(fuse.S_IFREG, inoText, nameStatus)), false)
	c.AddChild(nameAccess, c.NewPersistentInode(ctx, &accessFile{m: c.m}, stableAttr(fuse.S_IFREG, inoText, nameAccess)), false)
	c.AddChild(nameTasks, c.NewPersistentInode(ctx, &tasks{folder{m: c.m}}, stableAttr(fuse.S_IFDIR, inoFolder, nameDF, nameTasks)), false)
}

// tasks is .df/tasks/: one JSON document per Task.
type tasks struct{ folder }

func (d *tasks) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	id, err := pieces.ParseTaskID(strings.TrimSuffix(name, jsonSuffix))
	if err != nil || !strings.HasSuffix(name, jsonSuffix) {
		return nil, syscall.ENOENT
	}
	o := d.m.begin(ctx, d.m.o.LookupDeadline, nil)
	defer o.finish()
	owner, err := d.m.backend.Here(o, id)
	if err != nil {
		return nil, d.m.metrics.failed("lookup", o.errno(err))
	}
	n := &text{m: d.m, owner: owner, make: func() ([]byte, error) { return d.m.backend.TaskJSON(id) }}
	if errno := n.attr(&out.Attr); errno != 0 {
		return nil, d.m.metrics.failed("lookup", errno)
	}
	out.SetAttrTimeout(textTimeout)
	whose := fmt.Sprint(owner.Private, owner.UID, owner.GID)
	return d.NewInode(ctx, n, stableAttr(fuse.S_IFREG, inoText, name, whose)), 0
}

func (d *tasks) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	o := d.m.begin(ctx, d.m.o.LookupDeadline, nil)
	defer o.finish()
	entries, err := d.m.backend.List(o)
	if err != nil {
		return nil, d.m.metrics.failed("readdir", o.errno(err))
	}
	list := make([]fuse.DirEntry, len(entries))
	for i, e := range entries {
		list[i] = fuse.DirEntry{Name: string(e.Key.Task) + jsonSuffix, Mode: fuse.S_IFREG}
	}
	return d.stream(list), 0
}

// textTimeout is how long the kernel trusts the size of a text; shorter than
// anybody notices, but not 0, which go-fuse takes for unset.
const textTimeout = time.Millisecond

// text is a file whose content is made when it is opened.
type text struct {
	fs.Inode
	readonly
	m *Mount
	// make returns the content; it must not block.
	make func() ([]byte, error)
	// owner says who may read it, if it is private.
	owner Entry
}

func (t *text) attr(a *fuse.Attr) syscall.Errno {
	content, err := t.make()
	if err != nil {
		return errnoOf(err)
	}
	a.Mode, a.Size, a.Nlink = fuse.S_IFREG|0o444, uint64(len(content)), 1
	t.m.owned(a)
	a.Mode &^= t.m.o.Umask
	if t.owner.Private {
		a.Mode, a.Uid, a.Gid = fuse.S_IFREG|0o400, t.owner.UID, t.owner.GID
	}
	now := time.Now()
	a.SetTimes(&now, &now, &now)
	return 0
}

func (t *text) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.SetTimeout(textTimeout)
	return t.attr(&out.Attr)
}

// Open makes the content of this handle.
func (t *text) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if writes(flags) {
		return nil, 0, syscall.EROFS
	}
	content, err := t.make()
	if err != nil {
		return nil, 0, t.m.metrics.failed("open", errnoOf(err))
	}
	return textHandle(content), fuse.FOPEN_DIRECT_IO, 0
}

// textHandle is the content as it was at open.
type textHandle []byte

func (h textHandle) Read(_ context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	off = min(off, int64(len(h)))
	return fuse.ReadResultData(dest[:copy(dest, h[off:])]), 0
}
