package fusefs

import (
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// metrics of one mount. Without a registry they count all the same.
type metrics struct {
	readCount, openCount atomic.Int64

	// readTimes and readBytes are the members of reads and bytes.
	reads     *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	readTimes [pieces.Hits]prometheus.Observer
	readBytes [pieces.Hits]prometheus.Counter
	firstByte prometheus.Histogram
	opens     *prometheus.CounterVec
	errors    *prometheus.CounterVec
	panics    prometheus.Counter
	handles   prometheus.GaugeFunc

	unregister func()
}

// readBuckets are 16 µs … 67 s.
var readBuckets = prometheus.ExponentialBuckets(16e-6, 4, 12)

func newMetrics(r prometheus.Registerer, dir string) *metrics {
	m := &metrics{
		reads: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "damselfly_fuse_read_seconds", Help: "Time to answer one READ request, by the farthest place its bytes came from; none: it failed.",
			Buckets: readBuckets,
		}, []string{"hit"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_fuse_read_bytes_total", Help: "Bytes handed to the kernel, by where they came from; passthrough is not seen.",
		}, []string{"hit"}),
		firstByte: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "damselfly_fuse_first_byte_seconds", Help: "Time that an open and its first READ took together.",
			Buckets: readBuckets,
		}),
		opens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_fuse_opens_total", Help: "Opens of files by mode.",
		}, []string{"mode"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "damselfly_fuse_errors_total", Help: "Requests answered with an error.",
		}, []string{"op", "errno"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "damselfly_fuse_panics_total", Help: "Handlers that panicked.",
		}),
	}
	for h := pieces.HitNone; h < pieces.Hits; h++ {
		m.readTimes[h], m.readBytes[h] = m.reads.WithLabelValues(h.String()), m.bytes.WithLabelValues(h.String())
	}
	m.handles = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "damselfly_fuse_open_handles", Help: "Handles of files that are open.",
	}, func() float64 { return float64(m.openCount.Load()) })
	m.register(r, dir)
	return m
}

// register adds all metrics to r, which may be nil, with the label mount.
func (m *metrics) register(r prometheus.Registerer, dir string) {
	m.unregister = func() {}
	if r == nil {
		return
	}
	r = prometheus.WrapRegistererWith(prometheus.Labels{"mount": dir}, r)
	var registered []prometheus.Collector
	for _, c := range []prometheus.Collector{m.reads, m.bytes, m.firstByte, m.opens, m.errors, m.panics, m.handles} {
		if r.Register(c) == nil {
			registered = append(registered, c)
		}
	}
	m.unregister = func() {
		for _, c := range registered {
			r.Unregister(c)
		}
	}
}

// close takes the metrics out of the registry, for a later mount on the same
// directory.
func (m *metrics) close() { m.unregister() }

// read counts an answered READ of n bytes, of which from says where they were;
// those it does not say count as pieces.HitNone.
func (m *metrics) read(took time.Duration, n int, from *pieces.HitBytes, errno syscall.Errno) {
	m.readCount.Add(1)
	m.readTimes[from.Farthest()].Observe(took.Seconds())
	for h, k := range from {
		if k > 0 {
			m.readBytes[h].Add(float64(k))
		}
	}
	if unknown := int64(n) - from.Total(); unknown > 0 {
		m.readBytes[pieces.HitNone].Add(float64(unknown))
	}
	m.failed("read", errno)
}

// failed counts errno, unless it is 0, and returns it.
func (m *metrics) failed(op string, errno syscall.Errno) syscall.Errno {
	if errno != 0 {
		m.errors.WithLabelValues(op, unix.ErrnoName(errno)).Inc()
	}
	return errno
}
