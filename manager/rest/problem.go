package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

// Problem is the body of an error (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Kind is the error's kind (pieces.Kind), for scripts.
	Kind string `json:"kind"`
}

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// statuses is the one table from kinds to HTTP statuses.
var statuses = [...]int{
	pieces.Internal:        http.StatusInternalServerError,
	pieces.Invalid:         http.StatusBadRequest,
	pieces.NotFound:        http.StatusNotFound,
	pieces.Denied:          http.StatusForbidden,
	pieces.Changed:         http.StatusPreconditionFailed,
	pieces.Timeout:         http.StatusGatewayTimeout,
	pieces.Canceled:        499, // the client went; nobody reads it
	pieces.Unavailable:     http.StatusServiceUnavailable,
	pieces.Throttled:       http.StatusTooManyRequests,
	pieces.Integrity:       http.StatusInternalServerError,
	pieces.Origin:          http.StatusBadGateway,
	pieces.Full:            http.StatusInsufficientStorage,
	pieces.Exists:          http.StatusConflict,
	pieces.Unauthenticated: http.StatusUnauthorized,
}

// Status is the HTTP status of an error.
func Status(err error) int { return statuses[pieces.KindOf(wire.FromStatus(err))] }

// WriteProblem answers err.
func WriteProblem(w http.ResponseWriter, err error) {
	err = wire.FromStatus(err)
	kind := pieces.KindOf(err)
	if after := pieces.RetryAfter(err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	if kind == pieces.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="damselfly"`)
	}
	writeStatus(w, statuses[kind], kind.String(), err.Error())
}

func writeStatus(w http.ResponseWriter, status int, kind, detail string) {
	title := http.StatusText(status)
	if title == "" {
		title = "Client Closed Request"
	}
	w.Header().Set("Content-Type", ProblemType)
	w.Header().Del("ETag")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{Type: "about:blank", Title: title, Status: status, Detail: detail, Kind: kind}) // the client went
}

func handleError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	WriteProblem(w, err)
}

// handleRouting answers what no route is for.
func handleRouting(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, status int) {
	detail := "there is nothing at " + r.URL.Path
	if status == http.StatusMethodNotAllowed {
		detail = r.Method + " can't be done to " + r.URL.Path
	}
	writeStatus(w, status, pieces.Invalid.String(), detail)
}
