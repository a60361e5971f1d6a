package upload

import (
	"net/http"

	"damselfly/proto/trace"
)

// traced begins the span of an answer whose asker traces it.
func (h *handler) traced(r *http.Request) (*http.Request, trace.Span) {
	if h.opts.Tracer == nil {
		return r, trace.Span{}
	}
	ctx, span := h.opts.Tracer.Under(r.Context(), trace.Parse(r.Header.Get(trace.Header)), "piece.serve", trace.Server)
	if !span.On() {
		return r, span
	}
	return r.WithContext(ctx), span
}

// tell ends the span of an answer of that status.
func tell(span trace.Span, r *http.Request, status int) {
	if !span.On() {
		return
	}
	if req, err := parseRequest(r, 0); err == nil {
		span.Str("task", string(req.Key.Task))
		span.Str("version", string(req.Key.Version))
		span.Str("host", string(req.Asker))
		span.Int("offset", req.Off)
		span.Int("length", req.N)
		span.Bool("urgent", req.Urgent)
	}
	span.Int("http.response.status_code", int64(status))
	span.End(nil)
}
