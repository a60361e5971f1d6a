package upload

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// listener hands out connections that know how to send sections of files.
type listener struct {
	net.Listener
	sent *atomic.Int64
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &conn{TCPConn: tcp, sent: l.sent}, nil
	}
	return c, err
}

// conn is a TCP connection whose ReadFrom takes a *section by sendfile(2).
// net/http calls ReadFrom on the connection it was given by the listener, and
// keeps its own account of the body in order, which it would not if we wrote to
// the socket behind its back.
type conn struct {
	*net.TCPConn
	sent *atomic.Int64 // bytes that went by sendfile
}

// ReadFrom sends r. It honours the connection's write deadline.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	s, ok := r.(*section)
	if !ok {
		return io.Copy(struct{ io.Writer }{c.TCPConn}, r)
	}
	n, err := sendfile(c.TCPConn, s)
	c.sent.Add(n)
	if n == 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)) {
		return io.Copy(struct{ io.Writer }{c.TCPConn}, s) // a file system without sendfile
	}
	return n, err
}

// section is n bytes of f from off. Reading it moves off and n, never the
// position of f, which others share.
type section struct {
	f      *os.File
	off, n int64
}

// Read implements io.Reader; a file that ends early is io.ErrUnexpectedEOF.
func (s *section) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	m, err := s.f.ReadAt(p[:min(int64(len(p)), s.n)], s.off)
	s.off, s.n = s.off+int64(m), s.n-int64(m)
	if err == io.EOF && s.n > 0 {
		return m, io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		err = nil
	}
	return m, err
}

// sendfile sends all of s to dst and returns how many bytes went. The file
// can't be closed under it: Control keeps the descriptor open.
func sendfile(dst *net.TCPConn, s *section) (sent int64, err error) {
	to, err := dst.SyscallConn()
	if err != nil {
		return 0, err
	}
	from, err := s.f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	step := func(dstFD, srcFD uintptr) (done bool) {
		for s.n > 0 {
			m, err := unix.Sendfile(int(dstFD), int(srcFD), &s.off, int(min(s.n, 1<<30)))
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				failed = os.NewSyscallError("sendfile", err)
				return true
			case m == 0:
				failed = io.ErrUnexpectedEOF // the file is shorter than its record says
				return true
			default:
				s.n -= int64(m)
				sent += int64(m)
			}
		}
		return true
	}
	var werr error
	err = from.Control(func(srcFD uintptr) {
		werr = to.Write(func(dstFD uintptr) bool { return step(dstFD, srcFD) })
	})
	for _, e := range []error{err, werr, failed} {
		if e != nil {
			return sent, e
		}
	}
	return sent, nil
}
