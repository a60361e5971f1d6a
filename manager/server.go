package manager

import (
	"context"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// Defaults of a Server.
const (
	DefaultKeepAlive  = 5 * time.Second
	DefaultMisses     = 3
	DefaultFlushEvery = time.Second
	DefaultForget     = 24 * time.Hour
)

// Options of a Server; only Store must be set.
type Options struct {
	// Store is the open database; the caller closes it after Run.
	Store *store.Store
	// KeepAlive is how often nodes are told to say that they live, and Misses
	// after how many silent KeepAlives one is inactive and no longer listed.
	KeepAlive time.Duration
	Misses    int
	// FlushEvery is how often what nodes said is written.
	FlushEvery time.Duration
	// Forget is after how long an inactive node is deleted.
	Forget time.Duration
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log: nil discards. Registry: nil keeps no metrics.
	Log      *logrus.Entry
	Registry prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.KeepAlive <= 0 {
		o.KeepAlive = DefaultKeepAlive
	}
	if o.Misses <= 0 {
		o.Misses = DefaultMisses
	}
	if o.FlushEvery <= 0 {
		o.FlushEvery = DefaultFlushEvery
	}
	if o.Forget <= 0 {
		o.Forget = DefaultForget
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		l := logrus.New()
		l.SetOutput(io.Discard)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// Server is the Manager service. All methods may be called at the same time.
type Server struct {
	managerpb.UnimplementedManagerServer
	opts  Options
	store *store.Store
	nodes *nodes
	log   *logrus.Entry
}

// firstQuery bounds the one question that New asks the database.
const firstQuery = 5 * time.Second

// New makes a Server on an open store.
func New(o Options) (*Server, error) {
	if o.Store == nil {
		return nil, pieces.Errorf(pieces.Invalid, "a manager needs a store")
	}
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(context.Background(), firstQuery)
	defer cancel()
	last, err := o.Store.LastSeen(ctx)
	if err != nil {
		return nil, err
	}
	limit := time.Duration(o.Misses) * o.KeepAlive
	return &Server{
		opts:  o,
		store: o.Store,
		nodes: newNodes(o.Store, limit, o.Now, last, o.Log, newMetrics(o.Registry)),
		log:   o.Log,
	}, nil
}

// Register offers the Manager service on r.
func (s *Server) Register(r grpc.ServiceRegistrar) { managerpb.RegisterManagerServer(r, s) }

// Ready returns an error unless the database answers.
func (s *Server) Ready(ctx context.Context) error { return s.store.Ping(ctx) }

// flushTimeout bounds the writing of one batch.
const flushTimeout = 5 * time.Second

// Run writes what nodes said every FlushEvery, and forgets dead nodes, until
// ctx ends; then it writes once more and returns nil. A database that fails is
// logged and tried again.
func (s *Server) Run(ctx context.Context) error {
	flush, forget := time.NewTicker(s.opts.FlushEvery), time.NewTicker(s.opts.Forget/24)
	defer flush.Stop()
	defer forget.Stop()
	for {
		select {
		case <-flush.C:
			s.flush(ctx)
		case <-forget.C:
			if err := s.store.Forget(ctx, s.opts.Now().Add(-s.opts.Forget)); err != nil && ctx.Err() == nil {
				s.log.WithError(err).Warn("dead nodes are not forgotten yet")
			}
		case <-ctx.Done():
			s.flush(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (s *Server) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	s.nodes.flush(ctx)
}
