package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// site is an origin whose content is a function of (seed, size).
type site struct {
	*httptest.Server
	data  atomic.Pointer[[]byte]
	etag  atomic.Pointer[string]
	bytes atomic.Int64
	gets  atomic.Int64
	// plain: no validator, no length, no ranges.
	plain atomic.Bool
	// status, if not 0, is every answer.
	status atomic.Int64
}

func content(seed byte, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func newSite(t *testing.T, data []byte) *site {
	s := &site{}
	s.set(data, `"v1"`)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *site) set(data []byte, etag string) {
	s.data.Store(&data)
	s.etag.Store(&etag)
}

// counted counts body bytes.
type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n.Add(int64(n))
	return n, err
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.gets.Add(1)
	w = counted{w, &s.bytes}
	data := *s.data.Load()
	switch {
	case s.status.Load() != 0:
		w.WriteHeader(int(s.status.Load()))
	case s.plain.Load():
		w.WriteHeader(http.StatusOK)
		w.(counted).ResponseWriter.(http.Flusher).Flush()
		w.Write(data)
	default:
		w.Header().Set("ETag", *s.etag.Load())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// host is a running daemon.
type host struct {
	*Daemon
	stop func()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

func start(t *testing.T, dir string, change func(*Options)) *host {
	t.Helper()
	o := Options{DataDir: dir, AdvertiseIP: "127.0.0.1", PeerListen: listen(t), UploadListen: listen(t)}
	o.Engine.Tick = 100 * time.Millisecond
	if testing.Verbose() {
		o.Log = logrus.NewEntry(logrus.StandardLogger())
	}
	if change != nil {
		change(&o)
	}
	d, err := New(context.Background(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	h := &host{Daemon: d}
	h.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(h.stop)
	return h
}

func (h *host) add(t *testing.T, url string, o pieces.Options) pieces.TaskID {
	t.Helper()
	spec, err := h.Control().NewTask(url, o)
	require.NoError(t, err)
	require.NoError(t, h.Control().Add(context.Background(), spec, "", control.Owner{}))
	return spec.ID
}

func (h *host) open(t *testing.T, id pieces.TaskID) *File {
	t.Helper()
	info, err := h.Lookup(context.Background(), id)
	require.NoError(t, err)
	f, err := h.OpenFile(context.Background(), info.Key)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func readAll(t *testing.T, f *File, size int) []byte {
	t.Helper()
	out := make([]byte, size)
	for off := 0; off < size; {
		n, err := f.ReadAt(context.Background(), out[off:min(size, off+128<<10)], int64(off))
		require.NoError(t, err, "at %d", off)
		require.Positive(t, n)
		off += n
	}
	return out
}

func TestReadFromTheOriginOnce(t *testing.T) {
	data := content(1, 5<<20+123)
	s := newSite(t, data)
	h := start(t, t.TempDir(), nil)
	id := h.add(t, s.URL+"/file", pieces.Options{})

	info, err := h.Lookup(context.Background(), id)
	require.NoError(t, err)
	require.EqualValues(t, len(data), info.Size)
	require.LessOrEqual(t, s.bytes.Load(), int64(64<<10), "stat reads at most 64 KiB")

	f := h.open(t, id)
	require.Equal(t, data, readAll(t, f, len(data)))
	require.EqualValues(t, len(data), s.bytes.Load(), "every byte once, those read by stat included")
	require.Equal(t, data, readAll(t, f, len(data)))
	require.EqualValues(t, len(data), s.bytes.Load())

	// A short read at the end, nothing beyond it.
	n, err := f.ReadAt(context.Background(), make([]byte, 100), int64(len(data))-10)
	require.NoError(t, err)
	require.Equal(t, 10, n)
	n, err = f.ReadAt(context.Background(), make([]byte, 100), int64(len(data)))
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestRandomReadsFetchOnlyWhatTheyTouch(t *testing.T) {
	data := content(2, 64<<20)
	s := newSite(t, data)
	h := start(t, t.TempDir(), nil)
	f := h.open(t, h.add(t, s.URL+"/file", pieces.Options{}))
	r := rand.New(rand.NewPCG(3, 4))
	touched := &pieces.Set{}
	for range 20 {
		off := r.Int64N(int64(len(data) - 64<<10))
		p := make([]byte, 64<<10)
		_, err := f.ReadAt(context.Background(), p, off)
		require.NoError(t, err)
		require.Equal(t, data[off:off+int64(len(p))], p)
		touched.AddExtent(f.h.Content().Geometry().Covering(off, int64(len(p))))
	}
	require.LessOrEqual(t, s.bytes.Load(), int64(touched.Count()+1)*pieces.MinPieceSize+64<<10)
}

func TestSixtyFourReadersShareOneFetch(t *testing.T) {
	data := content(3, 3<<20)
	s := newSite(t, data)
	h := start(t, t.TempDir(), nil)
	f := h.open(t, h.add(t, s.URL+"/file", pieces.Options{}))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			got := make([]byte, len(data))
			n, err := f.ReadAt(context.Background(), got, 0)
			if err != nil || n != len(data) || !bytes.Equal(got, data) {
				t.Errorf("n %d, err %v", n, err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, len(data), s.bytes.Load())
}

func TestRestartKeepsTheCache(t *testing.T) {
	data := content(4, 3<<20+7)
	s := newSite(t, data)
	dir := t.TempDir()
	h := start(t, dir, nil)
	id := h.add(t, s.URL+"/file", pieces.Options{})
	f := h.open(t, id)
	readAll(t, f, len(data))
	f.Close()
	first := h.Host().ID
	h.stop()
	h = start(t, dir, nil)
	require.Equal(t, first, h.Host().ID)
	f = h.open(t, id)
	require.Equal(t, data, readAll(t, f, len(data)))
	require.EqualValues(t, len(data), s.bytes.Load())
	file, ok := f.Passthrough()
	require.True(t, ok)
	defer file.Close()
	got := make([]byte, len(data))
	_, err := file.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, data, got)
}

func TestSmallFilesComeWithTheirFacts(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 60000} {
		data := content(5, size)
		s := newSite(t, data)
		h := start(t, t.TempDir(), nil)
		f := h.open(t, h.add(t, s.URL+"/file", pieces.Options{}))
		require.Equal(t, data, readAll(t, f, size))
		require.EqualValues(t, 1, s.gets.Load(), "one request for %d bytes", size)
		h.stop()
	}
}

func TestContentWithoutValidatorIsSpooled(t *testing.T) {
	data := content(6, 2<<20+5)
	s := newSite(t, data)
	s.plain.Store(true)
	h := start(t, t.TempDir(), nil)
	f := h.open(t, h.add(t, s.URL+"/file", pieces.Options{}))
	require.Equal(t, data, readAll(t, f, len(data)))
}

func TestErrorsOfTheOrigin(t *testing.T) {
	for status, kind := range map[int]pieces.Kind{404: pieces.NotFound, 410: pieces.NotFound, 401: pieces.Denied, 403: pieces.Denied} {
		s := newSite(t, content(7, 100))
		s.status.Store(int64(status))
		h := start(t, t.TempDir(), nil)
		_, err := h.Lookup(context.Background(), h.add(t, s.URL+"/file", pieces.Options{}))
		require.Equal(t, kind, pieces.KindOf(err), "%d: %v", status, err)
		require.EqualValues(t, 1, s.gets.Load())
		_, err = h.Lookup(context.Background(), pieces.TaskID(hex.EncodeToString(make([]byte, 32))))
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		h.stop()
	}
}

func TestReplacedContentIsNeverMixed(t *testing.T) {
	old, next := content(8, 20<<20), content(9, 20<<20)
	s := newSite(t, old)
	h := start(t, t.TempDir(), nil)
	id := h.add(t, s.URL+"/file", pieces.Options{})
	f := h.open(t, id)
	head := make([]byte, 100)
	_, err := f.ReadAt(context.Background(), head, 0)
	require.NoError(t, err)
	s.set(next, `"v2"`)
	_, err = f.ReadAt(context.Background(), make([]byte, 100), 19<<20)
	require.Equal(t, pieces.Changed, pieces.KindOf(err), "%v", err)
	_, err = f.ReadAt(context.Background(), head, 0)
	require.NoError(t, err)
	require.Equal(t, old[:100], head, "held bytes of the old version stay readable")
	require.Eventually(t, func() bool {
		info, err := h.Lookup(context.Background(), id)
		return err == nil && info.Key != f.h.Content().Key()
	}, 10*time.Second, 10*time.Millisecond)
	_, err = h.OpenFile(context.Background(), f.h.Content().Key())
	require.Equal(t, pieces.Changed, pieces.KindOf(err))
	g := h.open(t, id)
	require.Equal(t, next, readAll(t, g, len(next)))
}

func TestPinnedDigest(t *testing.T) {
	data := content(10, 1<<20)
	s := newSite(t, data)
	h := start(t, t.TempDir(), nil)
	sum := sha256.Sum256(data)
	right := pieces.Digest("sha256:" + hex.EncodeToString(sum[:]))
	wrong := pieces.Digest("sha256:" + hex.EncodeToString(make([]byte, 32)))
	fetch := func(d pieces.Digest) error {
		c, err := h.Control().Open(context.Background(), h.add(t, s.URL+"/file", pieces.Options{Digest: d}))
		require.NoError(t, err)
		defer c.Close()
		err = c.Fetch(context.Background(), 0, int64(len(data)), nil)
		f, ok := c.Content()
		require.Equal(t, err == nil, ok, "only content that matches is complete")
		if ok {
			f.Close()
		}
		return err
	}
	require.NoError(t, fetch(right))
	require.Equal(t, pieces.Integrity, pieces.KindOf(fetch(wrong)))
}

func TestASilentOriginTimesOut(t *testing.T) {
	hang := make(chan struct{})
	data := content(11, 4<<20)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("Range") != "bytes=0-65535" {
			<-hang
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hang) })
	h := start(t, t.TempDir(), func(o *Options) { o.Engine.ReadDeadline = 300 * time.Millisecond })
	f := h.open(t, h.add(t, srv.URL+"/file", pieces.Options{}))
	began := time.Now()
	_, err := f.ReadAt(context.Background(), make([]byte, 100), 1<<20)
	require.Equal(t, pieces.Timeout, pieces.KindOf(err))
	require.Less(t, time.Since(began), 5*time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = f.ReadAt(ctx, make([]byte, 100), 2<<20)
	require.ErrorIs(t, err, context.Canceled)
}
