package upload

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

// statusOf is the one table from error kinds to HTTP statuses. A kind that is
// not named is 500.
var statusOf = map[pieces.Kind]int{
	pieces.Invalid:         http.StatusBadRequest,
	pieces.NotFound:        http.StatusNotFound,
	pieces.Denied:          http.StatusForbidden,
	pieces.Changed:         http.StatusGone,
	pieces.Timeout:         http.StatusGatewayTimeout,
	pieces.Canceled:        http.StatusServiceUnavailable,
	pieces.Unavailable:     http.StatusServiceUnavailable,
	pieces.Throttled:       http.StatusServiceUnavailable,
	pieces.Full:            http.StatusServiceUnavailable,
	pieces.Exists:          http.StatusConflict,
	pieces.Unauthenticated: http.StatusUnauthorized,
}

// refuse answers err with its status and returns the status.
func (s *Server) refuse(w http.ResponseWriter, err error) int {
	kind := pieces.KindOf(err)
	code, ok := statusOf[kind]
	if !ok {
		code = http.StatusInternalServerError
	}
	return s.answer(w, code, err)
}

// outside answers a range that is not within content of size bytes; size −1 is
// unknown.
func (s *Server) outside(w http.ResponseWriter, size int64, err error) int {
	total := "*"
	if size >= 0 {
		total = strconv.FormatInt(size, 10)
	}
	w.Header().Set("Content-Range", "bytes */"+total)
	return s.answer(w, http.StatusRequestedRangeNotSatisfiable, err)
}

func (s *Server) answer(w http.ResponseWriter, code int, err error) int {
	text := fmt.Sprintf("%.500v\n", err)
	h := w.Header()
	h.Set(HeaderError, pieces.KindOf(err).String())
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	if code == http.StatusServiceUnavailable || code == http.StatusConflict {
		after := pieces.RetryAfter(err)
		if after <= 0 {
			after = s.opts.RetryAfter
		}
		h.Set(HeaderRetry, strconv.FormatInt(max(1, int64(after/time.Millisecond)), 10))
	}
	var e *Elsewhere
	if errors.As(err, &e) && code == http.StatusConflict && e.Host.ID != "" {
		h.Set(HeaderHolder, string(e.Host.ID))
		if at, err := wire.HostToHeader(e.Host); err == nil && e.Host.IP != "" {
			h.Set(HeaderHolderHost, at)
		}
	}
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
	return code
}
