package source

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"damselfly/pieces"
)

// WithMetrics counts what o does: requests by operation and outcome, seconds to
// the first byte, bytes read, bodies open. Decorators that share a registry
// share the numbers.
func WithMetrics(o Origin, reg prometheus.Registerer) Origin {
	const prefix = "damselfly_origin_"
	return &measured{
		o: o,
		requests: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "requests_total", Help: "Calls to origins, by operation and outcome (ok or the kind of error).",
		}, []string{"op", "outcome"})),
		seconds: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: prefix + "answer_seconds", Help: "Seconds until an origin's answer was believed, by operation.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"op"})),
		bytes: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "bytes_total", Help: "Bytes of content read from origins.",
		})),
		broken: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "broken_bodies_total", Help: "Bodies that failed after the answer was believed, by kind of error.",
		}, []string{"kind"})),
		open: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "bodies", Help: "Bodies being read from origins now.",
		})),
	}
}

// register returns the registry's collector of that name. A different one of
// the same name is a mistake in the program.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &already) {
		return already.ExistingCollector.(C)
	} else if err != nil {
		panic(err)
	}
	return c
}

type measured struct {
	o        Origin
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	bytes    prometheus.Counter
	broken   *prometheus.CounterVec
	open     prometheus.Gauge
}

func (m *measured) done(op string, began time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = pieces.KindOf(err).String()
	}
	m.requests.WithLabelValues(op, outcome).Inc()
	m.seconds.WithLabelValues(op).Observe(time.Since(began).Seconds())
}

func (m *measured) Stat(ctx context.Context, t *pieces.Task) (Stat, error) {
	began := time.Now()
	st, err := m.o.Stat(ctx, t)
	m.done("stat", began, err)
	m.bytes.Add(float64(len(st.Prefix)))
	return st, err
}

func (m *measured) ReadRange(ctx context.Context, t *pieces.Task, f pieces.Facts, off, n int64) (io.ReadCloser, error) {
	began := time.Now()
	body, err := m.o.ReadRange(ctx, t, f, off, n)
	m.done("range", began, err)
	return m.watch(body, err), err
}

func (m *measured) ReadAll(ctx context.Context, t *pieces.Task) (io.ReadCloser, Stat, error) {
	began := time.Now()
	body, st, err := m.o.ReadAll(ctx, t)
	m.done("all", began, err)
	return m.watch(body, err), st, err
}

func (m *measured) watch(body io.ReadCloser, err error) io.ReadCloser {
	if err != nil {
		return nil
	}
	m.open.Inc()
	return &measuredBody{from: body, m: m}
}

type measuredBody struct {
	from           io.ReadCloser
	m              *measured
	failed, closed bool
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.m.bytes.Add(float64(n))
	if err != nil && err != io.EOF && !b.failed {
		b.failed = true
		b.m.broken.WithLabelValues(pieces.KindOf(err).String()).Inc()
	}
	return n, err
}

func (b *measuredBody) Close() error {
	if !b.closed {
		b.closed = true
		b.m.open.Dec()
	}
	return b.from.Close()
}
