package upload

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

func TestErrorsOfTheBackendBecomeStatuses(t *testing.T) {
	want := map[pieces.Kind]int{
		pieces.Internal: 500, pieces.Invalid: 416, pieces.NotFound: 404, pieces.Denied: 403, pieces.Changed: 410,
		pieces.Timeout: 504, pieces.Canceled: 503, pieces.Unavailable: 503, pieces.Throttled: 503,
		pieces.Integrity: 500, pieces.Origin: 500, pieces.Full: 503, pieces.Exists: 409, pieces.Unauthenticated: 401,
	}
	for _, kind := range pieces.Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			refusal := &pieces.Error{Kind: kind, Msg: "because", RetryAfter: 1500 * time.Millisecond}
			s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) { return nil, refusal })})
			resp, b, err := s.get(t, 0, 10, 0)
			require.NoError(t, err)
			require.Equal(t, want[kind], resp.StatusCode)
			require.Equal(t, kind.String(), resp.Header.Get(HeaderError))
			require.Equal(t, "because\n", string(b))
			if resp.StatusCode == 503 || resp.StatusCode == 409 {
				require.Equal(t, "1500", resp.Header.Get(HeaderRetry))
			}
		})
	}
}

func TestElsewhereNamesAHostAndItsAddress(t *testing.T) {
	known := pieces.Host{ID: pieces.NewHostID([16]byte{7}), Hostname: "h7", IP: "10.0.0.7", PeerPort: 65000, UploadPort: 65002}
	for _, host := range []pieces.Host{known, {ID: known.ID}} {
		s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) {
			return nil, &Elsewhere{Host: host, After: 250 * time.Millisecond}
		})})
		resp, _, err := s.get(t, 0, 10, 0)
		require.NoError(t, err)
		require.Equal(t, http.StatusConflict, resp.StatusCode)
		require.Equal(t, "250", resp.Header.Get(HeaderRetry))
		require.Equal(t, string(known.ID), resp.Header.Get(HeaderHolder))
		got, err := wire.HostFromHeader(resp.Header.Get(HeaderHolderHost))
		if host.IP == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, known, got)
	}
}

func TestErrorOfTheFirstChunkIsStillAStatus(t *testing.T) {
	closed := make(chan struct{})
	s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) {
		return &chunks{size: 100, closed: closed, steps: []func(context.Context) (Chunk, error){
			fail(pieces.Errorf(pieces.NotFound, "gone since"))}}, nil
	})})
	resp, _, err := s.get(t, 0, 10, 0)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	<-closed
}

func TestRangeOutsideContent(t *testing.T) {
	s := serve(t, Options{Backend: fileBackend(t, make([]byte, 1000), 100, false)})
	for _, off := range []int64{991, 1000, 5000} {
		resp, _, err := s.get(t, off, 10, 0)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestedRangeNotSatisfiable, resp.StatusCode)
		require.Equal(t, "bytes */1000", resp.Header.Get("Content-Range"))
	}
	resp, b, err := s.get(t, 990, 10, 0)
	require.NoError(t, err)
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	require.Len(t, b, 10)
}

