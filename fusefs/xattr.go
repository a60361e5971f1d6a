package fusefs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// xattrPrefix starts the names of all extended attributes.
const xattrPrefix = "user.df."

// modeAttr is the one attribute that the mount itself knows: how the file is
// open (Mode).
const modeAttr = "mode"

// xattrNames are the attributes of a file.
var xattrNames = []string{"url", "version", "size", "cached", "state", "sources", "reads", modeAttr}

// Listxattr names the attributes; which have a value is not asked.
func (n *file) Listxattr(_ context.Context, dest []byte) (uint32, syscall.Errno) {
	var b strings.Builder
	for _, name := range xattrNames {
		b.WriteString(xattrPrefix + name + "\x00")
	}
	return fill(dest, b.String())
}

// Getxattr answers for user.df.*; size, version and mode are known here, the
// others come from a handle opened for the question.
func (n *file) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	began := n.m.access.began()
	size, errno := n.getxattr(ctx, attr, dest)
	n.m.access.tell(ctx, began, Access{Op: "getxattr", Task: n.key.Task, Errno: errno})
	return size, errno
}

func (n *file) getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	name, ok := strings.CutPrefix(attr, xattrPrefix)
	if !ok || !slices.Contains(xattrNames, name) {
		return 0, syscall.ENODATA
	}
	switch name {
	case "size":
		return fill(dest, fmt.Sprint(n.size()))
	case "version":
		return fill(dest, string(n.key.Version))
	case modeAttr:
		return fill(dest, n.mode().String())
	}
	value, errno := n.fileAttr(ctx, name)
	if errno != 0 {
		return 0, errno
	}
	return fill(dest, value)
}

// fileAttr returns the empty string for what has no value just now: tools that
// copy attributes complain about a listed one that is missing.
func (n *file) fileAttr(ctx context.Context, name string) (string, syscall.Errno) {
	o := n.m.begin(ctx, n.m.o.LookupDeadline, nil)
	defer o.finish()
	f, err := n.m.backend.Open(o, n.key)
	if err != nil {
		return "", n.m.metrics.failed("getxattr", o.errno(err))
	}
	defer f.Close()
	value, _ := f.Attr(name)
	return value, 0
}

// fill copies a value as getxattr(2) wants it: an empty buffer asks for the
// size.
func fill(dest []byte, value string) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}
