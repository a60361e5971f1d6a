package attach

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// staleWait bounds the look at a mount point whose server may be stuck.
const staleWait = 5 * time.Second

// maxStacked bounds how many dead mounts on one directory are taken off.
const maxStacked = 64

// Resolve returns dir as mountinfo names it: absolute, without symlinks. The
// directory itself is not looked into, so that a dead mount on it is no
// hindrance.
func Resolve(dir string) (string, error) {
	if dir == "" {
		return "", pieces.Errorf(pieces.Invalid, "mount point is empty")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", pieces.WithKind(pieces.Invalid, err, "mount point "+dir)
	}
	for range 40 { // as many symlinks as the kernel follows
		parent, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return "", pieces.WithKind(pieces.NotFound, err, "mount point "+dir)
		}
		abs = filepath.Join(parent, filepath.Base(abs))
		target, err := os.Readlink(abs)
		if err != nil {
			return abs, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(parent, target)
		}
		abs = target
	}
	return "", pieces.Errorf(pieces.Invalid, "mount point %s: too many symlinks", dir)
}

// CleanStale takes dead mounts (those that answer ENOTCONN, left by a daemon
// that was killed) off dir. A living mount, or none, is left alone. A mount
// whose server does not answer for five seconds is an Unavailable error.
func CleanStale(dir string) error {
	dir, err := Resolve(dir)
	if err != nil {
		return err
	}
	for range maxStacked {
		top, ok, err := Top(dir)
		if err != nil || !ok {
			return err
		}
		err = askWithin(dir, staleWait)
		if errors.Is(err, context.DeadlineExceeded) {
			return pieces.Errorf(pieces.Unavailable, "the mount on %s does not answer; end the process that serves it, or: umount -l %s", dir, dir)
		}
		if !errors.Is(err, unix.ENOTCONN) && !errors.Is(err, unix.ECONNABORTED) {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), staleWait)
		err = detach(ctx, dir, true, os.Geteuid() != 0)
		cancel()
		if err != nil {
			// Another may have taken it off meanwhile: its supervisor does.
			if m, ok, terr := Top(dir); terr == nil && (!ok || m != top) {
				continue
			}
			return err
		}
	}
	return pieces.Errorf(pieces.Unavailable, "%s still holds a dead mount after %d were taken off", dir, maxStacked)
}

// askWithin asks the server of dir something the kernel can't answer for it
// (attributes it may have cached), and gives up after d. A thread that is
// stuck in the kernel can't be called back: it ends when the mount does.
func askWithin(dir string, d time.Duration) error {
	result := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		result <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-result:
		return err
	case <-time.After(d):
		return context.DeadlineExceeded
	}
}