func TestMalformedRequests(t *testing.T) {
	s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) {
		return nil, errors.New("a malformed request reached the backend")
	})})
	for name, c := range map[string]struct {
		change func(r *http.Request)
		code   int
	}{
		"method":        {func(r *http.Request) { r.Method = http.MethodPost }, 405},
		"head":          {func(r *http.Request) { r.Method = http.MethodHead }, 405},
		"path":          {func(r *http.Request) { r.URL.Path = "/metrics" }, 404},
		"task":          {func(r *http.Request) { r.URL.Path = pathPrefix + "xyz/" + string(testKey.Version) }, 400},
		"upper case":    {func(r *http.Request) { r.URL.Path = strings.ToUpper(Path(testKey)) }, 404},
		"no version":    {func(r *http.Request) { r.URL.Path = pathPrefix + string(testKey.Task) }, 400},
		"tail":          {func(r *http.Request) { r.URL.Path += "/x" }, 400},
		"query":         {func(r *http.Request) { r.URL.RawQuery = "a=b" }, 400},
		"no range":      {func(r *http.Request) { r.Header.Del("Range") }, 400},
		"two ranges":    {func(r *http.Request) { r.Header.Add("Range", "bytes=0-1") }, 400},
		"range list":    {func(r *http.Request) { r.Header.Set("Range", "bytes=0-1,3-4") }, 400},
		"suffix range":  {func(r *http.Request) { r.Header.Set("Range", "bytes=-5") }, 400},
		"open range":    {func(r *http.Request) { r.Header.Set("Range", "bytes=5-") }, 400},
		"backwards":     {func(r *http.Request) { r.Header.Set("Range", "bytes=5-4") }, 400},
		"signed":        {func(r *http.Request) { r.Header.Set("Range", "bytes=+5-9") }, 400},
		"too far":       {func(r *http.Request) { r.Header.Set("Range", "bytes=0-17592186044416") }, 400},
		"overflow":      {func(r *http.Request) { r.Header.Set("Range", "bytes=0-99999999999999999999") }, 400},
		"no host":       {func(r *http.Request) { r.Header.Del(HeaderHost) }, 400},
		"bad host":      {func(r *http.Request) { r.Header.Set(HeaderHost, "me") }, 400},
		"bad wait":      {func(r *http.Request) { r.Header.Set(HeaderWait, "1s") }, 400},
		"negative wait": {func(r *http.Request) { r.Header.Set(HeaderWait, "-1") }, 400},
		"body": {func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.request(t, 0, 10, 0)
			c.change(r)
			resp, err := s.client.Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, c.code, resp.StatusCode)
			require.NotEmpty(t, resp.Header.Get(HeaderError))
		})
	}
}

func TestBackendThatFailsLaterCutsTheAnswer(t *testing.T) {
	for name, last := range map[string]func(context.Context) (Chunk, error){
		"error":    fail(errors.New("disk")),
		"too few":  fail(io.EOF),
		"too many": give(make([]byte, 900)),
	} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			s := serve(t, Options{Backend: backendFunc(func(context.Context, Request) (Content, error) {
				return &chunks{size: 1000, closed: closed, steps: []func(context.Context) (Chunk, error){give(make([]byte, 200)), last}}, nil
			})})
			_, _, err := s.get(t, 0, 1000, 0)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			<-closed
		})
	}
}

// FuzzRequest: whatever is accepted is in range and says what was asked.
func FuzzRequest(f *testing.F) {
	f.Add(Path(testKey), "bytes=0-0", testHost, "")
	f.Add(Path(testKey), "bytes=5-99", testHost, "1000")
	f.Add(pathPrefix+"//", "bytes=5-", "", "-1")
	f.Add("/v1/tasks/%61", "bytes= 1-2", testHost, "99999999999999999999")
	f.Fuzz(func(t *testing.T, path, rng, host, wait string) {
		r, err := http.NewRequest(http.MethodGet, "http://h"+path, nil)
		if err != nil {
			return
		}
		r.Header["Range"] = []string{rng}
		r.Header[HeaderHost] = []string{host}
		if wait != "" {
			r.Header[HeaderWait] = []string{wait}
		}
		req, err := parseRequest(r, time.Minute)
		if err != nil {
			if k := pieces.KindOf(err); k != pieces.Invalid && k != pieces.NotFound {
				t.Fatalf("%v is of kind %v", err, k)
			}
			return
		}
		if req.Off < 0 || req.N < 1 || req.Off+req.N > pieces.MaxSize || req.Wait < 0 || req.Wait > time.Minute {
			t.Fatalf("accepted %+v", req)
		}
		if Path(req.Key) != r.URL.EscapedPath() || string(req.Asker) != host {
			t.Fatalf("%q by %q was read as %+v", path, host, req)
		}
	})
}
