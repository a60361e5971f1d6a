package manager

import (
	"github.com/prometheus/client_golang/prometheus"

	"damselfly/manager/people"
	"damselfly/manager/store"
)

// metrics counts what the manager does; all its methods work on nil.
type metrics struct {
	batches  *prometheus.CounterVec
	inMemory prometheus.Gauge
	lookups  prometheus.Counter
	jobs     *prometheus.CounterVec
	logins   *prometheus.CounterVec
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
			Help: "Schedulers and hosts that keep themselves alive at this manager.",
		}),
		lookups: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "damselfly_manager_catalogue_lookups_total",
			Help: "Lookups of ids and names that the database was asked for.",
		}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_manager_jobs_total",
			Help: "Jobs that ended at this manager, by kind and state.",
		}, []string{"kind", "state"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_manager_logins_total",
			Help: "Logins by way (password, oidc) and result: ok, refused, limited (too many wrong ones), failed.",
		}, []string{"via", "result"}),
	}
	for _, via := range people.LoginVias {
		for _, result := range people.LoginResults {
			m.logins.WithLabelValues(via, result) // from 0 on
		}
	}
	reg.MustRegister(m.batches, m.inMemory, m.lookups, m.jobs, m.logins)
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

func (m *metrics) asked() {
	if m != nil {
		m.lookups.Inc()
	}
}

func (m *metrics) login(via, result string) {
	if m != nil {
		m.logins.WithLabelValues(via, result).Inc()
	}
}

func (m *metrics) jobEnded(kind string, state store.JobState) {
	if m != nil {
		m.jobs.WithLabelValues(kind, string(state)).Inc()
	}
}
