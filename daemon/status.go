package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/prometheus/client_golang/prometheus"

	"damselfly/daemon/announce"
	"damselfly/daemon/engine"
	"damselfly/pieces"
)

// StatusText is this host at a glance, without network.
func (d *Daemon) StatusText() []byte {
	s, err := d.Control().Status(context.Background())
	if err != nil {
		return []byte("damselfly: " + err.Error() + "\n")
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("damselfly", "%s, up %v", s.Version, d.uptime())
	line("host", "%s (%s)", s.Host.ID, s.Host.Hostname)
	for _, sch := range s.Schedulers {
		state := "not connected"
		if sch.Connected {
			state = "connected"
		}
		line("scheduler", "%s, %s", sch.Address, state)
	}
	for _, m := range s.Managers {
		line("manager", "%s", m)
	}
	caching := ""
	if !s.Caching {
		caching = ", no room: not caching"
	}
	line("cache", "%d of %d bytes in %s, %d free on its disk%s", s.CacheUsed, s.CacheSize, s.DataDir, s.DiskFree, caching)
	line("tasks", "%d, %d open handles, %d uploads", s.Tasks, s.OpenHandles, s.Uploads)
	t := s.Traffic
	line("bytes", "origin=%d peers=%d seeds=%d cache=%d uploaded=%d", t.Origin, t.Peers, t.Seeds, t.Cache, t.Uploaded)
	w.Flush()
	return b.Bytes()
}

// TaskJSON describes one Task, without network; NotFound if it is not here.
func (d *Daemon) TaskJSON(id pieces.TaskID) ([]byte, error) {
	info, err := d.Control().Info(context.Background(), id)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(info, "", "  ")
	return append(b, '\n'), err
}

// Traffic returns the bytes of all Tasks since the start.
func (d *Daemon) Traffic() engine.Traffic { return d.engine.Traffic() }

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
		gauge("disk_free_bytes", "Free bytes on the cache's file system.", func() int64 { return d.store.Usage().DiskFree }),
		gauge("open_handles", "Open files.", func() int64 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return int64(d.handles)
		}),
	)
}
