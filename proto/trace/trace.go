package trace

import (
	"context"
	"errors"
	"math/rand/v2"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// scope names the library to whoever looks at spans.
const scope = "damselfly"

// Kind says which side of a call a span is.
type Kind = trace.SpanKind

// The kinds.
const (
	Internal = trace.SpanKindInternal
	Client   = trace.SpanKindClient
	Server   = trace.SpanKindServer
)

// Tracer makes the spans of one program. Nil makes none. Safe for concurrent
// use.
type Tracer struct {
	t     trace.Tracer
	share float64
}

// New returns a Tracer of p, which must sample whatever it is asked for: of the
// reads that could begin a trace, the share in [0,1] does, by lot.
func New(p trace.TracerProvider, share float64) *Tracer {
	return &Tracer{p.Tracer(scope), share}
}

// Root begins a trace, for a share of its callers; in a context that is traced
// already it is Child.
func (t *Tracer) Root(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	if p := Of(ctx); p.Valid() {
		return t.Under(ctx, p, name, Internal)
	}
	if t.share < 1 && rand.Float64() >= t.share {
		return ctx, Span{}
	}
	return t.start(ctx, name, Internal)
}

// Under begins a span below p, which came from another goroutine or host; no
// span if p is none.
func (t *Tracer) Under(ctx context.Context, p Parent, name string, k Kind) (context.Context, Span) {
	if t == nil || !p.Valid() {
		return ctx, Span{}
	}
	return t.start(p.With(ctx), name, k)
}

func (t *Tracer) start(ctx context.Context, name string, k Kind) (context.Context, Span) {
	ctx, s := t.t.Start(ctx, name, trace.WithSpanKind(k))
	return ctx, Span{s}
}

// Child begins a span below that of ctx, made by the same Tracer; no span if ctx
// has none that is recorded here.
func Child(ctx context.Context, name string, k Kind) (context.Context, Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := above.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(k))
	return ctx, Span{s}
}

// Carry returns to with the span of from, for work that is done for from and
// outlives it.
func Carry(to, from context.Context) context.Context {
	s := trace.SpanFromContext(from)
	if !s.IsRecording() {
		return to
	}
	return trace.ContextWithSpan(to, s)
}

// Current returns the span of ctx, to say more about it. Do not end it.
func Current(ctx context.Context) Span {
	if s := trace.SpanFromContext(ctx); s.IsRecording() {
		return Span{s}
	}
	return Span{}
}

// Span is a part of a trace; the zero value is none, and does nothing.
type Span struct{ s trace.Span }

// On reports whether the span is recorded: what is costly to say is said only
// then.
func (s Span) On() bool { return s.s != nil }

// Parent returns the span as the parent of others.
func (s Span) Parent() Parent {
	if s.s == nil {
		return Parent{}
	}
	c := s.s.SpanContext()
	return Parent{c.TraceID(), c.SpanID()}
}

// Str, Int and Bool say something of the span.
func (s Span) Str(key, value string) {
	if s.s != nil {
		s.s.SetAttributes(attribute.String(key, value))
	}
}

func (s Span) Int(key string, value int64) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Int64(key, value))
	}
}

func (s Span) Bool(key string, value bool) {
	if s.s != nil {
		s.s.SetAttributes(attribute.Bool(key, value))
	}
}

// Event notes a moment within the span.
func (s Span) Event(name string) {
	if s.s != nil {
		s.s.AddEvent(name)
	}
}

// End ends the span; err says why what it stands for failed: its kind only, for
// the text is the log's and may name what is nobody else's business. A cancelled
// one did not fail: somebody else was faster, or nobody wants it any more.
func (s Span) End(err error) {
	if s.s == nil {
		return
	}
	if err != nil {
		kind := kindOf(err)
		s.Str("error.type", kind)
		if kind != canceled {
			s.s.SetStatus(codes.Error, kind)
		}
	}
	s.s.End()
}

// canceled is how a kind of error is called that is no failure.
const canceled = "canceled"

// kindOf names what went wrong, as pieces.Kind does: this package is below none.
func kindOf(err error) string {
	var named interface{ KindName() string }
	switch {
	case errors.As(err, &named):
		return named.KindName()
	case errors.Is(err, context.Canceled):
		return canceled
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "internal"
}
