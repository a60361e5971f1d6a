package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// Options say how a mount looks from outside.
type Options struct {
	// Dir is an existing directory.
	Dir string
	// Source is the label in the first column of df; Subtype is the X of file
	// system type "fuse.X".
	Source, Subtype string
	// MaxRead is the largest READ the kernel sends, in bytes.
	MaxRead int
	// AllowOther lets other users in; permissions are then the kernel's to
	// check. Without root it needs user_allow_other in /etc/fuse.conf.
	AllowOther bool
	// Helper uses fusermount3 even as root.
	Helper bool
}

// Point is a directory with a connection of ours on it. Safe for concurrent
// use.
type Point struct {
	dir    string
	dev    string
	helper bool
}

// Attach mounts a new FUSE connection on o.Dir, read-only, and returns the
// connection's descriptor (close-on-exec; the caller owns it). The kernel's
// first request is waiting in it: answer it before anybody looks at the
// directory. A Denied or Unavailable error says what is missing.
func Attach(ctx context.Context, o Options) (fd int, p *Point, err error) {
	dir, err := Resolve(o.Dir)
	if err != nil {
		return -1, nil, err
	}
	if m, ok, err := Top(dir); err == nil && ok && m.FSType == "fuse."+o.Subtype {
		return -1, nil, pieces.Errorf(pieces.Exists, "%s is mounted already; take it off with: umount %s", dir, dir)
	}
	if st, err := os.Stat(dir); err != nil {
		return -1, nil, pieces.WithKind(pieces.NotFound, err, "mount point (make it with: mkdir -p "+dir+")")
	} else if !st.IsDir() {
		return -1, nil, pieces.Errorf(pieces.Invalid, "mount point %s is not a directory", dir)
	}
	p = &Point{dir: dir, helper: o.Helper || os.Geteuid() != 0}
	if p.helper {
		fd, err = helperMount(ctx, dir, o)
	} else {
		fd, err = directMount(dir, o)
	}
	if err != nil {
		return -1, nil, err
	}
	if m, ok, err := Top(dir); err == nil && ok {
		p.dev = m.Dev
	}
	return fd, p, nil
}

// directMount opens the device and mounts as root.
func directMount(dir string, o Options) (fd int, err error) {
	fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, pieces.WithKind(pieces.Unavailable, err, "open /dev/fuse (is the fuse module loaded: modprobe fuse; in a container: --device /dev/fuse)")
	}
	data := []string{
		fmt.Sprintf("fd=%d", fd), "rootmode=40000",
		fmt.Sprintf("user_id=%d", os.Geteuid()), fmt.Sprintf("group_id=%d", os.Getegid()),
		fmt.Sprintf("max_read=%d", o.MaxRead), "default_permissions",
	}
	if o.AllowOther {
		data = append(data, "allow_other")
	}
	err = unix.Mount(o.Source, dir, "fuse."+o.Subtype, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, strings.Join(data, ","))
	if err != nil {
		unix.Close(fd)
		return -1, pieces.WithKind(pieces.Denied, err, "mount on "+dir+" (needs CAP_SYS_ADMIN; in a container: --cap-add SYS_ADMIN)")
	}
	return fd, nil
}

// Dir returns the mount point, absolute and without symlinks.
func (p *Point) Dir() string { return p.dir }

// Dev returns "major:minor" of the mount, empty if it could not be learnt.
func (p *Point) Dev() string { return p.dev }

// Detach takes the mount off its directory. Not lazy, it fails with an
// Unavailable error while something in it is in use; lazy, the name goes now
// and the connection lives until its last user is done. A mount that is gone
// already is no error; one that is covered by another is.
func (p *Point) Detach(ctx context.Context, lazy bool) error {
	m, ok, err := Top(p.dir)
	switch {
	case err != nil:
		return pieces.WithKind(pieces.Internal, err, "unmount "+p.dir)
	case !ok:
		return nil
	case p.dev != "" && m.Dev != p.dev:
		return p.covered(m)
	}
	return detach(ctx, p.dir, lazy, p.helper)
}

// covered tells a mount of ours that is gone from one under another mount.
func (p *Point) covered(top Mount) error {
	ms, err := Mounts()
	for _, m := range ms {
		if m.Dir == p.dir && m.Dev == p.dev {
			return pieces.Errorf(pieces.Unavailable, "unmount %s: %s %s is mounted over it; unmount that first", p.dir, top.FSType, top.Source)
		}
	}
	return err
}

func detach(ctx context.Context, dir string, lazy, helper bool) error {
	if helper {
		return helperUnmount(ctx, dir, lazy)
	}
	flags := unix.UMOUNT_NOFOLLOW
	if lazy {
		flags |= unix.MNT_DETACH
	}
	err := unix.Unmount(dir, flags)
	switch {
	case err == nil || errors.Is(err, unix.EINVAL):
		return nil // EINVAL: not a mount point any more
	case errors.Is(err, unix.EBUSY):
		return pieces.Errorf(pieces.Unavailable, "%s is in use (see who with: fuser -vm %s); a lazy unmount detaches it all the same", dir, dir)
	}
	return pieces.WithKind(pieces.Denied, err, "unmount "+dir)
}

// Abort ends the connection: every request, waiting or to come, fails at once.
// The dead mount stays until it is detached.
func (p *Point) Abort() error {
	_, minor, _ := strings.Cut(p.dev, ":")
	path := filepath.Join("/sys/fs/fuse/connections", minor, "abort")
	if err := os.WriteFile(path, []byte("1"), 0); err == nil {
		return nil
	}
	if p.helper && os.Geteuid() != 0 {
		return pieces.Errorf(pieces.Denied, "abort the connection of %s: %s can't be written", p.dir, path)
	}
	// A forced unmount aborts first, then fails if the mount is busy.
	if err := unix.Unmount(p.dir, unix.MNT_FORCE|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EINVAL) {
		return pieces.WithKind(pieces.Denied, err, "abort the connection of "+p.dir)
	}
	return nil
}

// SetReadAhead sets how far the kernel reads ahead in a mounted file, in KiB.
// (The FUSE handshake can only lower the default of 128.) It needs root and a
// writable /sys.
func (p *Point) SetReadAhead(kib int) error {
	return os.WriteFile(filepath.Join("/sys/class/bdi", p.dev, "read_ahead_kb"), []byte(fmt.Sprint(kib)), 0)
}
