package daemon

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"damselfly/daemon/announce"
	"damselfly/daemon/engine"
	"damselfly/pieces"
)

// Traffic returns the bytes of all Tasks since the start.
func (d *Daemon) Traffic() engine.Traffic { return d.engine.Traffic() }

// Reads returns what programs read since the start.
func (d *Daemon) Reads() engine.Reads { return d.engine.Reads() }

// registerMetrics is the one list of the daemon's own metrics; its parts
// register theirs.
func (d *Daemon) registerMetrics() {
	bytes := func(source string, get func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "damselfly", Subsystem: "daemon", Name: "bytes_total",
			Help:        "Verified bytes by where they came from; uploaded: bytes sent to other hosts.",
			ConstLabels: prometheus.Labels{"source": source},
		}, func() float64 { return float64(get()) })
	}
	gauge := func(name, help string, get func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "damselfly", Subsystem: "daemon", Name: name, Help: help,
		}, func() float64 { return float64(get()) })
	}
	failover := func(name, help string, get func(announce.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "damselfly", Subsystem: "daemon", Name: name, Help: help,
		}, func() float64 { return float64(get(d.announce.Stats())) })
	}
	d.registerReads()
	d.o.Registry.MustRegister(
		failover("scheduler_failovers_total", "Tasks taken to another scheduler because theirs was lost.",
			func(s announce.Stats) uint64 { return s.Failovers }),
		failover("scheduler_moves_total", "Tasks that one scheduler sent to another.",
			func(s announce.Stats) uint64 { return s.Moved }),
		failover("scheduler_sessions_lost_total", "Sessions with schedulers that broke.",
			func(s announce.Stats) uint64 { return s.SessionsLost }),
		bytes("origin", func() int64 { return d.engine.Traffic().Origin }),
		bytes("peers", func() int64 { return d.engine.Traffic().Peers }),
		bytes("seeds", func() int64 { return d.engine.Traffic().Seeds }),
		bytes("cache", func() int64 { return d.engine.Traffic().Cache }),
		bytes("uploaded", func() int64 { return d.engine.Traffic().Uploaded }),
		gauge("memory_bytes", "Bytes of piece buffers in use.", d.engine.MemoryInUse),
		gauge("cache_bytes", "Bytes held in the cache.", func() int64 { return d.store.Usage().Used }),
		gauge("removed_open_bytes", "Disk space of evicted files that are open somewhere, free when they are closed.",
			func() int64 { return d.store.Usage().RemovedBytes }),
		gauge("disk_free_bytes", "Free bytes on the cache's file system.", func() int64 { return d.store.Usage().DiskFree }),
		gauge("open_handles", "Open files.", func() int64 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return int64(d.handles)
		}),
	)
}

// registerReads registers what programs read, and what that cost.
func (d *Daemon) registerReads() {
	counter := func(name, help string, labels prometheus.Labels, get func(engine.Reads) float64) {
		d.o.Registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "damselfly", Subsystem: "daemon", Name: name, Help: help, ConstLabels: labels,
		}, func() float64 { return get(d.engine.Reads()) }))
	}
	for h := pieces.HitNone; h < pieces.Hits; h++ {
		hit := prometheus.Labels{"hit": h.String()}
		counter("reads_total", "READs of programs by the farthest place that their bytes came from; none: they failed.", hit,
			func(r engine.Reads) float64 { return float64(r.Count[h]) })
		if h != pieces.HitNone {
			counter("read_bytes_total", "Bytes that READs of programs asked for and got, by where they were.", hit,
				func(r engine.Reads) float64 { return float64(r.Bytes[h]) })
		}
	}
	counter("stalls_total", "Reads that found a piece missing.", nil, func(r engine.Reads) float64 { return float64(r.Stalls) })
	counter("stall_seconds_total", "Time that reads waited for missing pieces, in sum.", nil,
		func(r engine.Reads) float64 { return r.Stalled.Seconds() })
	gauge := func(name, help string, get func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "damselfly", Subsystem: "daemon", Name: name, Help: help}, get)
	}
	d.o.Registry.MustRegister(
		gauge("read_amplification", "Bytes fetched over bytes that READs of programs asked for, since the start; 0 before the first. Downloads and warming count as fetched.",
			func() float64 { return amplification(d.engine.Traffic(), d.engine.Reads()) }),
		gauge("origin_copies", "Bytes read from origins over the sizes of the contents in memory. Summed over all hosts that read one file: how often its origin sent it.",
			d.originCopies),
	)
}

// amplification is bytes fetched per byte asked for; 0 if none was.
func amplification(t engine.Traffic, r engine.Reads) float64 {
	asked := r.Bytes.Total()
	if asked == 0 {
		return 0
	}
	return float64(t.Origin+t.Peers+t.Seeds) / float64(asked)
}

// originCopies is bytes from origins per byte of the contents in memory.
func (d *Daemon) originCopies() float64 {
	var sent, size int64
	for _, c := range d.engine.Contents() {
		sent += c.Traffic().Origin
		size += c.Geometry().Size
	}
	if size == 0 {
		return 0
	}
	return float64(sent) / float64(size)
}

// readsText is the value of user.df.reads: bytes by where they were, and what
// programs waited for.
func readsText(r engine.Reads) string {
	s := ""
	for h := pieces.HitInline; h < pieces.Hits; h++ {
		s += fmt.Sprintf("%v=%d ", h, r.Bytes[h])
	}
	return s + fmt.Sprintf("stalls=%d stalled_ms=%d", r.Stalls, r.Stalled.Milliseconds())
}
