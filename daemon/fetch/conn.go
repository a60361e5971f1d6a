package fetch

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	// mostHead bounds the head of an answer, mostBody the body of a refusal that
	// is read for the sake of the connection.
	mostHead = 16 << 10
	mostBody = 4 << 10
	// readBuffer is that of heads; bodies go past it.
	readBuffer = 4 << 10
)

var errHead = errors.New("the head of the answer is too long")

// conn is a connection to a piece server, used by one request at a time.
type conn struct {
	net.Conn
	at  *server
	raw syscall.RawConn // nil: no wake-ups are paced
	br  *bufio.Reader   // reads from the conn itself, within left
	// used: it has brought an answer before.
	used bool
	// left is how much may still be read of what is being read, over what an
	// attempt to read more is.
	left int64
	over error
	// rate is that of its last answer, bytes per second; 0 = unknown. low is what
	// the kernel was told to wake us for.
	rate float64
	low  int
	// expiry ends it when it was idle for long; set while it is.
	expiry *time.Timer
}

func newConn(nc net.Conn, at *server) *conn {
	c := &conn{Conn: nc, at: at, low: 1}
	if s, ok := nc.(syscall.Conn); ok {
		c.raw, _ = s.SyscallConn() // nil where it fails
	}
	c.br = bufio.NewReaderSize(c, readBuffer)
	return c
}

// end closes the connection; nobody is left whom an error would help.
func (c *conn) end() { _ = c.Conn.Close() }

// Read reads from the socket, no more than is left.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, c.over
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// interrupt ends what the user of the connection waits for.
func (c *conn) interrupt() { _ = c.SetDeadline(time.Unix(1, 0)) }

// ask sends a request and reads the head of its answer. stale: the server had
// closed this connection before it saw the request, as it may with an idle one.
func (c *conn) ask(request []byte) (resp *http.Response, stale bool, err error) {
	c.wakeFor(1)
	if _, err := c.Write(request); err != nil {
		return nil, c.used && !errors.Is(err, os.ErrDeadlineExceeded), err
	}
	c.left, c.over = mostHead, errHead
	if _, err := c.br.Peek(1); err != nil {
		return nil, c.used && !errors.Is(err, os.ErrDeadlineExceeded), err
	}
	c.used = true
	resp, err = http.ReadResponse(c.br, getRequest)
	return resp, false, err
}

// getRequest tells ReadResponse what kind of request was answered.
var getRequest = &http.Request{Method: http.MethodGet}

// body has the next n bytes read by body reads.
func (c *conn) body(n int64) {
	c.left, c.over = max(0, n-int64(c.br.Buffered())), io.ErrUnexpectedEOF
}

// drain reads the body of a refusal, and reports whether the connection can be
// used again.
func (c *conn) drain(resp *http.Response) bool {
	if resp.Close || resp.ContentLength < 0 || resp.ContentLength > mostBody {
		return false
	}
	c.body(resp.ContentLength)
	_, err := c.br.Discard(int(resp.ContentLength))
	return err == nil && c.br.Buffered() == 0
}
