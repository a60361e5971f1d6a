package daemon

import (
	"io"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"damselfly/daemon/announce"
	"damselfly/daemon/engine"
	"damselfly/daemon/source"
	"damselfly/pieces/store"
	"damselfly/proto/trace"
)

// Options configure a Daemon. DataDir and the two listeners are required; zero
// fields take their defaults.
type Options struct {
	// DataDir keeps the host's identity, the cache and the catalogue.
	DataDir string
	// AdvertiseIP is where other hosts reach the listeners; with none, the
	// address of PeerListen is used.
	AdvertiseIP string
	// PeerListen serves the gRPC Peer service, UploadListen the pieces. The
	// daemon closes them.
	PeerListen, UploadListen net.Listener
	Seed                     bool
	Managers, Schedulers     []string
	CacheSize                int64 // bytes; 0 = the store's default
	// Bytes per second over all Tasks; 0 = unlimited.
	UploadRate, DownloadRate, OriginRate int64
	UploadSlots                          int // answers sent at once (default 64)
	IDC, Location                        string
	Labels                               map[string]string
	Memory                               int64 // bytes of piece buffers; 0 = the engine's default
	// Version of the software, for people.
	Version string

	// FactsTimeout bounds how long a lookup waits for facts (default 10 s).
	FactsTimeout time.Duration
	// FactsFresh is how long facts count as current (default 60 s);
	// SumFresh the same for content without a validator (default 10 min).
	FactsFresh, SumFresh time.Duration
	// SpoolTimeout bounds reading content whole to learn its Version
	// (default 1 h); lookups wait for it up to FactsTimeout.
	SpoolTimeout time.Duration
	// FailureMemo is how long a failed lookup is remembered (default 1 s). While
	// an origin keeps failing it doubles, and a Retry-After is kept to, but no
	// longer than MaxMemo (default 20 s).
	FailureMemo, MaxMemo time.Duration
	// LeaveTimeout bounds saying goodbye at the end (default 2 s).
	LeaveTimeout time.Duration

	// The parts' own options; what is named above overrides their fields.
	Engine   engine.Options
	Announce announce.Options
	Store    store.Options
	Source   source.HTTPOptions
	Retry    source.RetryOptions
	// Rest is how an origin is left alone that answers 429 or 503, by all Tasks.
	Rest source.RestOptions

	// Tracer makes the spans of what is done for traced readers, here and on
	// other hosts; nil makes none.
	Tracer   *trace.Tracer
	Registry *prometheus.Registry
	Log      *logrus.Entry
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.FactsTimeout, 10*time.Second)
	def(&o.FactsFresh, time.Minute)
	def(&o.SumFresh, 10*time.Minute)
	def(&o.SpoolTimeout, time.Hour)
	def(&o.FailureMemo, time.Second)
	def(&o.MaxMemo, 20*time.Second)
	def(&o.LeaveTimeout, 2*time.Second)
	if o.UploadSlots == 0 {
		o.UploadSlots = 64
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}
