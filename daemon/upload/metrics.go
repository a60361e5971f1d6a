package upload

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// statusCut counts answers that began and were cut off.
const statusCut = 0

type metrics struct {
	bytes    prometheus.Counter
	requests *prometheus.CounterVec
}

// newMetrics registers the server's metrics; with a nil registry they are
// counted and seen by nobody.
func newMetrics(reg prometheus.Registerer, s *Server) (*metrics, error) {
	m := &metrics{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "damselfly_upload_bytes_total", Help: "Content bytes sent to other hosts."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_upload_requests_total", Help: "Requests for bytes by status; \"cut\" = began and was cut off."}, []string{"code"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.bytes, m.requests,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "damselfly_upload_sendfile_bytes_total", Help: "Content bytes that went by sendfile."},
			func() float64 { return float64(s.sent.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "damselfly_upload_slots_in_use", Help: "Upload slots in use."},
			func() float64 { return float64(s.inUse.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "damselfly_upload_slots", Help: "Upload slots in all."},
			func() float64 { return float64(s.opts.Slots) }),
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) sentBytes(n int64) { m.bytes.Add(float64(n)) }

func (m *metrics) answered(code int) {
	label := "cut"
	if code != statusCut {
		label = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(label).Inc()
}
