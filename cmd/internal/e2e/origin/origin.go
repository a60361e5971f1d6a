package origin

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Origin is a running server. Safe for concurrent use.
type Origin struct {
	// URL is scheme, host and port.
	URL  string
	seed uint64
	lis  net.Listener
	wg   sync.WaitGroup
	// Conns counts the connections accepted.
	Conns atomic.Int64

	mu     sync.Mutex
	files  map[string]*File
	open   map[net.Conn]struct{}
	closed bool
}

// New starts an origin on a loopback port; it ends with the test.
func New(t testing.TB, seed uint64) *Origin { return start(t, seed, nil) }

// NewTLS is New with https.
func NewTLS(t testing.TB, seed uint64, c *tls.Config) *Origin { return start(t, seed, c) }

func start(t testing.TB, seed uint64, c *tls.Config) *Origin {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		return On(t, seed, tls.NewListener(lis, c), "https")
	}
	return On(t, seed, lis, "http")
}

// On is New with a listener of your own, which the origin closes.
func On(t testing.TB, seed uint64, lis net.Listener, scheme string) *Origin {
	o := &Origin{URL: scheme + "://" + lis.Addr().String(), seed: seed, lis: lis, files: map[string]*File{}, open: map[net.Conn]struct{}{}}
	o.wg.Go(o.accept)
	t.Cleanup(o.close)
	return o
}

func (o *Origin) close() {
	o.mu.Lock()
	o.closed = true
	for c := range o.open {
		c.Close()
	}
	o.mu.Unlock()
	o.lis.Close()
	o.wg.Wait()
}

// Add puts a file of version 1 on the origin.
func (o *Origin) Add(name string, size int64) *File {
	f := &File{o: o, Name: name, Size: size, version: 1, Manner: StrongETag}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files["/"+name] = f
	return f
}

func (o *Origin) file(path string) *File {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.files[path]
}

func (o *Origin) accept() {
	for {
		c, err := o.lis.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		if o.closed {
			c.Close()
		}
		o.open[c] = struct{}{}
		o.mu.Unlock()
		o.Conns.Add(1)
		o.wg.Go(func() {
			o.serve(c)
			c.Close()
			o.mu.Lock()
			delete(o.open, c)
			o.mu.Unlock()
		})
	}
}

// serve answers the requests of one connection until an answer ends it.
func (o *Origin) serve(c net.Conn) {
	br := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		f := o.file(req.URL.Path)
		if f == nil {
			fmt.Fprint(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		if !f.serve(&wire{Conn: c, br: br}, req) {
			return
		}
	}
}

// wire is a connection on which an answer is being sent.
type wire struct {
	net.Conn
	br *bufio.Reader
}

// wait lasts d, or for ever if that is negative; false: the client left.
func (w *wire) wait(d time.Duration) bool {
	if d >= 0 {
		_ = w.SetReadDeadline(time.Now().Add(d))
		defer w.SetReadDeadline(time.Time{})
	}
	_, err := w.br.Peek(1)
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// reset ends the connection with RST.
func (w *wire) reset() {
	c := w.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func etag(version int) string { return fmt.Sprintf(`"v%d"`, version) }

func modified(version int) string {
	return time.Date(2026, 1, version, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat)
}

// rangeOf reads "bytes=A-B" and "bytes=A-"; last is -1 for an open end.
func rangeOf(h http.Header) (first, last int64, ok bool) {
	s, ok := strings.CutPrefix(h.Get("Range"), "bytes=")
	if !ok {
		return 0, 0, false
	}
	if n, _ := fmt.Sscanf(s, "%d-%d", &first, &last); n == 2 {
		return first, last, true
	}
	n, _ := fmt.Sscanf(s, "%d-", &first)
	return first, -1, n == 1
}
