package source_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon/limit"
	"damselfly/daemon/source"
	"damselfly/daemon/source/sourcetest"
	"damselfly/pieces"
)

// site is a well-behaved web server of one file; header says how it tells
// states apart.
type site struct {
	header func(state int) http.Header
	ranges bool

	mu      sync.Mutex
	content []byte
	state   int // 0 = no such file
}

func (s *site) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = b
	s.state++
}

func (s *site) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = 0
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, state := s.content, s.state
	s.mu.Unlock()
	if state == 0 {
		http.NotFound(w, r)
		return
	}
	for k, v := range s.header(state) {
		w.Header()[k] = v
	}
	if !s.ranges {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content)
		return
	}
	if len(content) == 0 && r.Header.Get("Range") != "" { // as common servers do, without validators
		w.Header().Del("Etag")
		w.Header().Del("Last-Modified")
		w.Header().Set("Content-Range", "bytes */0")
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	modified, _ := http.ParseTime(w.Header().Get("Last-Modified"))
	http.ServeContent(w, r, "", modified, bytes.NewReader(content))
}

func day(state int) string {
	return time.Date(2024, 1, state, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat)
}

func TestSuite(t *testing.T) {
	headers := map[string]func(state int) http.Header{
		"strong ETag": func(s int) http.Header { return http.Header{"Etag": {fmt.Sprintf(`"v%d"`, s)}} },
		"weak ETag":   func(s int) http.Header { return http.Header{"Etag": {fmt.Sprintf(`W/"v%d"`, s)}} },
		"weak ETag and date": func(s int) http.Header {
			return http.Header{"Etag": {fmt.Sprintf(`W/"v%d"`, s)}, "Last-Modified": {day(s)}}
		},
		"same date, other weak ETag": func(s int) http.Header {
			return http.Header{"Etag": {fmt.Sprintf(`W/"v%d"`, s)}, "Last-Modified": {day(1)}}
		},
		"date":          func(s int) http.Header { return http.Header{"Last-Modified": {day(s)}} },
		"unquoted ETag": func(s int) http.Header { return http.Header{"Etag": {fmt.Sprintf(`v%d`, s)}} },
		"none":          func(int) http.Header { return http.Header{} },
	}
	for name, header := range headers {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.World {
				return world(t, &site{header: header, ranges: true}, name != "none")
			})
		})
	}
	t.Run("none, no ranges", func(t *testing.T) {
		sourcetest.Run(t, func(t *testing.T) sourcetest.World {
			return world(t, &site{header: headers["none"]}, false)
		})
	})
	t.Run("decorated", func(t *testing.T) {
		sourcetest.Run(t, func(t *testing.T) sourcetest.World {
			w := world(t, &site{header: headers["strong ETag"], ranges: true}, true)
			w.Origin = source.WithMetrics(w.Origin, prometheus.NewRegistry())
			w.Origin = source.WithLimit(w.Origin, limit.NewRate(1<<30), limit.NewRate(0))
			w.Origin = source.WithRetry(w.Origin, source.RetryOptions{Base: time.Millisecond})
			return w
		})
	})
}

func world(t *testing.T, s *site, validators bool) sourcetest.World {
	o, task := open(t, s, source.HTTPOptions{})
	return sourcetest.World{Origin: o, Task: task, Put: s.put, Remove: s.remove, Validators: validators}
}

// open serves handler and returns an origin and a Task for it.
func open(t *testing.T, handler http.Handler, o source.HTTPOptions) (*source.HTTP, *pieces.Task) {
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	h := source.NewHTTP(o)
	t.Cleanup(func() { _ = h.Close() })
	return h, taskFor(t, srv.URL+"/dir/file.bin?sig=secret", nil)
}

func taskFor(t *testing.T, url string, header http.Header) *pieces.Task {
	task, err := pieces.NewTask(url, pieces.Options{Header: header}, []byte("cluster secret"))
	require.NoError(t, err)
	return task
}
