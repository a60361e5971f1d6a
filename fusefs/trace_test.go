package fusefs

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// handleOf is an open handle of a file that is here, without a kernel.
func handleOf(t testing.TB, tr *trace.Tracer) *handle {
	b := newFake()
	task := b.add("a", 1<<20)
	task.from = pieces.HitDisk
	l := logrus.New()
	l.SetOutput(io.Discard)
	o, err := Options{Backend: b, Tracer: tr, Log: logrus.NewEntry(l)}.withDefaults()
	require.NoError(t, err)
	m := &Mount{o: o, backend: b, log: o.Log, metrics: newMetrics(nil, "m"), ctx: context.Background(), pass: &passthrough{}}
	n := &file{m: m, key: task.Key, entry: task.Entry}
	h, errno := n.open(context.Background(), syscall.O_RDONLY)
	require.Zero(t, errno)
	return h
}

func tracer(share float64) (*trace.Tracer, *tracetest.SpanRecorder) {
	rec := tracetest.NewSpanRecorder()
	return trace.New(sdk.NewTracerProvider(sdk.WithSpanProcessor(rec)), share), rec
}

func read4K(t testing.TB, h *handle) {
	var p [4096]byte
	r, errno := h.Read(context.Background(), p[:], 0)
	if errno != 0 || r.Size() != len(p) {
		t.Fatalf("read: %v", errno)
	}
}

// readAllocs is what one READ of bytes that are here allocates: its op, the
// question whether a signal asks to end, the answer, and the buffer of this test.
const readAllocs = 4

// TestUntracedReadCostsNothing: without a tracer, and where the lot decides
// against a trace, a read allocates what it did before there were traces.
func TestUntracedReadCostsNothing(t *testing.T) {
	never, _ := tracer(0)
	for name, tr := range map[string]*trace.Tracer{"off": nil, "not sampled": never} {
		h := handleOf(t, tr)
		read4K(t, h)
		require.EqualValues(t, readAllocs, testing.AllocsPerRun(200, func() { read4K(t, h) }), name)
	}
}

func BenchmarkUntracedRead(b *testing.B) {
	h := handleOf(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		read4K(b, h)
	}
}

// TestFirstStepsAreOneTrace: a read goes on from the open before it, the next
// one is a trace of its own.
func TestFirstStepsAreOneTrace(t *testing.T) {
	tr, rec := tracer(1)
	h := handleOf(t, tr)
	read4K(t, h)
	read4K(t, h)
	spans := rec.Ended()
	require.Len(t, spans, 3)
	open, first, second := spans[0], spans[1], spans[2]
	require.Equal(t, "mount.open", open.Name())
	require.Equal(t, "mount.read", first.Name())
	require.Equal(t, open.SpanContext().SpanID(), first.Parent().SpanID())
	require.False(t, second.Parent().IsValid())
	said := map[string]string{}
	for _, a := range first.Attributes() {
		said[string(a.Key)] = a.Value.String()
	}
	require.Equal(t, map[string]string{"task": string(h.n.key.Task), "version": string(h.n.key.Version),
		"offset": "0", "length": "4096", "bytes": "4096", "hit": "disk"}, said)
}

// TestOldStepsLeadNowhere: the lot is drawn once for the first steps, and again
// when they are long past.
func TestOldStepsLeadNowhere(t *testing.T) {
	tr, _ := tracer(1)
	var j journey
	j.leave(trace.Span{}, tr) // it was drawn: not this one
	require.False(t, j.next(&op{parent: context.Background()}, tr, "mount.open").On())
	require.True(t, j.next(&op{parent: context.Background()}, tr, "mount.open").On())
	j.last.Store(&step{at: time.Now().Add(-journeyRest)})
	require.True(t, j.next(&op{parent: context.Background()}, tr, "mount.open").On())
}
