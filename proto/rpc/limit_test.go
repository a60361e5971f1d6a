package rpc

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// accept starts to accept on a limited listener; every connection is read to
// its end.
func accept(t *testing.T, max int) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	lis = LimitConns(lis, max)
	t.Cleanup(func() { lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }() // an echo
		}
	}()
	return lis.Addr().String()
}

func connect(t *testing.T, addr, from string) net.Conn {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// says reports whether c is still there: it speaks and hears the echo.
func says(t *testing.T, c net.Conn) bool {
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

func ended(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	ne, ok := err.(net.Error)
	require.False(t, ok && ne.Timeout(), "the connection should have been ended")
}

func TestSilentConnectionsGiveWay(t *testing.T) {
	addr := accept(t, 3)
	spoke := connect(t, addr, "127.0.0.1")
	require.True(t, says(t, spoke))
	first := connect(t, addr, "127.0.0.1")
	connect(t, addr, "127.0.0.1")
	fourth := connect(t, addr, "127.0.0.1")
	ended(t, first) // the oldest of those that never said anything
	require.True(t, says(t, fourth))
	require.True(t, says(t, spoke))
}

func TestTheAddressWithMostConnectionsGivesWay(t *testing.T) {
	addr := accept(t, 8)
	quiet := connect(t, addr, "127.0.0.2")
	require.True(t, says(t, quiet))
	for range 100 {
		require.True(t, says(t, connect(t, addr, "127.0.0.3")))
	}
	require.True(t, says(t, quiet), "a crowd from one address puts out nobody else's connections")
}

func TestClosedConnectionsLeaveRoom(t *testing.T) {
	addr := accept(t, 2)
	stays := connect(t, addr, "127.0.0.1")
	for range 20 {
		c := connect(t, addr, "127.0.0.1")
		require.True(t, says(t, c))
		require.NoError(t, c.(*net.TCPConn).CloseWrite())
		ended(t, c)
	}
	require.True(t, says(t, stays))
}

func TestHalfOpenConnectionIsEnded(t *testing.T) {
	f := &fake{announce: func(context.Context) error { return nil }}
	addr, _ := serve(t, f, ServerOptions{OpenTimeout: 50 * time.Millisecond, IdleTimeout: 100 * time.Millisecond})
	for _, sent := range []string{"", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01"} {
		c := connect(t, addr, "127.0.0.1")
		_, err := io.WriteString(c, sent)
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = io.Copy(io.Discard, c)
		ne, ok := err.(net.Error)
		require.False(t, ok && ne.Timeout(), "%q is not waited for", sent)
	}
	// One that speaks, but has no calls, is told to go and dials again.
	conn, err := Dial(addr, DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	health := grpc_health_v1.NewHealthClient(conn)
	for range 3 {
		_, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(t, err)
		time.Sleep(150 * time.Millisecond)
	}
}

func TestConnectionsOverTheLimitOfAServer(t *testing.T) {
	f := &fake{announce: func(context.Context) error { return nil }}
	addr, _ := serve(t, f, ServerOptions{MaxConns: 4})
	c := client(t, addr, DialOptions{})
	for range 50 {
		connect(t, addr, "127.0.0.1")
		require.NoError(t, announce(t.Context(), c))
	}
}
