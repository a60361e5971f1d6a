package rpc

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// metrics counts calls; nil counts nothing.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	panics  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		return nil
	}
	return &metrics{
		calls: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_rpc_handled_total",
			Help: "Calls and streams that ended, by method and gRPC code.",
		}, []string{"method", "code"})),
		seconds: register(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "damselfly_rpc_seconds",
			Help:    "How long calls and streams lasted.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 30, 300},
		}, []string{"method"})),
		panics: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "damselfly_rpc_panics_total",
			Help: "Panics recovered in handlers.",
		})),
	}
}

// register adds c to reg, or answers the one that an earlier Server of this
// process added.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	var already prometheus.AlreadyRegisteredError
	if err := reg.Register(c); errors.As(err, &already) {
		if earlier, ok := already.ExistingCollector.(C); ok {
			return earlier
		}
	}
	return c
}

func (m *metrics) handled(method string, code codes.Code, took time.Duration) {
	if m == nil {
		return
	}
	method = strings.TrimPrefix(method, "/")
	m.calls.WithLabelValues(method, code.String()).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}

func (m *metrics) panicked() {
	if m != nil {
		m.panics.Inc()
	}
}
