package origin_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// record keeps all that passes: logs, and both directions of connections.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.buf.Bytes())
}

// listener records the connections it accepts, each on its own, so that
// nothing is hidden by what others send in between.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns []*recorded
}

type recorded struct {
	net.Conn
	in, out record
}

func listen(t *testing.T) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return &listener{Listener: l}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := &recorded{Conn: c}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, r)
	return r, nil
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	_, _ = r.in.Write(p[:n])
	return n, err
}

func (r *recorded) Write(p []byte) (int, error) {
	_, _ = r.out.Write(p)
	return r.Conn.Write(p)
}

// streams returns what passed, one direction of one connection at a time.
func (l *listener) streams() [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out [][]byte
	for _, c := range l.conns {
		out = append(out, c.in.bytes(), c.out.bytes())
	}
	return out
}

// forward hands every connection on to addr, until the test ends.
func (l *listener) forward(t *testing.T, addr string) {
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { pipe(c, addr) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}

func pipe(c net.Conn, addr string) {
	defer c.Close()
	d, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer d.Close()
	done := make(chan struct{}, 2)
	go func() { _, _ = io.Copy(d, c); done <- struct{}{} }()
	go func() { _, _ = io.Copy(c, d); done <- struct{}{} }()
	<-done
	c.Close()
	d.Close()
	<-done
}
