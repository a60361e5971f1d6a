package announce

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/pieces"
)

// Options configure a Client. Zero durations and counts mean the defaults named
// here.
type Options struct {
	// Managers are tried in turn; any of them can take any call.
	Managers []string
	// Schedulers is a static list. If not empty, the manager is not asked
	// for one.
	Schedulers []string
	// Host is this host as others shall see it. It keeps itself listed with
	// the manager.
	Host pieces.Host
	// Cluster is the manager's cluster for this host; empty = the manager
	// chooses.
	Cluster string
	// StateFile keeps the last scheduler list and dynamic config, so that a
	// daemon starts without its manager; empty = keep nothing.
	StateFile string

	// Load returns how many upload slots are in use; nil = 0.
	Load func() int
	// Inventory returns what this host holds of public Tasks, to be announced
	// to the schedulers that own them; nil = nothing.
	Inventory func() []InventoryItem

	// Resume takes part in a Version that the inventory names, because a
	// scheduler asks for it, and answers whether this host still holds some of
	// it; the registration may follow later. Nil = it never does. It may block.
	Resume func(ctx context.Context, key pieces.Key) bool

	// Heartbeat and Misses are how long a silent scheduler counts as alive
	// (1 s, 3). A scheduler may set the interval.
	Heartbeat time.Duration
	Misses    int
	// AnnounceEvery is how often a live scheduler hears of this host (30 s);
	// it may set the interval.
	AnnounceEvery time.Duration
	// InventoryEvery is how often schedulers are told what is held if it has
	// changed (5 min), beside every time that a scheduler goes or comes, in
	// calls of InventoryPage items (4,096).
	InventoryEvery time.Duration
	InventoryPage  int
	// A scheduler that was down is used again when it has answered for
	// ReturnAfter (1 s), twice as long each time after, up to ReturnMost (1
	// min), until it was in use for SteadyAfter (1 min).
	ReturnAfter, ReturnMost, SteadyAfter time.Duration
	// RefreshEvery is how often the manager is asked for schedulers (30 s).
	RefreshEvery time.Duration
	// KeepAliveEvery is how often this host calls the manager (5 s); it may set
	// the interval.
	KeepAliveEvery time.Duration
	// RetryEvery is the first pause after a failure (300 ms); it doubles up to
	// RetryMost (3 s).
	RetryEvery, RetryMost time.Duration
	// AttemptTimeout bounds one call to one scheduler or manager (1 s),
	// CallTimeout one call over all of them (2 s).
	AttemptTimeout, CallTimeout time.Duration
	// FactsTimeout bounds reading a Task's facts under a lease, and StatTask
	// when its context has no deadline (10 s).
	FactsTimeout time.Duration
	// Revalidations is how many facts are revalidated at once (16).
	Revalidations int
	// Resumes is how many Peers register again at once (16).
	Resumes int
	// BatchDelay and BatchPieces bound how long reports wait for company
	// (50 ms, 64).
	BatchDelay  time.Duration
	BatchPieces int
	// QueueLimit bounds what waits in one session's queue: extents, digests,
	// costs and messages together (65,536). Whatever does not fit ends the
	// session.
	QueueLimit int
	// EventLimit bounds the events waiting for one Peer's handler (1,024).
	EventLimit int
	// SessionIdle closes a session without Peers (60 s).
	SessionIdle time.Duration

	// Dialer makes connections; nil = TCP. Tests cut links with it.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
	Log    *logrus.Entry // nil = discard
}

// InventoryItem says that this host holds so many pieces of a Version.
type InventoryItem struct {
	Key    pieces.Key
	Pieces int
}

func (o Options) withDefaults() Options {
	for d, def := range map[*time.Duration]time.Duration{
		&o.Heartbeat: time.Second, &o.AnnounceEvery: 30 * time.Second, &o.RefreshEvery: 30 * time.Second,
		&o.KeepAliveEvery: 5 * time.Second, &o.RetryEvery: 300 * time.Millisecond, &o.RetryMost: 3 * time.Second,
		&o.AttemptTimeout: time.Second, &o.CallTimeout: 2 * time.Second, &o.FactsTimeout: 10 * time.Second,
		&o.InventoryEvery: 5 * time.Minute, &o.ReturnAfter: time.Second, &o.ReturnMost: time.Minute, &o.SteadyAfter: time.Minute,
		&o.BatchDelay: 50 * time.Millisecond, &o.SessionIdle: time.Minute,
	} {
		if *d <= 0 {
			*d = def
		}
	}
	for n, def := range map[*int]int{
		&o.Misses: 3, &o.Revalidations: 16, &o.Resumes: 16, &o.InventoryPage: 4096, &o.BatchPieces: 64, &o.QueueLimit: 1 << 16, &o.EventLimit: 1 << 10,
	} {
		if *n <= 0 {
			*n = def
		}
	}
	if o.Load == nil {
		o.Load = func() int { return 0 }
	}
	if o.Inventory == nil {
		o.Inventory = func() []InventoryItem { return nil }
	}
	if o.Resume == nil {
		o.Resume = func(context.Context, pieces.Key) bool { return false }
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}
