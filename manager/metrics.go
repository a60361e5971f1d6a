package manager

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the manager does; all its methods work on nil.
type metrics struct {
	batches  *prometheus.CounterVec
	inMemory prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		return nil
	}
	m := &metrics{
		batches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_manager_liveness_batches_total",
			Help: "Batches of keep-alives written to the database, by result.",
		}, []string{"result"}),
		inMemory: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "damselfly_manager_nodes",
			Help: "Schedulers and seed peers that keep themselves alive at this manager.",
		}),
	}
	reg.MustRegister(m.batches, m.inMemory)
	return m
}

func (m *metrics) batch(err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.batches.WithLabelValues(result).Inc()
}

func (m *metrics) nodes(n int) {
	if m != nil {
		m.inMemory.Set(float64(n))
	}
}
