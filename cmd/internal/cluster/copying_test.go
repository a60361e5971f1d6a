package cluster

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/daemon/control/controltest"
	"damselfly/pieces"
)

// dial serves a host's control socket and returns a client of it.
func (h *Host) dial(t *testing.T) *control.Client {
	t.Helper()
	lis, err := control.Listen(filepath.Join(t.TempDir(), "d.sock"), false)
	require.NoError(t, err)
	s := control.NewServer(control.Options{Engine: h.Control(), Mounts: &controltest.Mounts{}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	c, err := control.Dial(lis.Path())
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, lis.Close())
	})
	return c
}

// copying is a sink as that of dfget.
type copying struct {
	bytes.Buffer
	data     []byte
	copied   atomic.Int64
	restarts int
}

func (c *copying) Parts() control.Parts { return c }
func (c *copying) Copied(int64)         {}
func (c *copying) Restart() error       { c.restarts++; return nil }

func (c *copying) CopyFile(ctx context.Context, f *os.File, off, n int64) error {
	return c.CopyPart(ctx, f, off, n)
}

func (c *copying) CopyPart(_ context.Context, f *os.File, off, n int64) error {
	_, err := io.ReadFull(io.NewSectionReader(f, off, n), c.data[off:off+n])
	c.copied.Add(n)
	return err
}

// held is data of which what lies behind at is not read before the gate opens.
type held struct {
	*bytes.Reader
	at   int64
	gate chan struct{}
}

func (h held) Read(p []byte) (int, error) {
	off := h.Size() - int64(h.Len())
	if off >= h.at {
		<-h.gate
	} else {
		p = p[:min(int64(len(p)), h.at-off)]
	}
	return h.Reader.Read(p)
}

// A download is copied while it comes: when its last piece arrives, that is all
// there is left to copy.
func TestADownloadIsCopiedWhileItComes(t *testing.T) {
	const size, last = 64 << 20, 256 << 10
	data, gate := newOrigin(t, size).data, make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, held{bytes.NewReader(data), size - last, gate})
	}))
	defer origin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := New(t, 0).Host(nil).dial(t)
	sink := &copying{data: make([]byte, size)}
	var before int64
	done := make(chan error, 1)
	go func() {
		done <- client.Download(ctx, origin.URL+"/f", pieces.Options{}, control.Whole, func(p control.Progress) {
			if p.Done == p.Total && before == 0 {
				before = sink.copied.Load()
			}
		}, sink)
	}()
	require.Eventually(t, func() bool { return sink.copied.Load() == size-last }, time.Minute, time.Millisecond)
	close(gate)
	require.NoError(t, <-done)
	require.EqualValues(t, size, sink.copied.Load(), "each byte is copied once")
	require.GreaterOrEqual(t, before, int64(size-last), "when all had come")
	require.True(t, bytes.Equal(data, sink.data))
	require.Zero(t, sink.restarts)

	// What is here already is copied as soon as that is known.
	again := &copying{data: make([]byte, size)}
	require.NoError(t, client.Download(ctx, origin.URL+"/f", pieces.Options{}, control.Whole, nil, again))
	require.True(t, bytes.Equal(data, again.data))
}
