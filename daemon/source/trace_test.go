package source_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"damselfly/daemon/source"
	"damselfly/pieces"
	"damselfly/proto/trace"
)

// TestSpansOfRequests: a span says what was asked of whom, nothing that is
// private, and the origin hears nothing of it.
func TestSpansOfRequests(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(trace.Header) != "" {
			t.Error("the origin is told of the trace")
		}
		w.Header().Set("ETag", `"1"`)
		if r.URL.Path == "/data" {
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = io.WriteString(w, "0123456789") // the client went
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(srv.Close)
	h := source.NewHTTP(source.HTTPOptions{})
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	o := source.WithTrace(h)

	rec := tracetest.NewSpanRecorder()
	ctx, root := trace.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(rec)), 1).Root(context.Background(), "read")
	task := func(path string, header http.Header) *pieces.Task {
		spec, err := pieces.NewTask(srv.URL+path+"?token=secret", pieces.Options{Header: header}, []byte("key of this host"))
		require.NoError(t, err)
		return spec
	}
	public := task("/data", nil)
	st, err := o.Stat(ctx, public)
	require.NoError(t, err)
	body, err := o.ReadRange(ctx, public, st.Facts, 0, 10)
	require.NoError(t, err)
	require.Len(t, rec.Ended(), 1, "a range lasts as long as its body")
	_, err = io.Copy(io.Discard, body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.NoError(t, body.Close())
	_, err = o.Stat(ctx, task("/none", nil))
	require.Error(t, err)
	_, err = o.Stat(ctx, task("/data", http.Header{"Authorization": {"Bearer secret"}}))
	require.NoError(t, err)
	_, err = o.Stat(context.Background(), public) // not traced
	require.NoError(t, err)
	root.End(nil)

	var got []map[string]string
	for _, s := range rec.Ended()[:4] {
		m := map[string]string{"failed": s.Status().Description}
		for _, a := range s.Attributes() {
			m[string(a.Key)] = a.Value.String()
		}
		require.Equal(t, root.Parent().String()[36:52], s.Parent().SpanID().String())
		got = append(got, m)
	}
	require.Equal(t, []map[string]string{
		{"failed": "", "url": srv.URL + "/data", "op": "stat", "http.response.status_code": "206", "bytes": "10"},
		{"failed": "", "url": srv.URL + "/data", "op": "range", "range": "bytes=0-9", "http.response.status_code": "206", "bytes": "10"},
		{"failed": "not found", "url": srv.URL + "/none", "op": "stat", "http.response.status_code": "404", "bytes": "0", "error.type": "not found"},
		{"failed": "", "op": "stat", "http.response.status_code": "206", "bytes": "10"},
	}, got)
	require.Len(t, rec.Ended(), 5)
}
