package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// maxPath is the longest path of a unix socket, in bytes; the names derived
// from it are up to 7 bytes longer.
const maxPath = 107 - 7

// DescriptorPath is the descriptor socket that belongs to a control socket.
func DescriptorPath(path string) string { return path + ".fd" }

// Listener is the pair of sockets of one daemon. It holds PATH.lock, so that
// no two daemons serve one path; the lock file stays when the sockets go.
type Listener struct {
	path  string
	lock  *os.File
	rpc   *net.UnixListener
	files *net.UnixListener
}

// Listen opens both sockets, replacing those that a dead daemon left, and
// making the directory if needed. Anyone may connect if everyone is set, else
// only the daemon's own user and root. If another daemon serves path, the error
// is Exists and names its pid.
func Listen(path string, everyone bool) (*Listener, error) {
	if len(path) > maxPath {
		return nil, pieces.Errorf(pieces.Invalid, "socket %s: the path is longer than %d bytes; choose a shorter one with --socket", path, maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, pieces.Errorf(pieces.KindOf(err), "directory of the control socket: %w", err)
	}
	l := &Listener{path: path}
	if err := l.open(everyone); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Listener) open(everyone bool) (err error) {
	mode := os.FileMode(0o600)
	if everyone {
		mode = 0o666
	}
	if l.lock, err = lockPath(l.path); err != nil {
		return err
	}
	if l.files, err = listenUnix(DescriptorPath(l.path), mode); err != nil {
		return err
	}
	l.rpc, err = listenUnix(l.path, mode)
	return err
}

// Close removes the sockets and gives up the path. It may be called twice, and
// is still needed after Serve, which only removes the sockets: so a daemon
// keeps its path until it has stopped altogether.
func (l *Listener) Close() error {
	l.closeSockets()
	if l.lock != nil {
		l.lock.Close()
		l.lock = nil
	}
	return nil
}

func (l *Listener) closeSockets() {
	if l.rpc != nil {
		os.Remove(l.path)
		l.rpc.Close()
	}
	if l.files != nil {
		os.Remove(DescriptorPath(l.path))
		l.files.Close()
	}
	l.rpc, l.files = nil, nil
}

// Path is the control socket's path.
func (l *Listener) Path() string { return l.path }

func lockPath(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, pieces.Errorf(pieces.KindOf(err), "control socket: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) {
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		f.Close()
		return nil, pieces.Errorf(pieces.Exists, "socket %s: a daemon (pid %s) serves it already; stop that one or choose another --socket",
			path, strings.TrimSpace(string(pid)))
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, pieces.WithKind(pieces.Internal, err, "lock "+path+".lock")
	}
	return f, nil
}

// Served reports whether a daemon has path, ready or still starting. It never
// gets in the way of one that starts.
func Served(path string) bool {
	f, err := os.Open(path + ".lock")
	if err != nil {
		return false
	}
	defer f.Close()
	lock := wholeFile()
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock) == nil && lock.Type != unix.F_UNLCK
}

// wholeFile describes an exclusive lock. It is of the kind that belongs to the
// open file, so that it also works within one process.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// listenUnix binds under another name first, so that the socket appears with
// its mode set, in the place of a stale one.
func listenUnix(path string, mode os.FileMode) (*net.UnixListener, error) {
	fresh := path + ".new"
	os.Remove(fresh)
	lis, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, pieces.Errorf(pieces.KindOf(err), "control socket: %w", err)
	}
	lis.SetUnlinkOnClose(false)
	if err = os.Chmod(fresh, mode); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		os.Remove(fresh)
		lis.Close()
		return nil, pieces.Errorf(pieces.KindOf(err), "control socket: %w", err)
	}
	return lis, nil
}
