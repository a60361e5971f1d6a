package attach

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces/missing"
)

// connect mounts on dir a connection that nobody serves. Its owner ends it.
func connect(t *testing.T, dir string) (fd int, p *Point) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing.Skip(t, "needs /dev/fuse")
	}
	fd, p, err := Attach(context.Background(), Options{Dir: dir, Source: "test", Subtype: "test", MaxRead: 4096})
	require.NoError(t, err)
	return fd, p
}

// connected reports whether the connection of fd lives: it holds the kernel's
// first request.
func connected(t *testing.T, fd int) bool {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	_, err := unix.Poll(p, 1000)
	require.NoError(t, err)
	return p[0].Revents&unix.POLLERR == 0
}

func TestHandleEndsItsMountAndNoOther(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	fd, p := connect(t, dir)
	h := Hold(dir, p.Dev())
	defer h.Close()
	require.True(t, connected(t, fd))
	answered := make(chan struct{})
	go func() {
		h.Ask()
		close(answered)
	}()
	select {
	case <-answered:
		t.Fatal("nobody can have answered")
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, h.Abort())
	<-answered
	require.False(t, connected(t, fd))
	was, err := h.Detach(ctx)
	require.NoError(t, err)
	require.True(t, was)
	was, err = h.Detach(ctx)
	require.NoError(t, err)
	require.False(t, was)
	require.NoError(t, unix.Close(fd))

	// The next one gets the same number.
	for range 100 {
		fd, p = connect(t, dir)
		if p.Dev() == h.dev {
			break
		}
		require.NoError(t, errors.Join(p.Detach(ctx, true), unix.Close(fd)))
	}
	defer unix.Close(fd)
	defer p.Detach(ctx, true)
	require.Equal(t, h.dev, p.Dev(), "or this test shows nothing")
	require.NoError(t, h.Abort())
	require.True(t, connected(t, fd))
	was, err = h.Detach(ctx)
	require.NoError(t, err)
	require.False(t, was)
	_, ok, err := Top(dir)
	require.NoError(t, err)
	require.True(t, ok)
}
