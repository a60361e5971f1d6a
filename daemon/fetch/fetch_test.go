package fetch

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

const size = 3*pieces.MinPieceSize - 1000

// content is generated once per test; its pieces' digests are what children
// know from the scheduler.
func content() []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

// whole is a request for all of content from the server at addr.
func whole(t *testing.T, addr string) Request {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	g, err := pieces.GeometryOf(size)
	require.NoError(t, err)
	data := content()
	return Request{
		Key: pieces.Key{Task: "t", Version: "v"}, Geometry: g, Extent: g.All(),
		Host:    pieces.Host{ID: pieces.NewHostID([16]byte{9}), IP: at.Addr().String(), UploadPort: int(at.Port())},
		Sum:     func(i int) pieces.Sum { return pieces.SumOf(data[g.Offset(i) : g.Offset(i)+g.Len(i)]) },
		Buffer:  func(_ context.Context, n int) ([]byte, error) { return make([]byte, n), nil },
		Free:    func([]byte) {},
		Deliver: func(int, []byte, pieces.Sum, time.Duration) {},
	}
}

// get downloads [0, 3) of content from a server and returns what was delivered.
func get(t *testing.T, o Options, h http.HandlerFunc, change func(*Request)) (got map[int][]byte, n int64, freed int, err error) {
	t.Helper()
	srv := httptest.NewServer(h)
	defer srv.Close()
	got = map[int][]byte{}
	c := New(o)
	defer c.Close()
	r := whole(t, srv.Listener.Addr().String())
	r.Free = func([]byte) { freed++ }
	r.Deliver = func(i int, b []byte, _ pieces.Sum, _ time.Duration) { got[i] = b }
	if change != nil {
		change(&r)
	}
	n, err = c.Get(context.Background(), r)
	return got, n, freed, err
}

func serve(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

func TestRightBytes(t *testing.T) {
	var head http.Header
	got, n, freed, err := get(t, Options{Host: "me"}, func(w http.ResponseWriter, r *http.Request) {
		head = r.Header.Clone()
		serve(content())(w, r)
	}, func(r *Request) { r.Wait = time.Second })
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Zero(t, freed)
	var all []byte
	for i := range 3 {
		all = append(all, got[i]...)
	}
	require.Equal(t, content(), all)
	require.Equal(t, "me", head.Get("X-Df-Host"))
	require.Equal(t, "1000", head.Get("X-Df-Wait"))
	require.Equal(t, fmt.Sprintf("bytes=0-%d", size-1), head.Get("Range"))
}

// Whatever is wrong with an answer, no byte of a wrong piece is delivered, and
// the reason is told apart.
func TestWrongAnswers(t *testing.T) {
	flipped := content()
	flipped[pieces.MinPieceSize+5] ^= 1
	partial := func(w http.ResponseWriter, rng string, n int) {
		w.Header().Set("Content-Range", rng)
		w.Header().Set("Content-Length", fmt.Sprint(n))
		w.WriteHeader(http.StatusPartialContent)
	}
	right := fmt.Sprintf("bytes 0-%d/%d", size-1, size)
	for name, tc := range map[string]struct {
		serve     http.HandlerFunc
		reason    pieces.FailReason
		busy      bool
		delivered int
	}{
		"flipped bit":   {serve(flipped), pieces.FailBadBytes, false, 1},
		"not held":      {http.NotFound, pieces.FailNotFound, false, 0},
		"whole instead": {func(w http.ResponseWriter, _ *http.Request) { w.Write(content()) }, pieces.FailMalformed, false, 0},
		"another range": {func(w http.ResponseWriter, _ *http.Request) {
			partial(w, fmt.Sprintf("bytes 1-%d/%d", size, size+1), size)
			w.Write(content())
		}, pieces.FailMalformed, false, 0},
		"another total": {func(w http.ResponseWriter, _ *http.Request) {
			partial(w, fmt.Sprintf("bytes 0-%d/%d", size-1, size+1), size)
			w.Write(content())
		}, pieces.FailMalformed, false, 0},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, pieces.FailMalformed, false, 0},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			partial(w, right, size)
			w.Write(content()[:pieces.MinPieceSize+100])
			panic(http.ErrAbortHandler)
		}, pieces.FailUnreachable, false, 1},
		"silent": {func(w http.ResponseWriter, r *http.Request) {
			partial(w, right, size)
			w.Write(content()[:pieces.MinPieceSize])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, pieces.FailTimeout, false, 1},
		"trickling": {func(w http.ResponseWriter, r *http.Request) {
			partial(w, right, size)
			for _, b := range content() {
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}, pieces.FailTimeout, false, 0},
		"busy": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After-Ms", "70")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, pieces.FailTimeout, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, _, err := get(t, Options{IdleTimeout: 400 * time.Millisecond}, tc.serve, nil)
			var fe *Error
			require.ErrorAs(t, err, &fe)
			require.Equal(t, tc.reason, fe.Reason, "%v", err)
			require.Equal(t, tc.busy, fe.Busy)
			require.Len(t, got, tc.delivered)
			if tc.busy {
				require.Equal(t, 70*time.Millisecond, fe.RetryAfter)
			}
		})
	}
}

// A seed says who has the bytes and how to reach him; the record counts for the
// host that is named only.
func TestSentElsewhere(t *testing.T) {
	holder := pieces.Host{ID: pieces.NewHostID([16]byte{7}), Hostname: "h7", IP: "10.0.0.7", PeerPort: 65000, UploadPort: 65002}
	record, err := wire.HostToHeader(holder)
	require.NoError(t, err)
	other := pieces.NewHostID([16]byte{8})
	for _, c := range []struct {
		id     pieces.HostID
		record string
		want   pieces.Host
	}{{holder.ID, record, holder}, {other, record, pieces.Host{ID: other}}, {holder.ID, "?", pieces.Host{ID: holder.ID}}, {"", "", pieces.Host{}}} {
		_, _, _, err := get(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Df-Holder", string(c.id))
			w.Header().Set("X-Df-Holder-Host", c.record)
			w.Header().Set("Retry-After-Ms", "250")
			w.WriteHeader(http.StatusConflict)
		}, nil)
		var fe *Error
		require.ErrorAs(t, err, &fe)
		require.True(t, fe.Deferred)
		require.Equal(t, 250*time.Millisecond, fe.RetryAfter)
		require.Equal(t, c.want, fe.Holder)
	}
}

func TestNobodyThere(t *testing.T) {
	_, _, _, err := get(t, Options{}, http.NotFound, func(r *Request) { r.Host.UploadPort = 1 })
	var fe *Error
	require.ErrorAs(t, err, &fe)
	require.Equal(t, pieces.FailUnreachable, fe.Reason)
}

// Waiting for our own memory is not the server's fault.
func TestWaitingForMemoryIsNotIdleness(t *testing.T) {
	_, n, _, err := get(t, Options{IdleTimeout: 50 * time.Millisecond}, serve(content()), func(r *Request) {
		r.Buffer = func(_ context.Context, n int) ([]byte, error) {
			time.Sleep(120 * time.Millisecond)
			return make([]byte, n), nil
		}
	})
	require.NoError(t, err)
	require.EqualValues(t, size, n)
}

func TestTheAskerGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	_, _, _, err := get(t, Options{}, serve(content()), func(r *Request) {
		r.Buffer = func(context.Context, int) ([]byte, error) {
			cancel()
			return nil, ctx.Err()
		}
	})
	require.Error(t, err)
	require.NotErrorIs(t, err, errIdle)
}
