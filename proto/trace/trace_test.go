package trace_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

func tracer(share float64) (*trace.Tracer, *tracetest.SpanRecorder) {
	rec := tracetest.NewSpanRecorder()
	return trace.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(rec)), share), rec
}

func TestOneTrace(t *testing.T) {
	tr, rec := tracer(1)
	ctx, root := tr.Root(context.Background(), "root")
	require.True(t, root.On())
	_, child := trace.Child(ctx, "child", trace.Client)
	// On another goroutine or host, known by its text alone.
	far, under := tr.Under(context.Background(), trace.Parse(child.Parent().String()), "under", trace.Server)
	_, again := tr.Root(far, "again")
	trace.Current(far).Int("bytes", 7)
	again.End(nil)
	under.End(pieces.Errorf(pieces.NotFound, "gone"))
	child.End(context.Canceled)
	root.End(errors.New("broken"))

	spans := rec.Ended()
	require.Len(t, spans, 4)
	above := map[string]string{}
	names := map[string]string{}
	for _, s := range spans {
		require.Equal(t, root.Parent().String()[3:35], s.SpanContext().TraceID().String())
		names[s.SpanContext().SpanID().String()] = s.Name()
	}
	for _, s := range spans {
		above[s.Name()] = names[s.Parent().SpanID().String()]
	}
	require.Equal(t, map[string]string{"root": "", "child": "root", "under": "child", "again": "under"}, above)
	require.Equal(t, codes.Error, spans[1].Status().Code)
	require.Equal(t, codes.Unset, spans[2].Status().Code, "who is cancelled did not fail")
	require.Equal(t, "internal", spans[3].Status().Description, "the kind, not the text")
}

func TestShare(t *testing.T) {
	tr, rec := tracer(0)
	ctx, s := tr.Root(context.Background(), "never")
	require.False(t, s.On())
	require.False(t, trace.Of(ctx).Valid())
	// What others trace is traced on.
	p := trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	_, s = tr.Under(context.Background(), p, "under", trace.Server)
	require.True(t, s.On())
	s.End(nil)
	require.Len(t, rec.Ended(), 1)

	tr, rec = tracer(0.5)
	for range 1000 {
		_, s := tr.Root(context.Background(), "sometimes")
		s.End(nil)
	}
	// Outside once in 10^9 runs: six standard deviations of a fair coin.
	require.InDelta(t, 500, len(rec.Ended()), 96)
}

func TestParse(t *testing.T) {
	good := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	require.Equal(t, good, trace.Parse(good).String())
	for _, bad := range []string{
		"", "00", good + "-", " " + good, strings.ToUpper(good), "ff" + good[2:], "01" + good[2:],
		good[:53] + "00", // not sampled
		"00-" + strings.Repeat("0", 32) + good[35:],     // no trace
		good[:36] + strings.Repeat("0", 16) + good[52:], // no span
		strings.Replace(good, "-", "_", 1), good[:40] + "g" + good[41:], strings.Repeat("x", 1<<20),
	} {
		require.False(t, trace.Parse(bad).Valid(), "%.80q", bad)
		require.Empty(t, trace.Parse(bad).String())
	}
	var none trace.Parent
	require.Equal(t, context.Background(), none.With(context.Background()))
}

// TestOffCostsNothing: without a tracer, and in a trace that was not sampled,
// nothing is allocated.
func TestOffCostsNothing(t *testing.T) {
	var off *trace.Tracer
	never, _ := tracer(0)
	ctx := context.Background()
	for name, tr := range map[string]*trace.Tracer{"off": off, "not sampled": never} {
		n := testing.AllocsPerRun(100, func() {
			ctx, root := tr.Root(ctx, "root")
			ctx, child := trace.Child(ctx, "child", trace.Internal)
			_, under := tr.Under(ctx, trace.Of(ctx), "under", trace.Server)
			child.Int("bytes", 1)
			trace.Current(ctx).Str("hit", "disk")
			under.End(nil)
			child.End(nil)
			root.End(nil)
		})
		require.Zero(t, n, name)
	}
}
