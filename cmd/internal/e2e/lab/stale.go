package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lab is a lock file beside its directory: "damselfly-lab-<id>.lock" and
// "damselfly-lab-<id>". The lock is held as long as the lab lives and, being
// close-on-exec, dies with the process that runs it.
const dirPrefix = "damselfly-lab-"

// claim takes an id that no living lab has and makes the lab's directory.
func (l *Lab) claim() error {
	for n := range 1000 {
		l.id = fmt.Sprintf("%d", os.Getpid())
		if n > 0 {
			l.id += fmt.Sprintf("x%d", n)
		}
		l.Dir = filepath.Join(l.opts.Dir, dirPrefix+l.id)
		lock, err := takeLock(l.Dir + ".lock")
		if errors.Is(err, errLocked) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.Mkdir(l.Dir, 0o755); err != nil {
			// Kept by an earlier run: take the next number.
			_ = os.Remove(lock.Name())
			_ = lock.Close()
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			return err
		}
		l.lock = lock
		return nil
	}
	return errors.New("lab: no free id below " + l.opts.Dir)
}

var errLocked = errors.New("locked by a living lab")

// takeLock opens and locks path, which stays locked until the file is closed.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, errLocked
	}
	// A cleaner may have removed the name between open and lock.
	mine, err1 := f.Stat()
	named, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, named) {
		_ = f.Close()
		return nil, errLocked
	}
	return f, nil
}

// CleanStale removes what labs that no longer run left below dir: processes,
// mounts, namespaces, memory groups, directories. Kept directories of ended labs stay.
func CleanStale(ctx context.Context, dir string) error {
	if dir == "" {
		dir = os.TempDir()
	}
	locks, err := filepath.Glob(filepath.Join(dir, dirPrefix+"*.lock"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range locks {
		lock, err := takeLock(path)
		if err != nil {
			continue // alive, or being cleaned by somebody else
		}
		labDir := strings.TrimSuffix(path, ".lock")
		id := strings.TrimPrefix(filepath.Base(labDir), dirPrefix)
		cctx, cancel := context.WithTimeout(ctx, cleanWait)
		errs = append(errs, remove(cctx, "df"+id+"-", labDir, true), os.Remove(path), lock.Close())
		cancel()
	}
	return errors.Join(errs...)
}

// remove takes away all of a lab: processes in namespaces that begin with
// prefix, limits and mounts below dir, the namespaces, memory groups, and dir itself if asked.
func remove(ctx context.Context, prefix, dir string, withDir bool) error {
	errs := []error{unlimitBelow(dir)}
	for len(pidsInNamespaces(prefix)) > 0 && ctx.Err() == nil {
		for _, pid := range pidsInNamespaces(prefix) {
			_ = killPID(pid)
		}
		// Mounts go first to free those who hang in them.
		_ = unmountBelow(dir)
		pause(ctx, 20*time.Millisecond)
	}
	errs = append(errs, unmountBelow(dir))
	for _, ns := range namespaces(prefix) {
		errs = append(errs, run(ctx, "ip", "netns", "del", ns))
	}
	errs = append(errs, removeGroups(ctx, prefix))
	if withDir {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// unmountBelow detaches every mount below dir, deepest first.
func unmountBelow(dir string) error {
	var errs []error
	for range 8 { // mounts may be stacked
		mounts, err := mountsBelow(dir)
		if err != nil || len(mounts) == 0 {
			return errors.Join(append(errs, err)...)
		}
		errs = nil
		for i := len(mounts) - 1; i >= 0; i-- {
			if err := unix.Unmount(mounts[i].path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
				errs = append(errs, fmt.Errorf("unmount %s: %w", mounts[i].path, err))
			}
		}
	}
	return errors.Join(errs...)
}
