package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"damselfly/cmd/internal/boot/tracing"
	"damselfly/proto/trace"
)

// collector hands on what it is sent.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	got chan *collectorpb.ExportTraceServiceRequest
}

func (c *collector) Export(_ context.Context, m *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.got <- m
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// TestTraced: the span of the download is sent before dfget ends; without an
// endpoint there is none.
func TestTraced(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &collector{got: make(chan *collectorpb.ExportTraceServiceRequest, 1)}
	srv := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	defer func() {
		srv.Stop()
		require.NoError(t, <-served)
	}()

	ctx, end, err := traced(t.Context(), tracing.Options{Endpoint: lis.Addr().String(), Sample: 1, Times: tracing.Times{Flush: 20 * time.Second}})
	require.NoError(t, err)
	require.True(t, trace.Of(ctx).Valid())
	end(nil)
	m := <-c.got
	require.Equal(t, "dfget", m.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())

	ctx, end, err = traced(t.Context(), tracing.Defaults())
	require.NoError(t, err)
	require.False(t, trace.Of(ctx).Valid())
	end(nil)
}
