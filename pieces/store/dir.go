package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"damselfly/pieces"

	"golang.org/x/sys/unix"
)

// storeFormat is the number of the layout described in the package comment.
// Any other number found on disk is moved aside.
const storeFormat = 2

// dataDir is the directory of a store.
type dataDir string

func (d dataDir) path(name string) string { return filepath.Join(string(d), name) }
func (d dataDir) db() string              { return d.path("db") }
func (d dataDir) content() string         { return d.path("content") }
func (d dataDir) contentFile(ord uint64) string {
	return filepath.Join(d.content(), fmt.Sprintf("%016x", ord))
}

// lockWait is how long a process that was just killed, or what it had just
// started, may take to let go of the lock; lockStep is between two tries.
const lockWait, lockStep = time.Second, 20 * time.Millisecond

// lock takes the directory for this process. The lock goes with the process,
// however it ends.
func (d dataDir) lock() (*os.File, error) {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return nil, pieces.WithKind(pieces.KindOf(err), err, "make data directory")
	}
	f, err := os.OpenFile(d.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		if found, ferr := os.Open(d.path("lock")); ferr == nil {
			f, err = found, nil // good enough to find another daemon
		}
	}
	if err != nil {
		return nil, pieces.WithKind(pieces.KindOf(err), err, "lock data directory")
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for wait := lockWait; errors.Is(err, unix.EWOULDBLOCK) && wait > 0; wait -= lockStep {
		time.Sleep(lockStep)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		b := make([]byte, 20)
		n, _ := f.Read(b)
		f.Close()
		return nil, pieces.Errorf(pieces.Exists, "data directory %s is in use by process %s: stop it, or choose another directory with --data-dir",
			string(d), strings.TrimSpace(string(b[:n])))
	}
	if err != nil {
		f.Close()
		return nil, pieces.WithKind(pieces.Internal, err, "lock data directory "+string(d))
	}
	// The number is only for the message above; a full disk may refuse it.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// readFormat returns the format found: 0 if there is no store yet, −1 if what
// is there has no readable number.
func (d dataDir) readFormat() (int, error) {
	b, err := os.ReadFile(d.path("format"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(d.db()); err == nil {
			return -1, nil
		}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n <= 0 {
		return -1, nil
	}
	return n, nil
}

// prepare makes the directories and the format marker, unless they are there.
func (d dataDir) prepare() error {
	if _, err := os.Stat(d.path("format")); err != nil {
		if err := d.replace("format", []byte(strconv.Itoa(storeFormat)+"\n")); err != nil {
			return err
		}
	}
	return os.MkdirAll(d.content(), 0o700)
}

// moveAside puts what is there into aside/, in place of what lay there before.
// With keepContent the content files go too; without it they are unlinked,
// since nothing vouches for them any more.
func (d dataDir) moveAside(keepContent bool) error {
	aside := d.path("aside")
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	names := []string{"db", "format", "run"}
	if keepContent {
		names = append(names, "content", journalName)
	}
	for _, name := range names {
		if err := os.Rename(d.path(name), filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(d.content())
}

// replace writes a small file so that it is there whole or not at all, also
// after the machine died.
func (d dataDir) replace(name string, b []byte) error {
	tmp := d.path(name + ".new")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp, d.path(name))
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
