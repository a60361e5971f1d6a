package trace

import (
	"context"
	"encoding/hex"

	"go.opentelemetry.io/otel/trace"
)

// Header is the name under which a Parent travels, in HTTP and in gRPC.
const Header = "traceparent"

// textLen is the length of a traceparent of version 00.
const textLen = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")

// Parent names the span of a sampled trace that other spans are below; the zero
// value names none.
type Parent struct {
	trace trace.TraceID
	span  trace.SpanID
}

// Of returns the span of ctx, if it is traced.
func Of(ctx context.Context) Parent {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() || !c.IsSampled() {
		return Parent{}
	}
	return Parent{c.TraceID(), c.SpanID()}
}

// With returns a context whose children are below p; ctx itself if p is none.
func (p Parent) With(ctx context.Context) context.Context {
	if !p.Valid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: p.trace, SpanID: p.span, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
}

// Valid reports whether p names a span.
func (p Parent) Valid() bool { return p.trace.IsValid() && p.span.IsValid() }

// String returns p as a traceparent; "" for none.
func (p Parent) String() string {
	if !p.Valid() {
		return ""
	}
	return "00-" + p.trace.String() + "-" + p.span.String() + "-01"
}

// Parse reads a traceparent. What is none, of another version, or of a trace
// that is not sampled, is the zero Parent: a trace is never worth an error.
func Parse(s string) Parent {
	if len(s) != textLen || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return Parent{}
	}
	var p Parent
	var flags [1]byte
	if !decode(p.trace[:], s[3:35]) || !decode(p.span[:], s[36:52]) || !decode(flags[:], s[53:]) ||
		flags[0]&byte(trace.FlagsSampled) == 0 || !p.Valid() {
		return Parent{}
	}
	return p
}

// decode reads lower-case hex, the only kind there is in a traceparent.
func decode(to []byte, s string) bool {
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'F' {
			return false
		}
	}
	n, err := hex.Decode(to, []byte(s))
	return err == nil && n == len(to)
}
