package fusefs

import (
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// metrics of one mount. Without a registry they count all the same.
type metrics struct {
	readCount, openCount atomic.Int64

	reads     prometheus.Histogram
	readBytes prometheus.Counter
	opens     *prometheus.CounterVec
	errors    *prometheus.CounterVec
	panics    prometheus.Counter
	handles   prometheus.GaugeFunc

	unregister func()
}

func newMetrics(r prometheus.Registerer, dir string) *metrics {
	m := &metrics{
		reads: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "damselfly_fuse_read_seconds", Help: "Time to answer one READ request.",
			Buckets: prometheus.ExponentialBuckets(16e-6, 4, 12), // 16 µs … 67 s
		}),
		readBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "damselfly_fuse_read_bytes_total", Help: "Bytes handed to the kernel; passthrough is not seen.",
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
	for _, c := range []prometheus.Collector{m.reads, m.readBytes, m.opens, m.errors, m.panics, m.handles} {
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

// read counts an answered READ.
func (m *metrics) read(began time.Time, n int, errno syscall.Errno) {
	m.readCount.Add(1)
	m.reads.Observe(time.Since(began).Seconds())
	m.readBytes.Add(float64(n))
	m.failed("read", errno)
}

// failed counts errno, unless it is 0, and returns it.
func (m *metrics) failed(op string, errno syscall.Errno) syscall.Errno {
	if errno != 0 {
		m.errors.WithLabelValues(op, unix.ErrnoName(errno)).Inc()
	}
	return errno
}
