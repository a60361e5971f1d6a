package upload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

var (
	testKey  = pieces.Key{Task: pieces.TaskID(strings.Repeat("ab", 32)), Version: pieces.VersionID(strings.Repeat("cd", 16))}
	testHost = strings.Repeat("0f", 16)
)

// backendFunc is a Backend of one function.
type backendFunc func(context.Context, Request) (Content, error)

func (f backendFunc) Open(ctx context.Context, r Request) (Content, error) { return f(ctx, r) }

// chunks is Content made of steps, each called for one Next.
type chunks struct {
	size   int64
	steps  []func(ctx context.Context) (Chunk, error)
	closed chan struct{} // closed by Close, if not nil
}

func (c *chunks) Size() int64 { return c.size }

func (c *chunks) Next(ctx context.Context) (Chunk, error) {
	if len(c.steps) == 0 {
		return Chunk{}, io.EOF
	}
	step := c.steps[0]
	c.steps = c.steps[1:]
	return step(ctx)
}

func (c *chunks) Close() error {
	if c.closed != nil {
		close(c.closed)
	}
	return nil
}

func give(b []byte) func(context.Context) (Chunk, error) {
	return func(context.Context) (Chunk, error) { return Chunk{Data: b}, nil }
}

func fail(err error) func(context.Context) (Chunk, error) {
	return func(context.Context) (Chunk, error) { return Chunk{}, err }
}

// until gives b once ch is closed.
func until(ch <-chan struct{}, b []byte) func(context.Context) (Chunk, error) {
	return func(ctx context.Context) (Chunk, error) {
		select {
		case <-ch:
			return Chunk{Data: b}, nil
		case <-ctx.Done():
			return Chunk{}, context.Cause(ctx)
		}
	}
}

// served is a running Server and a client of its own.
type served struct {
	*Server
	addr   string
	client *http.Client
	stop   func() // ends Serve and waits for it
}

func serve(t *testing.T, o Options) *served {
	t.Helper()
	s, err := New(o)
	require.NoError(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	tr := &http.Transport{DisableCompression: true, MaxConnsPerHost: 0}
	r := &served{Server: s, addr: lis.Addr().String(), client: &http.Client{Transport: tr, Timeout: 20 * time.Second}}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
		tr.CloseIdleConnections()
	}
	t.Cleanup(r.stop)
	return r
}

func (s *served) request(t *testing.T, off, n int64, wait time.Duration) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.addr+Path(testKey), nil)
	require.NoError(t, err)
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	r.Header.Set(HeaderHost, testHost)
	if wait > 0 {
		r.Header.Set(HeaderWait, fmt.Sprint(wait.Milliseconds()))
	}
	return r
}

func (s *served) get(t *testing.T, off, n int64, wait time.Duration) (*http.Response, []byte, error) {
	t.Helper()
	resp, err := s.client.Do(s.request(t, off, n, wait))
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// fileBackend serves one file in chunks of the given size, alternating between
// the file itself and data in memory when mixed.
func fileBackend(t *testing.T, content []byte, chunk int64, mixed bool) Backend {
	t.Helper()
	name := filepath.Join(t.TempDir(), "content")
	require.NoError(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return backendFunc(func(_ context.Context, r Request) (Content, error) {
		c := &chunks{size: int64(len(content))}
		for off, end := r.Off, min(r.Off+r.N, c.size); off < end; off += chunk {
			n := min(chunk, end-off)
			if mixed && (off/chunk)%2 == 0 {
				c.steps = append(c.steps, give(content[off:off+n]))
				continue
			}
			c.steps = append(c.steps, func(context.Context) (Chunk, error) {
				return Chunk{File: f, Off: off, Len: n}, nil
			})
		}
		return c, nil
	})
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func metric(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || label != "" && m.GetLabel()[0].GetValue() != label {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return 0
}

func TestRangesByManyAtOnceFromOneDescriptor(t *testing.T) {
	content := randomBytes(5<<20 + 123)
	reg := prometheus.NewRegistry()
	s := serve(t, Options{Backend: fileBackend(t, content, 300_000, true), Registry: reg, BulkSlots: 64}) // 16 are asked for
	errs := make(chan error, 16)
	for g := range cap(errs) {
		go func() {
			r := rand.New(rand.NewPCG(7, uint64(g)))
			for range 20 {
				off := r.Int64N(int64(len(content)))
				n := 1 + r.Int64N(min(2<<20, int64(len(content))-off))
				resp, b, err := s.get(t, off, n, 0)
				switch {
				case err != nil:
					errs <- err
					return
				case resp.StatusCode != http.StatusPartialContent || !bytes.Equal(b, content[off:off+n]):
					errs <- fmt.Errorf("bytes %d+%d: status %s or wrong bytes", off, n, resp.Status)
					return
				case resp.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", off, off+n-1, len(content)):
					errs <- fmt.Errorf("Content-Range %q", resp.Header.Get("Content-Range"))
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	// An answer is counted when it has been sent, which its reader sees first.
	require.Eventually(t, func() bool { return metric(t, reg, "damselfly_upload_requests_total", "206") == 320 },
		10*time.Second, time.Millisecond)
	require.Positive(t, metric(t, reg, "damselfly_upload_sendfile_bytes_total", ""))
}

func TestFilesGoBySendfile(t *testing.T) {
	content := randomBytes(8 << 20)
	reg := prometheus.NewRegistry()
	s := serve(t, Options{Backend: fileBackend(t, content, 1<<20, false), Registry: reg})
	_, b, err := s.get(t, 0, int64(len(content)), 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, b))
	// net/http sends the first 512 bytes with the header; the rest never
	// enters this process.
	require.EqualValues(t, len(content)-512, metric(t, reg, "damselfly_upload_sendfile_bytes_total", ""))
	require.EqualValues(t, len(content), metric(t, reg, "damselfly_upload_bytes_total", ""))
}

func TestConnectionIsUsedAgainAfterAnswersAndErrors(t *testing.T) {
	content := randomBytes(1 << 20)
	s := serve(t, Options{Backend: fileBackend(t, content, 1<<18, false), MaxConns: 1})
	for i := range 6 {
		off := int64(i * 1000)
		if i%3 == 2 {
			off = 2 << 20
		}
		_, _, err := s.get(t, off, 600_000, 0)
		require.NoError(t, err, "request %d needed a second connection", i)
	}
}

func TestTruncatedFileIsAShortBody(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, make([]byte, 1000), 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) {
		return &chunks{size: 5000, steps: []func(context.Context) (Chunk, error){
			func(context.Context) (Chunk, error) { return Chunk{File: f, Len: 5000}, nil }}}, nil
	})})
	_, b, err := s.get(t, 0, 5000, 0)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.LessOrEqual(t, len(b), 1000)
}
