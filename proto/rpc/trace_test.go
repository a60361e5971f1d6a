package rpc

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"

	"damselfly/proto/trace"
)

// TestTraceCrossesACall: the server's span is below the client's, and that below
// the caller's. Without a trace, or with one that can't be read, there is none.
func TestTraceCrossesACall(t *testing.T) {
	rec := tracetest.NewSpanRecorder()
	tr := trace.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(rec)), 1)
	traced := make(chan bool, 4)
	addr, _ := serve(t, &fake{announce: func(ctx context.Context) error {
		traced <- trace.Of(ctx).Valid()
		return nil
	}}, ServerOptions{Tracer: tr})
	c := client(t, addr, DialOptions{})

	require.NoError(t, announce(context.Background(), c))
	require.False(t, <-traced)
	garbage := metadata.AppendToOutgoingContext(context.Background(), trace.Header, "00-garbage")
	require.NoError(t, announce(garbage, c))
	require.False(t, <-traced)
	require.Empty(t, rec.Ended())

	ctx, root := tr.Root(context.Background(), "read")
	require.NoError(t, announce(ctx, c))
	require.True(t, <-traced)
	root.End(nil)
	spans := rec.Ended()
	require.Len(t, spans, 3)
	for i, name := range []string{"Scheduler/AnnounceHost", "Scheduler/AnnounceHost", "read"} {
		require.Equal(t, name, spans[i].Name())
	}
	require.Equal(t, trace.Server, spans[0].SpanKind())
	require.Equal(t, spans[1].SpanContext().SpanID(), spans[0].Parent().SpanID())
	require.Equal(t, spans[2].SpanContext().SpanID(), spans[1].Parent().SpanID())
}
