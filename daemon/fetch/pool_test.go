package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// accepts starts a server that hands each connection to on, with its number from
// 0, and returns its address.
func accepts(t *testing.T, on func(i int, c net.Conn)) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { lis.Close() })
	go func() {
		for i := 0; ; i++ {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				on(i, c)
			}()
		}
	}()
	return lis.Addr().String()
}

// readRequest reads the head of a request.
func readRequest(c net.Conn) error {
	_, err := http.ReadRequest(bufio.NewReader(c))
	return err
}

func sendContent(c net.Conn) error {
	_, err := fmt.Fprintf(c, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%d/%d\r\nContent-Length: %d\r\n\r\n", size-1, size, size)
	if err == nil {
		_, err = c.Write(content())
	}
	return err
}

// A server may close a connection that nobody uses: the next request finds that
// out and takes a new one. One that closes each is not asked for ever.
func TestAClosedConnectionIsReplacedOnce(t *testing.T) {
	var asked atomic.Int32
	addr := accepts(t, func(i int, c net.Conn) {
		if readRequest(c) == nil && i != 3 {
			asked.Add(1)
			_ = sendContent(c)
		}
	})
	c := New(Options{Host: "me"})
	defer c.Close()
	for range 3 {
		n, err := c.Get(t.Context(), whole(t, addr))
		require.NoError(t, err)
		require.EqualValues(t, size, n)
	}
	require.EqualValues(t, 3, asked.Load())
	_, err := c.Get(t.Context(), whole(t, addr))
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, pieces.FailUnreachable, e.Reason)
	require.EqualValues(t, 3, asked.Load())
}

func TestARefusalKeepsItsConnection(t *testing.T) {
	var conns, asked atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 1 {
			http.Error(w, "no slot for you", http.StatusServiceUnavailable)
			return
		}
		serve(content())(w, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	c := New(Options{Host: "me"})
	defer c.Close()
	for i := range 6 {
		_, err := c.Get(t.Context(), whole(t, srv.Listener.Addr().String()))
		require.Equal(t, i%2 == 0, err != nil)
	}
	require.EqualValues(t, 1, conns.Load())
}

// Heads and refusals without end cost no memory, and end with the watch.
func TestEndlessHeads(t *testing.T) {
	for name, line := range map[string]string{
		"fields": "HTTP/1.1 206 Partial Content\r\n", "status": "", "refusal": "HTTP/1.1 503 Busy\r\nContent-Length: 1000000000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			addr := accepts(t, func(_ int, c net.Conn) {
				if readRequest(c) != nil {
					return
				}
				_, err := io.WriteString(c, line)
				for err == nil {
					var n int
					n, err = io.WriteString(c, "X-Field: 0123456789012345678901234567890123456789\r\n")
					sent.Add(int64(n))
				}
			})
			c := New(Options{Host: "me"})
			defer c.Close()
			_, err := c.Get(t.Context(), whole(t, addr))
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, name == "refusal", e.Busy)
		})
	}
}

// So many connections are open to one host at once, and whoever waits for one
// can give up.
func TestPlacesAtAHostAreBounded(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	addr := accepts(t, func(_ int, c net.Conn) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		for readRequest(c) == nil {
			<-release
			if sendContent(c) != nil {
				break
			}
		}
		now.Add(-1)
	})
	c := New(Options{Host: "me", ConnsPerHost: 2})
	defer c.Close()
	results := make(chan error, 6)
	for range 6 {
		go func() {
			_, err := c.Get(t.Context(), whole(t, addr))
			results <- err
		}()
	}
	require.Eventually(t, func() bool { return now.Load() == 2 }, 5*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Get(ctx, whole(t, addr))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)
	for range 6 {
		require.NoError(t, <-results)
	}
	require.EqualValues(t, 2, most.Load())
}

// Nothing is kept of hosts that nobody talks to any more.
func TestThePoolForgets(t *testing.T) {
	addr := accepts(t, func(_ int, c net.Conn) {
		for readRequest(c) == nil && sendContent(c) == nil {
		}
	})
	c := New(Options{Host: "me"})
	_, err := c.Get(t.Context(), whole(t, addr))
	require.NoError(t, err)
	require.Len(t, c.pool.hosts, 1)
	idle := c.pool.hosts[addr].idle[0]
	c.pool.expire(idle)
	require.Empty(t, c.pool.hosts)
	c.pool.expire(idle) // its timer may come late
	dead := whole(t, addr)
	dead.Host.UploadPort = 1
	_, err = c.Get(t.Context(), dead)
	require.Error(t, err)
	require.Empty(t, c.pool.hosts)
	_, err = c.Get(t.Context(), whole(t, addr))
	require.NoError(t, err)
	c.Close()
	require.Empty(t, c.pool.hosts)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	_, err = c.Get(ctx, whole(t, addr))
	require.Error(t, err)
	require.Empty(t, c.pool.hosts)
}
