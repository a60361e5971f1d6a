package rpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	"damselfly/proto/trace"
)

// outgoing begins the span of a call, and tells the other side of it, if ctx is
// traced. The span of a stream is that of its opening: streams last.
func outgoing(ctx context.Context, method string) (context.Context, trace.Span) {
	ctx, span := trace.Child(ctx, spanName(method), trace.Client)
	if p := trace.Of(ctx); p.Valid() {
		ctx = metadata.AppendToOutgoingContext(ctx, trace.Header, p.String())
	}
	return ctx, span
}

// incoming begins the span of handling a call whose caller traces it. What is
// no traceparent is ignored.
func incoming(ctx context.Context, t *trace.Tracer, method string) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.Span{}
	}
	var p trace.Parent
	if texts := metadata.ValueFromIncomingContext(ctx, trace.Header); len(texts) == 1 {
		p = trace.Parse(texts[0])
	}
	return t.Under(ctx, p, spanName(method), trace.Server)
}

// spanName is Service/Method of "/package.Service/Method".
func spanName(method string) string {
	return method[strings.LastIndexByte(method, '.')+1:]
}
