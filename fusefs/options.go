package fusefs

import (
	"cmp"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// The defaults of Options.
const (
	DefaultReadDeadline   = 30 * time.Second
	DefaultLookupDeadline = 10 * time.Second
	DefaultTimeout        = 10 * time.Second
	DefaultNameTimeout    = time.Second
	DefaultInterruptGrace = time.Second
	DefaultFailureMemory  = time.Second
	DefaultReleaseGrace   = 5 * time.Millisecond
	DefaultReadAheadKiB   = 1024
	DefaultMaxBackground  = 4096
	DefaultSource         = "damselfly"
	fsSubtype             = "dfmount" // fuse.dfmount in /proc/mounts
	maxRequest            = 1 << 20   // bytes in one READ
)

// Options say what to mount where. The zero value of each field but Dir and
// Backend is a good one.
type Options struct {
	// Dir is the mount point, an existing directory.
	Dir     string
	Backend Backend
	// Source is the label in the first column of df and mount.
	Source string

	// ReadDeadline is how long a READ waits without progress (see
	// Progresser), LookupDeadline how long LOOKUP and OPEN wait at all.
	ReadDeadline, LookupDeadline time.Duration
	// Timeout is how long the kernel trusts entries and attributes. Misses
	// are never cached.
	Timeout time.Duration
	// NameTimeout is how long it trusts a link of by-name/: names come to mean
	// another file, or nothing.
	NameTimeout time.Duration
	// InterruptGrace is how old a signal that asks the program to end must be
	// to reach it as EINTR. Other signals never do: see endingSignals.
	InterruptGrace time.Duration
	// FailureMemory is how long a failed READ is answered without trying.
	FailureMemory time.Duration
	// ReleaseGrace is how long the open of a complete file waits for the
	// RELEASE of cached-mode handles that were just closed: the kernel sends
	// it behind close(2).
	ReleaseGrace time.Duration
	// ReadAheadKiB is the kernel's readahead window.
	ReadAheadKiB int
	// MaxBackground is how many buffered READs the kernel keeps under way;
	// beyond it every file of the mount waits for the slowest.
	MaxBackground int

	// NoPassthrough keeps every READ coming to us.
	NoPassthrough bool
	// ProbeDir is where the content files are, to find out at start if the
	// kernel takes such files for passthrough. Empty: the temporary directory.
	ProbeDir string
	// Private keeps other users out. Without root they are kept out anyway,
	// unless AllowOther asks for them, which /etc/fuse.conf has to allow.
	Private    bool
	AllowOther bool
	// UID and GID own what is not private to somebody; nil: who runs this
	// process. Umask is taken from the modes 0444 and 0555 of all that. The
	// kernel checks both.
	UID, GID *uint32
	Umask    uint32
	// Helper mounts with fusermount3 even as root.
	Helper bool

	// Tracer makes traces of lookups, opens and reads; nil makes none.
	Tracer *trace.Tracer
	// Log may be nil.
	Log *logrus.Entry
	// Registry may be nil. Metrics carry the label mount.
	Registry prometheus.Registerer
}

// withDefaults checks o and fills in what is not set.
func (o Options) withDefaults() (Options, error) {
	if o.Backend == nil {
		return o, pieces.Errorf(pieces.Invalid, "fusefs: no backend")
	}
	for _, d := range []struct {
		v   *time.Duration
		def time.Duration
	}{
		{&o.ReadDeadline, DefaultReadDeadline},
		{&o.LookupDeadline, DefaultLookupDeadline},
		{&o.Timeout, DefaultTimeout},
		{&o.NameTimeout, DefaultNameTimeout},
		{&o.InterruptGrace, DefaultInterruptGrace},
		{&o.FailureMemory, DefaultFailureMemory},
		{&o.ReleaseGrace, DefaultReleaseGrace},
	} {
		if *d.v < 0 {
			return o, pieces.Errorf(pieces.Invalid, "fusefs: a negative duration: %v", *d.v)
		}
		*d.v = cmp.Or(*d.v, d.def)
	}
	o.Source = cmp.Or(o.Source, DefaultSource)
	o.ReadAheadKiB = cmp.Or(o.ReadAheadKiB, DefaultReadAheadKiB)
	o.MaxBackground = cmp.Or(o.MaxBackground, DefaultMaxBackground)
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o, nil
}
