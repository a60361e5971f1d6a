package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// The answer on the descriptor socket is one byte: with fileFollows comes the
// descriptor, after refused the reason as text.
const (
	fileFollows = 'F'
	refused     = 'E'
)

// Bounds of the descriptor socket.
const (
	maxFileConns    = 32
	fileConnTimeout = 5 * time.Second
)

// serveFiles answers tickets until lis is closed, then waits for the
// connections under way.
func (s *Server) serveFiles(lis *net.UnixListener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxFileConns)
	for {
		slots <- struct{}{}
		conn, err := lis.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return pieces.WithKind(pieces.Internal, err, "accept on the descriptor socket")
		}
		conns.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			if err := s.answerTicket(conn); err != nil {
				s.log.WithError(err).Debug("ticket refused")
			}
		})
	}
}

func (s *Server) answerTicket(conn *net.UnixConn) error {
	conn.SetDeadline(time.Now().Add(fileConnTimeout))
	uid, err := peerUID(conn)
	if err != nil {
		return err
	}
	var id ticket
	if _, err := io.ReadFull(conn, id[:]); err != nil {
		return err
	}
	f, err := s.tickets.redeem(id, uid)
	if err != nil {
		conn.Write(append([]byte{refused}, err.Error()...))
		return err
	}
	defer f.Close()
	_, _, err = conn.WriteMsgUnix([]byte{fileFollows}, unix.UnixRights(int(f.Fd())), nil)
	return err
}

func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// fetchFile shows a ticket at the descriptor socket and returns the file,
// which the caller closes.
func fetchFile(ctx context.Context, socket string, id []byte) (*os.File, error) {
	d := net.Dialer{Timeout: fileConnTimeout}
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, pieces.WithKind(pieces.Unavailable, err, "descriptor socket")
	}
	defer c.Close()
	conn := c.(*net.UnixConn)
	conn.SetDeadline(time.Now().Add(fileConnTimeout))
	if _, err := conn.Write(id); err != nil {
		return nil, pieces.WithKind(pieces.Unavailable, err, "descriptor socket "+socket)
	}
	answer, oob := make([]byte, 512), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(answer, oob)
	if err != nil || n == 0 {
		return nil, pieces.Errorf(pieces.Unavailable, "descriptor socket %s: no answer: %w", socket, cmpErr(err))
	}
	if answer[0] != fileFollows {
		return nil, pieces.Errorf(pieces.Denied, "descriptor socket %s: %s", socket, answer[1:n])
	}
	fd, err := receivedFD(oob[:oobn])
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "descriptor socket "+socket)
	}
	return os.NewFile(uintptr(fd), "content"), nil
}

func receivedFD(oob []byte) (int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return 0, errors.New("no descriptor in the answer")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return 0, errors.New("no descriptor in the answer")
	}
	syscall.CloseOnExec(fds[0])
	return fds[0], nil
}

func cmpErr(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}
