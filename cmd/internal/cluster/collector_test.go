package cluster

import (
	"cmp"
	"context"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// collector takes traces as an OpenTelemetry collector does.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer
	addr string

	mu    sync.Mutex
	spans []span
}

// span is one as it was received.
type span struct {
	service, host           string
	name, trace, id, parent string
	attrs                   map[string]*commonpb.AnyValue
	failed                  bool
}

func (s span) text(key string) string { return s.attrs[key].GetStringValue() }
func (s span) num(key string) int64   { return s.attrs[key].GetIntValue() }

func newCollector(t *testing.T) *collector {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &collector{addr: lis.Addr().String()}
	srv := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	t.Cleanup(func() {
		srv.Stop()
		require.NoError(t, <-served)
	})
	return c
}

func (c *collector) Export(_ context.Context, m *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range m.GetResourceSpans() {
		of := attributes(r.GetResource().GetAttributes())
		for _, sc := range r.GetScopeSpans() {
			for _, s := range sc.GetSpans() {
				c.spans = append(c.spans, span{
					service: of["service.name"].GetStringValue(), host: of["host.id"].GetStringValue(), name: s.GetName(),
					trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
					attrs: attributes(s.GetAttributes()), failed: s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
				})
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

func attributes(kvs []*commonpb.KeyValue) map[string]*commonpb.AnyValue {
	m := map[string]*commonpb.AnyValue{}
	for _, kv := range kvs {
		m[kv.GetKey()] = kv.GetValue()
	}
	return m
}

func (c *collector) all() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// lowest returns a span whose way up to its root is that: names and places
// (name@place), lowest first, split by spaces. A daemon's place is its host's.
func lowest(spans []span, way string) (span, bool) {
	byID := map[string]span{}
	for _, s := range spans {
		byID[s.trace+s.id] = s
	}
	for _, low := range spans {
		up := []string{low.at()}
		s, ok := low, true
		for s.parent != "" && ok {
			s, ok = byID[s.trace+s.parent]
			up = append(up, s.at())
		}
		if ok && strings.Join(up, " ") == way {
			return low, true
		}
	}
	return span{}, false
}

func (s span) at() string { return s.name + "@" + cmp.Or(s.host, s.service) }
