package cluster

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bytes"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// origin serves one file and counts what it sends.
type origin struct {
	*httptest.Server
	data  []byte
	etag  string // set it before anybody asks
	bytes atomic.Int64
	gets  atomic.Int64
}

func newOrigin(t testing.TB, size int) *origin {
	o := &origin{data: make([]byte, size), etag: `"1"`}
	rand.NewChaCha8([32]byte{7}).Read(o.data)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.gets.Add(1)
		w.Header().Set("ETag", o.etag)
		http.ServeContent(counting{w, &o.bytes}, r, "", time.Time{}, bytes.NewReader(o.data))
	}))
	t.Cleanup(o.Close)
	return o
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func sumOf(t *testing.T, f *daemon.File) (sum [32]byte) {
	h := sha256.New()
	buf := make([]byte, 128<<10)
	for off := int64(0); ; {
		n, err := f.ReadAt(context.Background(), buf, off)
		if err != nil {
			t.Errorf("read at %d: %v", off, err)
			return sum
		}
		if n == 0 {
			break
		}
		h.Write(buf[:n])
		off += int64(n)
	}
	h.Sum(sum[:0])
	return sum
}

var _ io.Writer = counting{}

func TestCrowdWithASeed(t *testing.T) {
	c := New(t, 1)
	o := newOrigin(t, 24<<20+99)
	seed := c.Seed()
	var files []*daemon.File
	for range 4 {
		files = append(files, c.Host(nil).Open(o.URL+"/f", pieces.Options{}))
	}
	want := sha256.Sum256(o.data)
	var wg sync.WaitGroup
	for _, f := range files {
		wg.Go(func() {
			if sumOf(t, f) != want {
				t.Error("wrong bytes")
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, o.bytes.Load(), int64(len(o.data))*101/100, "the origin is read once")
	require.Positive(t, seed.Traffic().Uploaded)
	for _, h := range c.Hosts[1:] {
		tr := h.Traffic()
		require.Zero(t, tr.Origin)
		require.EqualValues(t, len(o.data), tr.Peers+tr.Seeds)
	}
}

func TestCrowdWithoutASeed(t *testing.T) {
	c := New(t, 1)
	o := newOrigin(t, 24<<20+99)
	for range 4 {
		c.Host(nil)
	}
	var wg sync.WaitGroup
	for _, h := range c.Hosts {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, err := h.Fetch(ctx, o.URL+"/f", pieces.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := sha256.Sum256(o.data)
	for _, h := range c.Hosts {
		require.Equal(t, want, sumOf(t, h.Open(o.URL+"/f", pieces.Options{})))
		require.Positive(t, h.Traffic().Peers)
	}
	require.LessOrEqual(t, o.bytes.Load(), int64(len(o.data))*101/100, "the origin is read once")
}

func TestSmallContent(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 4097, 60 << 10, 100 << 10, 256 << 10, 300 << 10} {
		c := New(t, 1)
		o := newOrigin(t, size)
		c.Seed()
		a, b := c.Host(nil), c.Host(nil)
		want := sha256.Sum256(o.data)
		require.Equal(t, want, sumOf(t, a.Open(o.URL+"/f", pieces.Options{})), "%d bytes", size)
		require.Equal(t, want, sumOf(t, b.Open(o.URL+"/f", pieces.Options{})), "%d bytes", size)
		require.EqualValues(t, size, o.bytes.Load(), "%d bytes", size)
	}
}

func TestLateReaderTakesNothingFromTheOrigin(t *testing.T) {
	c := New(t, 2)
	o := newOrigin(t, 8<<20)
	first := c.Host(nil)
	want := sha256.Sum256(o.data)
	require.Equal(t, want, sumOf(t, first.Open(o.URL+"/f", pieces.Options{})))
	before := o.bytes.Load()
	second := c.Host(nil)
	require.Equal(t, want, sumOf(t, second.Open(o.URL+"/f", pieces.Options{})))
	require.Equal(t, before, o.bytes.Load())
	require.EqualValues(t, len(o.data), second.Traffic().Peers)
}

func TestSchedulerGone(t *testing.T) {
	c := New(t, 2)
	o := newOrigin(t, 8<<20)
	h := c.Host(nil)
	for _, s := range c.Schedulers {
		s.Stop()
	}
	require.Equal(t, sha256.Sum256(o.data), sumOf(t, h.Open(o.URL+"/f", pieces.Options{})))
}
