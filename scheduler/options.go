package scheduler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"

	"damselfly/proto/rpc"
	"damselfly/proto/trace"
	"damselfly/scheduler/rules"
	"damselfly/scheduler/swarm"
)

// Options of a Server. The zero value of a number, timing or limit is its
// default.
type Options struct {
	// Advertise is the address at which daemons reach this scheduler,
	// HOST:PORT: its name on the ring and with the manager.
	Advertise string
	// Managers are tried in turn; empty = none.
	Managers []string
	// Cluster is the one this scheduler registers with; empty = "default".
	Cluster string
	// StateFile keeps what the manager said last (config, ring, seeds), so that
	// this scheduler starts without it; empty = keep nothing.
	StateFile string
	// Peers are all schedulers of the ring, this one included or not, by the
	// addresses that hosts know them by. Empty = those that the manager lists;
	// without either whoever asks is taken as sent to the right one.
	Peers []string
	// SeedPeers are Peer services of seeds that need not announce themselves.
	SeedPeers []string
	// Swarm are the rules; nil = swarm.Defaults.
	Swarm *swarm.Options

	// Heartbeat both ways on sessions; Misses of them in a row end one.
	Heartbeat time.Duration
	Misses    int
	// HelloTimeout is how long a stream may take to say who it is.
	HelloTimeout time.Duration
	// QueueLength bounds the messages waiting for one session.
	QueueLength int
	// AnnounceEvery is what hosts are told; a host without session that was
	// not heard for HostTTL is forgotten.
	AnnounceEvery, HostTTL time.Duration
	// KeepAlive at the manager, until it says another interval.
	KeepAlive time.Duration
	// OrderEvery is how often access orders that have grown are told to the
	// manager's catalogue, and those not known asked for once more; OrderMost
	// bounds the calls of one round.
	OrderEvery time.Duration
	OrderMost  int
	// ResolveEvery is how often names of SeedPeers are looked up.
	ResolveEvery time.Duration
	// Wakers is how many seeds are woken at once.
	Wakers int

	// YoungFor: a scheduler that began so short a time ago asks the others
	// before it lets somebody begin a Task.
	YoungFor time.Duration
	// AskTimeout bounds a question to the others of the ring.
	AskTimeout time.Duration
	// RecallEvery is the least time between two rounds in which hosts that hold
	// some of a Task are asked to take part; RecallMost bounds the holders
	// brought in so.
	RecallEvery time.Duration
	RecallMost  int
	// HandBackAfter: the owner of a Task has to answer for so long before an
	// idle swarm is handed back to it. HandBackEvery is how often it is asked.
	HandBackAfter, HandBackEvery time.Duration

	// OriginsApart: each Task finds out for itself whether its origin asks to be
	// left alone, as where one address serves what has nothing to do with each
	// other.
	OriginsApart bool

	// Limits until the cluster's config sets others.
	Limits rules.Limits

	// Dial is for connections to managers and seeds.
	Dial rpc.DialOptions
	// Tracer makes spans of traced wants and wakes; nil makes none, and traces go
	// on to the seeds all the same.
	Tracer   *trace.Tracer
	Registry prometheus.Registerer // nil keeps no metrics
	Log      *logrus.Entry         // nil discards
}

func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

func (o Options) withDefaults() Options {
	if o.Swarm == nil {
		d := swarm.Defaults()
		o.Swarm = &d
	}
	or(&o.Cluster, "default")
	or(&o.Heartbeat, rpc.DefaultBeat)
	or(&o.Misses, rpc.DefaultMisses)
	or(&o.HelloTimeout, 5*time.Second)
	or(&o.QueueLength, 1024)
	or(&o.AnnounceEvery, 10*time.Second)
	or(&o.HostTTL, time.Minute)
	or(&o.KeepAlive, 5*time.Second)
	or(&o.OrderEvery, 30*time.Second)
	or(&o.OrderMost, 256)
	or(&o.ResolveEvery, 30*time.Second)
	or(&o.Wakers, 32)
	or(&o.YoungFor, 30*time.Second)
	or(&o.AskTimeout, 300*time.Millisecond)
	or(&o.RecallEvery, 2*time.Second)
	or(&o.RecallMost, 64)
	or(&o.HandBackAfter, 30*time.Second)
	or(&o.HandBackEvery, 5*time.Second)
	most := rules.DefaultLimits()
	or(&o.Limits.MaxTasks, most.MaxTasks)
	or(&o.Limits.MaxHosts, most.MaxHosts)
	or(&o.Limits.MaxTasksPerHost, most.MaxTasksPerHost)
	or(&o.Limits.MaxInventory, most.MaxInventory)
	or(&o.Limits.MaxOrigins, most.MaxOrigins)
	if o.Log == nil {
		o.Log = discard()
	}
	return o
}
