package engine

import (
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/daemon/announce"
	"damselfly/daemon/picker"
	"damselfly/daemon/readahead"
	"damselfly/daemon/source"
	"damselfly/pieces"
	"damselfly/pieces/store"
	"damselfly/proto/trace"
)

// Options configure an Engine. Host, Store and Origin are required; zero
// fields take their defaults.
type Options struct {
	Host   pieces.Host
	Store  *store.Store
	Origin source.Origin
	// Announce speaks with schedulers; nil = none configured.
	Announce *announce.Client
	// Memory bounds piece buffers, bytes (default 128 MiB).
	Memory int64
	// DownloadRate limits bytes per second from other hosts; 0 = none.
	DownloadRate int64
	Picker       picker.Config
	Readahead    readahead.Config
	// AheadBudget bounds the bytes that the windows of all readers reach ahead
	// (default 256 MiB); OrderAhead how far one content is fetched ahead along an
	// access order (default 256 MiB; negative: not at all).
	AheadBudget, OrderAhead int64
	// ReadDeadline: a read fails after this long without a verified byte of
	// its content (default 30 s).
	ReadDeadline time.Duration
	// AloneAfter: without a scheduler for this long, the origin is read
	// without a lease (default 4 s).
	AloneAfter time.Duration
	// RegisterTimeout bounds one registration (default 3 s), RegisterRetry is
	// the pause after a failed one (default 3 s).
	RegisterTimeout, RegisterRetry time.Duration
	// Without a scheduler an origin that fails is left alone for RestMin
	// (default 500 ms), twice as long each time, or as long as it asks for, but
	// never longer than RestMax (default 20 s); for ErrorRest (default 2 s)
	// after an error that will not go away by itself.
	RestMin, RestMax, ErrorRest time.Duration
	// BrokenFor is how long content that did not match its pinned digest is not
	// read again (default 10 s).
	BrokenFor time.Duration
	// Tick re-examines contents that somebody waits for (default 1 s).
	Tick time.Duration
	// NeighbourWait is how long a request may wait at a neighbour that still
	// fetches the piece (default 1 s).
	NeighbourWait time.Duration
	// A piece that takes longer than the 95th percentile of the last ones is
	// asked of another neighbour, but not before HedgeMin (default 50 ms), and
	// after HedgeMax at the latest (default 2 s); HedgeStart is used while few
	// pieces have come (default 500 ms).
	HedgeMin, HedgeMax, HedgeStart time.Duration
	// UnknownWait is how long a neighbour's call waits for a Task not known
	// here yet (default 1 s).
	UnknownWait time.Duration
	// LinkIdle: streams between hosts that both hold everything end after this
	// long without use (default 30 s).
	LinkIdle time.Duration
	// OriginExtent bounds one read of the origin, bytes (default 16 MiB).
	OriginExtent int64
	// SpoolDir takes content that must be read whole before it has a Version.
	SpoolDir string
	// MaxContents kept in memory (default 4096); the longest idle ones leave.
	MaxContents int
	// Replaced is told when a scheduler or the origin shows newer facts.
	Replaced func(pieces.TaskID, pieces.Facts)
	// Prefix takes the leading bytes kept when the facts were read, or nil.
	Prefix func(pieces.Key) []byte
	// Tracer makes the spans of what is done for traced readers; nil = none.
	Tracer *trace.Tracer
	Log    *logrus.Entry
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.ReadDeadline, 30*time.Second)
	def(&o.AloneAfter, 4*time.Second)
	def(&o.RegisterTimeout, 3*time.Second)
	def(&o.RegisterRetry, 3*time.Second)
	def(&o.RestMin, 500*time.Millisecond)
	def(&o.RestMax, 20*time.Second)
	def(&o.ErrorRest, 2*time.Second)
	def(&o.BrokenFor, 10*time.Second)
	def(&o.Tick, time.Second)
	def(&o.NeighbourWait, time.Second)
	def(&o.HedgeMin, 50*time.Millisecond)
	def(&o.HedgeMax, 2*time.Second)
	def(&o.HedgeStart, 500*time.Millisecond)
	def(&o.UnknownWait, time.Second)
	def(&o.LinkIdle, 30*time.Second)
	if o.Memory == 0 {
		o.Memory = 128 << 20
	}
	if o.AheadBudget == 0 {
		o.AheadBudget = 256 << 20
	}
	if o.OrderAhead == 0 {
		o.OrderAhead = 256 << 20
	}
	if o.OriginExtent == 0 {
		o.OriginExtent = 16 << 20
	}
	if o.MaxContents == 0 {
		o.MaxContents = 4096
	}
	if o.Replaced == nil {
		o.Replaced = func(pieces.TaskID, pieces.Facts) {}
	}
	if o.Prefix == nil {
		o.Prefix = func(pieces.Key) []byte { return nil }
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetLevel(logrus.PanicLevel)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// picker is the config of this host's pickers.
func (o *Options) picker() picker.Config {
	c := o.Picker
	c.Self, c.Place = o.Host.ID, o.Host.IDC
	return c
}
