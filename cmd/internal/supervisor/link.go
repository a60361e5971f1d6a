package supervisor

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// op is what a message says.
type op string

const (
	// From the daemon.
	opBeat  op = "beat"
	opMount op = "mount" // look after this one
	opGone  op = "gone"  // it is no more; answered by opCut or opKept
	opBye   op = "bye"   // the daemon stops cleanly; what is still mounted is ended

	// From the supervisor.
	opCut  op = "cut"  // was ended by the supervisor
	opKept op = "kept" // was not
	opDeaf op = "deaf" // does not answer and is about to be ended
)

// message is one JSON value on the socket.
type message struct {
	Op op `json:"op"`
	// ID names a mount. The kernel's numbers won't do: it uses them again.
	ID  uint64 `json:"id,omitempty"`
	Dev string `json:"dev,omitempty"`
	Dir string `json:"dir,omitempty"`
}

// sendTimeout is how long a peer may leave its socket full.
const sendTimeout = time.Second

// link is one end of the socket pair. Sending is for one goroutine at a time,
// receiving for another.
type link struct {
	conn net.Conn
	in   *json.Decoder
}

// newLink takes over f.
func newLink(f *os.File) (*link, error) {
	defer f.Close()
	conn, err := net.FileConn(f) // a close-on-exec copy
	if err != nil {
		return nil, err
	}
	if _, ok := conn.(*net.UnixConn); !ok {
		conn.Close()
		return nil, errors.New("not a unix socket")
	}
	return &link{conn: conn, in: json.NewDecoder(conn)}, nil
}

// socketPair returns our end, and the one to hand over.
func socketPair() (*link, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "supervisor")
	ours, err := newLink(os.NewFile(uintptr(fds[0]), "supervised"))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// maker returns the process that made the pair, alive or not.
func (l *link) maker() (pid int, err error) {
	raw, err := l.conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) {
		var c *unix.Ucred
		if c, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(c.Pid)
		}
	})
	return pid, errors.Join(err, cerr)
}

// send writes m. After an error the link is of no more use.
func (l *link) send(m message) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err = l.conn.Write(append(b, '\n'))
	return err
}

// receive waits for a message; an error is the end of the link.
func (l *link) receive() (m message, err error) { return m, l.in.Decode(&m) }

// closeWrite ends the link for who receives.
func (l *link) closeWrite() error { return l.conn.(*net.UnixConn).CloseWrite() }

func (l *link) close() error { return l.conn.Close() }
