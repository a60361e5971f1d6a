package store

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Disk is every operation on content files, so that tests can make each of
// them fail. Paths are absolute or relative to the working directory.
type Disk interface {
	// Open opens path with os.O_* flags; new files get mode 0600.
	Open(path string, flag int) (*os.File, error)
	// WriteAt and ReadAt are those of os.File.
	WriteAt(f *os.File, p []byte, off int64) (int, error)
	ReadAt(f *os.File, p []byte, off int64) (int, error)
	// Punch gives [off, off+n) back to the file system; the size stays.
	Punch(f *os.File, off, n int64) error
	// Sync puts what was written on stable storage, or gives up with ctx.
	Sync(ctx context.Context, f *os.File) error
	// Remove unlinks path; a missing file is no error.
	Remove(path string) error
	// Free returns the bytes that dir's file system has free for us, and its
	// size.
	Free(dir string) (free, total int64, err error)
}

// OSDisk is the operating system's, for those who wrap it.
func OSDisk() Disk { return osDisk{} }

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) Open(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) }

func (osDisk) WriteAt(f *os.File, p []byte, off int64) (int, error) { return f.WriteAt(p, off) }

func (osDisk) ReadAt(f *os.File, p []byte, off int64) (int, error) { return f.ReadAt(p, off) }

func (osDisk) Punch(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// syncStep is how much is written back between two looks at ctx.
const syncStep = 8 << 20

// Sync writes back in steps, since fsync of a large file can't be interrupted.
func (osDisk) Sync(ctx context.Context, f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for off := int64(0); off < st.Size(); off += syncStep {
		if err := ctx.Err(); err != nil {
			return err
		}
		if unix.SyncFileRange(int(f.Fd()), off, syncStep, flags) != nil {
			break // not offered here; fsync does it all
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.Sync()
}

func (osDisk) Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (osDisk) Free(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// isNoSpace reports whether err says that the disk or a quota is full.
func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
