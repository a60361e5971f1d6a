package announce

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"damselfly/pieces"
	"damselfly/pieces/ring"
	"damselfly/proto/rpc"
)

// Client speaks for one host. Its methods may be called from any goroutine once
// Run has begun; calls made earlier wait for it.
type Client struct {
	o        Options
	managers *managers
	started  chan struct{} // closed by Run
	listed   chan struct{} // closed when there is a first list, or known to be none
	refresh  chan struct{} // cap 1: ask the manager now

	revalidations *semaphore.Weighted
	resumes       *semaphore.Weighted
	seed          maphash.Seed
	stats         stats

	mu sync.Mutex
	// Guarded by mu.
	ctx      context.Context // of Run's goroutines; nil before Run
	running  sync.WaitGroup  // Add only under mu while !stopping
	stopping bool            // Run ends: no new goroutines
	leaving  bool            // Leave was called: don't announce any more
	links    map[string]*link
	ring     *ring.Ring
	peers    map[pieces.Key]*Peer
	recalled map[pieces.Key]recall
	changed  chan struct{} // closed and replaced when a scheduler goes or comes
	isListed bool
	state    state
}

// New checks the options and reads the state file. Nothing runs before Run.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if _, err := pieces.ParseHostID(string(o.Host.ID)); err != nil {
		return nil, err
	}
	for _, list := range [][]string{o.Managers, o.Schedulers} {
		for _, addr := range list {
			if err := rpc.CheckAddress(addr); err != nil {
				return nil, err
			}
		}
	}
	c := &Client{
		o:             o,
		started:       make(chan struct{}),
		listed:        make(chan struct{}),
		refresh:       make(chan struct{}, 1),
		revalidations: semaphore.NewWeighted(int64(o.Revalidations)),
		resumes:       semaphore.NewWeighted(int64(o.Resumes)),
		links:         map[string]*link{},
		peers:         map[pieces.Key]*Peer{},
		recalled:      map[pieces.Key]recall{},
		changed:       make(chan struct{}),
		seed:          maphash.MakeSeed(),
	}
	c.managers = &managers{c: c, addrs: o.Managers}
	c.state = readState(o.StateFile, o.Log)
	if o.Cluster != "" && c.state.Cluster != o.Cluster {
		c.state = state{} // what another cluster said
	}
	return c, nil
}

// Enabled reports whether any manager or scheduler is configured.
func (c *Client) Enabled() bool { return len(c.o.Managers)+len(c.o.Schedulers) > 0 }

// Run does the work until ctx ends, waits for all of it and returns nil. Call
// it once. Peers hear nothing more; Leave may be called before or after.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	close(c.started)
	switch {
	case len(c.o.Schedulers) > 0:
		c.setSchedulers(c.o.Schedulers)
	case len(c.o.Managers) > 0:
		c.setSchedulers(c.lastState().Schedulers)
		c.spawn(c.refreshSchedulers)
	default:
		c.nowListed()
	}
	if len(c.o.Managers) > 0 {
		c.spawn(c.keepAlive)
	}
	<-ctx.Done()
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.running.Wait()
	c.managers.close()
	return nil
}

// spawn runs f until it returns; its context ends with Run, which waits for it.
// It answers false when Run does not run.
func (c *Client) spawn(f func(ctx context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spawnLocked(f)
}

// spawnLocked is spawn with mu held.
func (c *Client) spawnLocked(f func(ctx context.Context)) bool {
	if c.ctx == nil || c.stopping || c.ctx.Err() != nil {
		return false
	}
	ctx := c.ctx
	c.running.Go(func() { f(ctx) })
	return true
}

func (c *Client) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping || c.leaving || c.ctx != nil && c.ctx.Err() != nil
}

// nowListed lets calls go on that waited for a first list of schedulers.
func (c *Client) nowListed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isListed {
		c.isListed = true
		close(c.listed)
	}
}

// host is this host as of now.
func (c *Client) host() pieces.Host {
	h := c.o.Host
	h.Uploads = c.o.Load()
	return h
}

func (c *Client) dial(addr string) (*grpc.ClientConn, error) {
	return rpc.Dial(addr, rpc.DialOptions{
		Log: c.o.Log, CallTimeout: c.o.AttemptTimeout, ConnectTimeout: c.o.AttemptTimeout,
		MaxBackoff: c.o.RetryMost, Dialer: c.o.Dialer,
	})
}

// guard refuses what must not leave this host.
func (c *Client) guard(t *pieces.Task) error {
	if !t.Public() {
		return pieces.Errorf(pieces.Denied, "task %s has an audience and is not shared with schedulers or managers", t.ID.Short())
	}
	return nil
}

// SchedulerState is one scheduler as this host sees it.
type SchedulerState struct {
	Address string
	// Connected: it answered last time.
	Connected bool
}

// Schedulers returns the schedulers in use, by address.
func (c *Client) Schedulers() []SchedulerState {
	c.mu.Lock()
	var links []*link
	for _, addr := range c.ring.Members() {
		if l := c.links[addr]; l != nil {
			links = append(links, l)
		}
	}
	c.mu.Unlock()
	var out []SchedulerState
	for _, l := range links {
		out = append(out, SchedulerState{l.addr, l.isUp()})
	}
	return out
}

// stats counts what happened to Peers and sessions.
type stats struct{ failovers, lost, moved atomic.Uint64 }

// Stats says how often schedulers failed this host, or sent it elsewhere.
type Stats struct {
	// Failovers counts Peers that went on at another scheduler because theirs
	// was lost, Moved those that one scheduler sent to another. SessionsLost
	// counts sessions that broke.
	Failovers, Moved, SessionsLost uint64
}

// Stats returns the counts since the start.
func (c *Client) Stats() Stats {
	return Stats{c.stats.failovers.Load(), c.stats.moved.Load(), c.stats.lost.Load()}
}

// ManagerOK reports whether a manager answered last time.
func (c *Client) ManagerOK() bool { return c.managers.ok.Load() }

// Config returns the cluster's dynamic config as last heard, a JSON object or
// empty, and its version.
func (c *Client) Config() (json string, version uint64) {
	s := c.lastState()
	return s.Config, s.ConfigVersion
}

func (c *Client) lastState() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// pause waits for d or until ctx ends; it reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// pauseUntil is pause, but ends early, after a moment of its own, when changed
// is closed: so that all who wait don't come at once.
func pauseUntil(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	case <-changed:
		return pause(ctx, min(d, rand.N(changeSpread)))
	}
}

// changeSpread is over how long Peers spread when a scheduler comes back.
const changeSpread = 100 * time.Millisecond
