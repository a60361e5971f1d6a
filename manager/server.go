package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"

	"damselfly/manager/jobs"
	"damselfly/manager/people"
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
	DefaultConfigPoll = 400 * time.Millisecond
	DefaultAnswerTTL  = time.Second
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
	// ConfigPoll is how often changes that other managers made to clusters are
	// looked for; watchers of a config hear of them that much later.
	ConfigPoll time.Duration
	// AnswerTTL is how long what the catalogue said of an id or name, that it
	// is unknown included, is remembered.
	AnswerTTL time.Duration
	// Jobs tunes the engine of jobs; Store, Hosts, Owner, Since and the
	// callbacks are set here.
	Jobs jobs.Options
	// Peers is how jobs reach hosts.
	Peers jobs.Peers
	// Version of the software, for people.
	Version string
	// People tunes sessions and logins; Store, Now and Log are set here.
	People people.Options
	// LocalAdmin takes callers on this machine that show neither session nor
	// token for administrators: whoever can open a connection here then may do
	// all.
	LocalAdmin bool
	// URL is how browsers reach this manager (https://…); may be empty. With
	// https their cookies are sent over TLS alone.
	URL string
	// SSO is offered by the console's login page.
	SSO SSO
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log: nil discards. Registry: nil keeps no metrics.
	Log      *logrus.Entry
	Registry prometheus.Registerer
}

// SSO is a login elsewhere: where browsers begin it on this server, and how
// people call it. Zero: there is none.
type SSO struct{ Path, Name string }

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
	if o.ConfigPoll <= 0 {
		o.ConfigPoll = DefaultConfigPoll
	}
	if o.AnswerTTL <= 0 {
		o.AnswerTTL = DefaultAnswerTTL
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

// Server is the Manager service, and with Admin the Admin service. All methods
// may be called at the same time.
type Server struct {
	managerpb.UnimplementedManagerServer
	opts      Options
	store     *store.Store
	nodes     *nodes
	directory *directory
	answers   *answers
	glances   *glances
	jobs      *jobs.Engine
	people    *people.People
	metrics   *metrics
	log       *logrus.Entry
}

// firstQuery bounds what New asks the database.
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
	s := &Server{opts: o, store: o.Store, metrics: newMetrics(o.Registry), log: o.Log}
	s.nodes = newNodes(o.Store, limit, o.Now, last, o.Log, s.metrics)
	s.directory = newDirectory(o.Store, s.nodes.activeSince, o.Log)
	s.answers = newAnswers(o.AnswerTTL, o.Now)
	s.glances = newGlances(o.Now)
	s.people = s.newPeople()
	s.jobs = s.newEngine()
	return s, s.directory.refresh(ctx)
}

func (s *Server) newPeople() *people.People {
	o := s.opts.People
	o.Store, o.Now, o.Log = s.store, s.opts.Now, s.log.WithField("part", "people")
	o.Login = s.metrics.login
	return people.New(o)
}

// People answers who callers are.
func (s *Server) People() *people.People { return s.people }

func (s *Server) newEngine() *jobs.Engine {
	o := s.opts.Jobs
	o.Store, o.Hosts, o.Owner = s.store, s.opts.Peers, ownerName()
	o.Since, o.Changed, o.Ended = s.nodes.activeSince, s.answers.forget, s.metrics.jobEnded
	o.Now, o.Log = s.opts.Now, s.log.WithField("part", "jobs")
	return jobs.New(o)
}

// ownerName names this manager in the jobs it runs; it is another one after
// each start.
func ownerName() string {
	name, _ := os.Hostname()
	return fmt.Sprintf("%s-%08x", name, rand.Uint32())
}

// Register offers the Manager service on r: for schedulers and daemons.
func (s *Server) Register(r grpc.ServiceRegistrar) { managerpb.RegisterManagerServer(r, s) }

// Ready returns an error unless the database answers.
func (s *Server) Ready(ctx context.Context) error { return s.store.Ping(ctx) }

// flushTimeout bounds the writing of one batch.
const flushTimeout = 5 * time.Second

// maxExpired bounds how many ended entries are removed at a time.
const maxExpired = 10_000

// Run does what no call waits for, until ctx ends: it writes what nodes said
// every FlushEvery, keeps clusters fresh, runs jobs, forgets dead nodes and
// what has ended. Then it writes once more and returns nil. A database that fails is
// logged and tried again.
func (s *Server) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { s.directory.refreshEvery(ctx, s.opts.ConfigPoll) })
	parts.Go(func() { s.jobs.Run(ctx) })
	flush, tidy := time.NewTicker(s.opts.FlushEvery), time.NewTicker(s.opts.Forget/24)
	defer flush.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-flush.C:
			s.flush(ctx)
		case <-tidy.C:
			s.tidy(ctx)
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

// tidy removes what nobody needs any more.
func (s *Server) tidy(ctx context.Context) {
	now := s.opts.Now()
	err := s.store.Forget(ctx, now.Add(-s.opts.Forget))
	_, expired := s.store.RemoveExpired(ctx, now, maxExpired)
	if err := errors.Join(err, expired, s.people.Tidy(ctx)); err != nil && ctx.Err() == nil {
		s.log.WithError(err).Warn("what is dead or has ended can't be removed yet")
	}
}
