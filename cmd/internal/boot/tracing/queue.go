package tracing

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// queueLen is how many ended spans wait at most, batchLen how many go in
	// one message.
	queueLen = 4096
	batchLen = 512
)

// queue is the sdk.SpanProcessor of all parts of a process. One goroutine sends
// what is in it, until close.
type queue struct {
	to    sdk.SpanExporter
	times Times
	log   *logrus.Entry

	spans chan sdk.ReadOnlySpan
	stop  chan struct{} // closed by close
	// ctx bounds the sending; it ends some time after stop.
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	closing sync.Once

	sent, dropped, failed prometheus.Counter
}

func newQueue(to sdk.SpanExporter, times Times, reg prometheus.Registerer, log *logrus.Entry) *queue {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "damselfly_trace_spans_total",
		Help: "Spans by what became of them: sent, dropped (the queue was full), failed (the collector did not take them).",
	}, []string{"result"})
	if reg != nil {
		reg.MustRegister(spans)
	}
	q := &queue{
		to: to, times: times, log: log,
		spans: make(chan sdk.ReadOnlySpan, queueLen), stop: make(chan struct{}), done: make(chan struct{}),
		sent: spans.WithLabelValues("sent"), dropped: spans.WithLabelValues("dropped"), failed: spans.WithLabelValues("failed"),
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

// OnStart implements sdk.SpanProcessor.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd implements sdk.SpanProcessor. It never blocks.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	select {
	case q.spans <- s:
	default:
		q.dropped.Inc()
	}
}

// Shutdown and ForceFlush implement sdk.SpanProcessor. The queue is that of
// several providers, so none of them ends it: close does.
func (q *queue) Shutdown(context.Context) error   { return nil }
func (q *queue) ForceFlush(context.Context) error { return nil }

// run sends batches, each full or as old as times.Every.
func (q *queue) run() {
	defer close(q.done)
	tick := time.NewTicker(q.times.Every)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, batchLen)
	for stopping := false; !stopping; {
		full := false
		select {
		case s := <-q.spans:
			batch = append(batch, s)
			full = len(batch) == batchLen
		case <-tick.C:
			full = len(batch) > 0
		case <-q.stop:
			stopping = true
		}
		if full {
			batch = q.send(batch)
		}
	}
	q.drain(batch)
}

// drain sends the batch and what is in the queue.
func (q *queue) drain(batch []sdk.ReadOnlySpan) {
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == batchLen {
				batch = q.send(batch)
			}
			continue
		default:
		}
		if len(batch) > 0 {
			q.send(batch)
		}
		return
	}
}

// send empties the batch.
func (q *queue) send(batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	ctx, cancel := context.WithTimeout(q.ctx, q.times.Send)
	defer cancel()
	if err := q.to.ExportSpans(ctx, batch); err != nil {
		q.failed.Add(float64(len(batch)))
		q.log.WithError(err).Warn("the collector does not take traces")
	} else {
		q.sent.Add(float64(len(batch)))
	}
	clear(batch)
	return batch[:0]
}

// close sends what is left, within times.Flush, and ends the goroutine.
func (q *queue) close() {
	q.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), q.times.Flush)
		defer cancel()
		defer q.cancel()
		defer context.AfterFunc(ctx, q.cancel)()
		close(q.stop)
		<-q.done
		_ = q.to.Shutdown(ctx)
	})
}
