package store

import (
	"context"
	"io"
	"time"

	"damselfly/pieces"

	"github.com/sirupsen/logrus"
)

// maxInline is the most that Options.Inline may be: one piece.
const maxInline = pieces.MinPieceSize

// Defaults of Options.
const (
	// DefaultInline is small, since what is in the database is written again by
	// each compaction: with 256 KiB, 10,000 files of 4-64 KiB spent 37 % of a
	// daemon's processor time on that.
	DefaultInline    = 4 << 10
	DefaultCacheSize = 50 << 30
	DefaultHighWater = 0.95
	DefaultLowWater  = 0.90
	DefaultInterval  = 500 * time.Millisecond
	DefaultSaveEvery = 30 * time.Second
	DefaultCloseSync = 5 * time.Second
	// DefaultProbeTimeout is ample: a store of 50 GiB is read in under a second.
	DefaultProbeTimeout = 30 * time.Second
	DefaultSettle       = 60 * time.Second
	DefaultReopen       = 10 * time.Second
)

// Options are how a store is opened. Only Dir is required.
type Options struct {
	// Dir is the data directory; made if absent.
	Dir string
	// CacheSize is the most bytes of content kept; 0 means DefaultCacheSize.
	CacheSize int64
	// Reserve is the free space of the file system that is never used, in
	// bytes; 0 means 5 % of it but at most 10 GiB and at least 64 MiB (10 % of
	// a file system under 640 MiB); negative means none.
	Reserve int64
	// Inline is the largest content that is kept within the database, in bytes;
	// larger has a file of its own. 0 means DefaultInline; at most 256 KiB.
	Inline int64
	// HighWater starts an eviction and LowWater ends it; fractions of
	// CacheSize, 0 < LowWater ≤ HighWater ≤ 1.
	HighWater, LowWater float64
	// Interval is how often the janitor looks at usage and free space.
	Interval time.Duration
	// SaveEvery is how often changed access times are written.
	SaveEvery time.Duration
	// CloseSync bounds how long Close waits for written bytes to reach the
	// disk. If it is not enough the stop does not count as clean.
	CloseSync time.Duration
	// BootID names this boot of the machine; "" reads it from the kernel.
	BootID string
	// Now is the clock of access times; nil means time.Now.
	Now func() time.Time
	// Log may be nil. Credentials, URLs and names are never logged.
	Log *logrus.Entry
	// Disk is what the content files are kept on; nil means the file system.
	Disk Disk
	// Probe opens the database in dir before this process does, in another one
	// that may die of it; see ProbeBy. It is asked after anything but a clean
	// stop in this boot. An error moves the store aside, unless it is a
	// MachineFault. Nil means that the database is opened at once.
	Probe func(ctx context.Context, dir string) error
	// ProbeTimeout bounds Probe; when it is over the store counts as damaged.
	ProbeTimeout time.Duration
	// Settle is how long a run must live to count as a good one: after two in a
	// row that did not, the store is moved aside. Negative means never.
	Settle time.Duration
	// Reopen is how long a store that had to start without a disk waits before
	// it tries to open it again; each attempt that fails doubles it, up to
	// maxReopen times. Negative means never.
	Reopen time.Duration
	// Reopened is called when such an attempt was successful: Versions may be
	// held that were not before. It is called by the janitor, which does nothing
	// else until it returns, and must not call Close. May be nil.
	Reopened func()
	// BeforeEvict is told of held pieces before they go: because of eviction,
	// or because they failed verification. whole means that all of the Version
	// leaves. It is called with no lock held, from the janitor or from whoever
	// called Evict, ReadAt, Verify or Passthrough; it must not call Close or Put. May
	// be nil.
	BeforeEvict func(key pieces.Key, lost []pieces.Extent, whole bool)
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, pieces.Errorf(pieces.Invalid, "store: no data directory given")
	}
	setDefault(&o.CacheSize, DefaultCacheSize)
	setDefault(&o.Inline, DefaultInline)
	setDefault(&o.HighWater, DefaultHighWater)
	setDefault(&o.LowWater, min(DefaultLowWater, o.HighWater))
	setDefault(&o.Interval, DefaultInterval)
	setDefault(&o.SaveEvery, DefaultSaveEvery)
	setDefault(&o.CloseSync, DefaultCloseSync)
	setDefault(&o.ProbeTimeout, DefaultProbeTimeout)
	setDefault(&o.Settle, DefaultSettle)
	setDefault(&o.Reopen, DefaultReopen)
	if o.CacheSize < 0 {
		return o, pieces.Errorf(pieces.Invalid, "cache size %d is negative", o.CacheSize)
	}
	if o.Inline < 0 || o.Inline > maxInline {
		return o, pieces.Errorf(pieces.Invalid, "content of %d bytes can't be kept within the database: want 0 to %d", o.Inline, maxInline)
	}
	if !(0 < o.LowWater && o.LowWater <= o.HighWater && o.HighWater <= 1) {
		return o, pieces.Errorf(pieces.Invalid, "watermarks %v and %v: want 0 < low ≤ high ≤ 1", o.LowWater, o.HighWater)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	if o.Disk == nil {
		o.Disk = osDisk{}
	}
	if o.Reopened == nil {
		o.Reopened = func() {}
	}
	if o.BeforeEvict == nil {
		o.BeforeEvict = func(pieces.Key, []pieces.Extent, bool) {}
	}
	return o, nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// defaultReserve is the reserve of a file system of total bytes.
func defaultReserve(total int64) int64 {
	const floor = 64 << 20
	if total < 10*floor {
		return total / 10
	}
	return max(floor, min(total/20, 10<<30))
}
