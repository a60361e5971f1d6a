package tracing

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

func discard() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Sample: 1.5}, "--trace-sample 1.5: want a share"},
		{Options{Sample: -1}, "--trace-sample -1"},
		{Options{Endpoint: "collector"}, "--trace-endpoint"},
		{Options{Endpoint: "http://collector:4317"}, "--trace-endpoint"},
		{Options{Endpoint: "https://somebody:secret@collector:4317"}, "--trace-endpoint"},
		{Options{Times: Times{Flush: -1}}, "trace.times"},
	} {
		err := c.o.Check()
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%+v", c.o)
		require.ErrorContains(t, err, c.want)
	}
	for _, o := range []Options{{}, Defaults(), {Endpoint: "collector:4317", Sample: 1}, {Endpoint: "https://[::1]:4317"}} {
		require.NoError(t, o.Check())
	}
}

func TestOffWithoutAnEndpoint(t *testing.T) {
	e, err := Start(Defaults(), "1", nil, discard())
	require.NoError(t, err)
	require.Nil(t, e)
	require.Nil(t, e.Tracer("dfthing", ""))
	e.Close()
}

// stuck is a collector that takes nothing and says nothing.
type stuck struct{ stopped atomic.Bool }

func (s *stuck) ExportSpans(ctx context.Context, _ []sdk.ReadOnlySpan) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s *stuck) Shutdown(context.Context) error {
	s.stopped.Store(true)
	return nil
}

// taking is one that takes everything.
type taking struct{ spans atomic.Int64 }

func (s *taking) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	s.spans.Add(int64(len(spans)))
	return nil
}
func (s *taking) Shutdown(context.Context) error { return nil }

// end makes and ends n spans.
func end(q *queue, n int) {
	tr := trace.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(q)), 1)
	for range n {
		_, s := tr.Root(context.Background(), "read")
		s.End(nil)
	}
}

// TestStuckCollector: spans end at once all the same, what does not fit is
// counted, and the end waits no longer than it may.
func TestStuckCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		to := &stuck{}
		q := newQueue(to, Times{Flush: 2 * time.Second}.withDefaults(), reg, discard())
		began := time.Now()
		end(q, 2*queueLen)
		require.Zero(t, time.Since(began), "nothing waited")
		require.GreaterOrEqual(t, testutil.ToFloat64(q.dropped), float64(queueLen-batchLen))
		q.close()
		require.Equal(t, 2*time.Second, time.Since(began))
		require.True(t, to.stopped.Load())
		q.close()
		require.Zero(t, testutil.ToFloat64(q.sent))
		require.EqualValues(t, 2*queueLen, testutil.ToFloat64(q.failed)+testutil.ToFloat64(q.dropped))
		end(q, 1) // later ones are forgotten
		n, err := testutil.GatherAndCount(reg, "damselfly_trace_spans_total")
		require.NoError(t, err)
		require.Equal(t, 3, n)
	})
}

// TestSent: a span is sent within Every, and what is left at the end.
func TestSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &taking{}
		q := newQueue(to, Times{}.withDefaults(), nil, discard())
		end(q, 3)
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 3, to.spans.Load())
		end(q, batchLen+1)
		synctest.Wait()
		require.EqualValues(t, 3+batchLen, to.spans.Load(), "a full batch goes at once")
		q.close()
		require.EqualValues(t, 4+batchLen, to.spans.Load())
		require.EqualValues(t, 4+batchLen, testutil.ToFloat64(q.sent))
	})
}

// TestNobodyThere: with a real client, a port where nobody listens.
func TestNobodyThere(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := lis.Addr().String()
	lis.Close()
	e, err := Start(Options{Endpoint: addr, Sample: 1, Times: Times{Flush: 100 * time.Millisecond}}, "1", nil, discard())
	require.NoError(t, err)
	_, s := e.Tracer("dfthing", "host").Root(context.Background(), "read")
	s.End(nil)
	done := make(chan struct{})
	go func() {
		e.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the end hangs on a collector that is not there")
	}
	require.EqualValues(t, 1, testutil.ToFloat64(e.queue.failed))
}
