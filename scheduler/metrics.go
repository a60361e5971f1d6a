package scheduler

import (
	"github.com/prometheus/client_golang/prometheus"

	"damselfly/proto/schedulerpb"
	"damselfly/scheduler/swarm"
)

// metrics of a Server; nil counts nothing.
type metrics struct {
	counters  [swarm.Counters]prometheus.Counter
	members   prometheus.Gauge
	register  prometheus.Counter
	wakes     *prometheus.CounterVec
	results   *prometheus.CounterVec
	delivered *prometheus.CounterVec
	// Of failover.
	resumes  prometheus.Counter
	recalls  prometheus.Counter
	moved    *prometheus.CounterVec
	asks     *prometheus.CounterVec
	sessions *prometheus.CounterVec
}

const prefix = "damselfly_scheduler_"

func newMetrics(reg prometheus.Registerer) *metrics {
	if reg == nil {
		return nil
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		members:   prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "members", Help: "Hosts taking part in Tasks, summed over Tasks."}),
		register:  counter("registrations_total", "Registrations that were answered."),
		wakes:     vec("seed_wakes_total", "Seeds woken, by outcome.", "outcome"),
		results:   vec("peer_results_total", "Ended runs of Peers, by outcome.", "outcome"),
		delivered: vec("peer_bytes_total", "Bytes that Peers got, as they report at their end, by source.", "source"),

		resumes:  counter("resumed_registrations_total", "Registrations of hosts that took part before, at another scheduler or before this one started."),
		recalls:  counter("recalls_total", "Hosts asked to take part in a Task that their inventory names."),
		moved:    vec("moved_total", "Askers and swarms sent to another scheduler, by reason.", "why"),
		asks:     vec("ring_questions_total", "Times the other schedulers were asked for a swarm, by answer.", "answer"),
		sessions: vec("sessions_ended_total", "Sessions of hosts that ended, by reason.", "why"),
	}
	reg.MustRegister(m.members)
	for c := range m.counters {
		m.counters[c] = counter(swarm.Counter(c).String()+"_total", help[c])
	}
	return m
}

var help = [swarm.Counters]string{
	swarm.LeasesGranted:   "Leases to read an extent from the origin.",
	swarm.LeasesEnded:     "Leases that ended before all their pieces were held.",
	swarm.LeasedBytes:     "Bytes that leases permitted to read from origins.",
	swarm.RepeatBytes:     "Bytes leased though a live peer held them.",
	swarm.FactsLeases:     "Leases to read the facts of a Task.",
	swarm.ParentsReplaced: "Parents replaced by better ones.",
	swarm.Conflicts:       "Peers put out because they contradicted a digest.",
}

// watch adds what is counted when it is asked for.
func (m *metrics) watch(reg prometheus.Registerer, s *Server) {
	if m == nil {
		return
	}
	gauge := func(name, help string, f func() int) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help},
			func() float64 { return float64(f()) }))
	}
	gauge("tasks", "Tasks known.", s.tasks.count)
	gauge("hosts", "Hosts known.", func() int { n, _ := s.hosts.counts(); return n })
	gauge("inventory_items", "Versions that hosts said to hold, summed over hosts.", s.inventory.count)
	gauge("sessions", "Hosts with a session.", func() int { _, n := s.hosts.counts(); return n })
}

func (m *metrics) count(c swarm.Counter, n int64) {
	if m != nil {
		m.counters[c].Add(float64(n))
	}
}

func (m *metrics) peers(d float64) {
	if m != nil {
		m.members.Add(d)
	}
}

func (m *metrics) registered() {
	if m != nil {
		m.register.Inc()
	}
}

func (m *metrics) resume() {
	if m != nil {
		m.resumes.Inc()
	}
}

func (m *metrics) recalled(n int) {
	if m != nil {
		m.recalls.Add(float64(n))
	}
}

func (m *metrics) movedOn(why string) {
	if m != nil {
		m.moved.WithLabelValues(why).Inc()
	}
}

func (m *metrics) asked(found bool) {
	if m == nil {
		return
	}
	answer := "none"
	if found {
		answer = "lives there"
	}
	m.asks.WithLabelValues(answer).Inc()
}

func (m *metrics) sessionEnded(why string) {
	if m != nil {
		m.sessions.WithLabelValues(why).Inc()
	}
}

func (m *metrics) woken(err error) {
	if m != nil {
		m.wakes.WithLabelValues(outcome(err == nil)).Inc()
	}
}

func (m *metrics) result(r *schedulerpb.ReportPeerResultRequest) {
	if m == nil {
		return
	}
	m.results.WithLabelValues(outcome(r.Success)).Inc()
	for source, n := range map[string]int64{"peers": r.BytesFromPeers, "origin": r.BytesFromOrigin, "cache": r.BytesFromCache} {
		m.delivered.WithLabelValues(source).Add(float64(max(n, 0)))
	}
}

func outcome(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}
