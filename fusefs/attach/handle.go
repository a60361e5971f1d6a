package attach

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// Handle is a hold on somebody else's mount, for who may have to end it when
// its server can't. It keeps nothing busy, and it never takes a later mount,
// or a later connection of the same number, for the one it was made of. Its
// methods may be called from several goroutines, Close once and last.
type Handle struct {
	dir, dev string
	helper   bool
	id       uint64   // of the mount, never used again by the kernel; 0 = not known
	abort    *os.File // the connection's switch; nil = out of reach
}

// Hold makes a Handle of the mount on dir, whose connection is dev
// ("major:minor"). Nothing is asked of the server.
func Hold(dir, dev string) *Handle {
	h := &Handle{dir: dir, dev: dev, helper: os.Geteuid() != 0}
	h.id, _ = mountID(dir) // before Linux 6.8: not known
	h.abort, _ = openAbort(dev)
	return h
}

// Dir returns the mount point.
func (h *Handle) Dir() string { return h.dir }

// Ask asks the server something the kernel can't answer for it, and returns
// when it answers, whatever that is, or when the connection ends. No signal
// short of kill -9 calls it back: give it a goroutine.
func (h *Handle) Ask() { _ = unix.Statfs(h.dir, new(unix.Statfs_t)) }

// Abort ends the connection, as Point.Abort does. Denied if the kernel's
// switch for it can't be reached: no root, and no fusectl in /sys.
func (h *Handle) Abort() error {
	if h.abort == nil {
		return pieces.Errorf(pieces.Denied, "abort the connection of %s: it has no file in %s", h.dir, connections)
	}
	// Without effect on a connection that is gone.
	if _, err := h.abort.Write([]byte("1")); err != nil {
		return pieces.WithKind(pieces.Denied, err, "abort the connection of "+h.dir)
	}
	return nil
}

// Detach takes the mount off its directory at once, whoever uses it, and
// reports whether it was still there. A mount over it is left alone.
func (h *Handle) Detach(ctx context.Context) (was bool, err error) {
	m, ok, err := Top(h.dir)
	if err != nil || !ok || m.Dev != h.dev {
		return false, err
	}
	if id, err := mountID(h.dir); h.id != 0 && err == nil && id != h.id {
		return false, nil // a later one got the same number
	}
	return true, detach(ctx, h.dir, true, h.helper)
}

// Close lets go. The mount stays.
func (h *Handle) Close() {
	if h.abort != nil {
		h.abort.Close()
	}
}

// mountID returns the identity of the mount on dir, without asking its server.
func mountID(dir string) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, dir, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID_UNIQUE, &st)
	if err != nil {
		return 0, err
	}
	if st.Mask&unix.STATX_MNT_ID_UNIQUE == 0 {
		return 0, unix.ENOSYS
	}
	return st.Mnt_id, nil
}

// connections is where fusectl is mounted, if it is.
const connections = "/sys/fs/fuse/connections"

// openAbort opens the file that ends the connection dev when it is written to.
// An open one never comes to mean another connection.
func openAbort(dev string) (*os.File, error) {
	_, minor, _ := strings.Cut(dev, ":")
	path := filepath.Join(minor, "abort")
	f, err := os.OpenFile(filepath.Join(connections, path), os.O_WRONLY, 0)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	root, err := fusectl()
	if err != nil {
		return nil, err
	}
	defer unix.Close(root)
	fd, err := unix.Openat(root, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// fusectl returns the root of a fusectl that is mounted nowhere. It takes
// root.
func fusectl() (int, error) {
	fs, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}
