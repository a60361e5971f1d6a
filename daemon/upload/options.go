package upload

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// Options configure a Server. Zero values mean the defaults named here.
type Options struct {
	Backend Backend

	// Slots is how many answers are sent at once (64).
	Slots int
	// BulkSlots is how many of these are not Urgent (10, at most Slots; fewer while
	// answers take long); one more is refused at once. With few, each leaves soon
	// and can be passed on, and readers who wait find the rest free.
	BulkSlots int
	// MaxConns bounds open connections as rpc.LimitConns does: one more takes
	// the place of the most silent one (1024).
	MaxConns int
	// Rate limits all uploads together; nil = unlimited.
	Rate Limiter
	// TaskRate returns the limiter of one Task; it and its answer may be nil.
	TaskRate func(pieces.TaskID) Limiter

	// MaxWait caps X-Df-Wait and the wait for each later chunk (30 s).
	MaxWait time.Duration
	// OpenTimeout is what Open and the first chunk may take beyond the wait
	// that was asked for (5 s).
	OpenTimeout time.Duration
	// HeaderTimeout is how long a client may take to send its request (5 s).
	HeaderTimeout time.Duration
	// IdleTimeout closes connections without a request (90 s).
	IdleTimeout time.Duration
	// WriteTimeout is how long a client may take to accept 256 KiB (30 s).
	WriteTimeout time.Duration
	// RetryAfter is the hint sent when all slots are taken (100 ms).
	RetryAfter time.Duration
	// StopTimeout is how long answers under way may go on when Serve's
	// context has ended (2 s).
	StopTimeout time.Duration

	Tracer   *trace.Tracer         // goes on with the traces of askers; nil ignores them
	Registry prometheus.Registerer // nil = no metrics
	Log      *logrus.Entry         // nil = discard
}

func (o Options) withDefaults() Options {
	orInt(&o.Slots, 64)
	orInt(&o.BulkSlots, 10)
	o.BulkSlots = min(o.BulkSlots, o.Slots)
	orInt(&o.MaxConns, 1024)
	orTime(&o.MaxWait, 30*time.Second)
	orTime(&o.OpenTimeout, 5*time.Second)
	orTime(&o.HeaderTimeout, 5*time.Second)
	orTime(&o.IdleTimeout, 90*time.Second)
	orTime(&o.WriteTimeout, 30*time.Second)
	orTime(&o.RetryAfter, 100*time.Millisecond)
	orTime(&o.StopTimeout, 2*time.Second)
	if o.TaskRate == nil {
		o.TaskRate = func(pieces.TaskID) Limiter { return nil }
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

func orInt(v *int, def int) {
	if *v <= 0 {
		*v = def
	}
}

func orTime(v *time.Duration, def time.Duration) {
	if *v <= 0 {
		*v = def
	}
}
