// Package engine is the heart of a daemon: it holds one Content per
// (Task, Version) and gets its pieces to whoever reads them, from the cache,
// from neighbours, or from the origin under a lease.
//
// # One piece
//
// A reader states an Interest. The picker turns interests into requests to
// neighbours; what no neighbour has is asked of the scheduler, whose answer is
// holders or a lease. A piece that arrived is verified in memory, wakes its
// readers, is told to neighbours and scheduler, and is written behind. Many
// readers share one fetch; a reader that gives up cancels nothing that others
// want.
//
// # Locks
//
// Content.mu guards what a Content knows and is never held over I/O.
// Content.pinMu orders opening and closing of the store's Version. pinMu is
// taken before mu, Engine.mu before neither.
package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"damselfly/daemon/exchange"
	"damselfly/daemon/fetch"
	"damselfly/daemon/limit"
	"damselfly/pieces"
)

// Engine holds the contents of one host. Safe for concurrent use.
type Engine struct {
	o        Options
	ctx      context.Context
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	memory   *memory
	fetch    *fetch.Client
	exchange *exchange.Exchange
	rate     *limit.Rate
	writes   *writer
	traffic  traffic
	readBy   reads
	ahead    budget

	mu       sync.Mutex
	contents map[pieces.Key]*Content
	ofTask   map[pieces.TaskID][]*Content // the same by Task, in no order
	added    chan struct{}                // closed and replaced when a content is added
	closed   bool
}

// New returns a running engine; Close stops it.
func New(o Options) *Engine {
	e := &Engine{o: o.withDefaults(), contents: map[pieces.Key]*Content{}, ofTask: map[pieces.TaskID][]*Content{}, added: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.memory = newMemory(e.o.Memory)
	e.rate = limit.NewRate(e.o.DownloadRate)
	e.fetch = fetch.New(fetch.Options{Host: e.o.Host.ID, Throttle: e.rate.WaitN})
	e.exchange = exchange.New(exchange.Options{
		Host: func() pieces.Host { return e.o.Host }, Local: e, Log: e.o.Log,
	})
	e.ahead.b.Size = e.o.AheadBudget
	e.writes = newWriter(e)
	e.wg.Go(func() { e.everyTick(e.tick) })
	e.wg.Go(func() { e.everyTick(e.trim) })
	return e
}

// Exchange returns the gRPC service that neighbours call.
func (e *Engine) Exchange() *exchange.Exchange { return e.exchange }

// Close leaves every Task at the schedulers, ends all fetches, writes what was
// fetched, and returns when everything has stopped.
func (e *Engine) Close(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	all := e.all()
	e.mu.Unlock()
	var leaving sync.WaitGroup
	for _, c := range all {
		leaving.Go(func() { c.leave(ctx) })
	}
	leaving.Wait()
	e.cancel()
	e.exchange.Close()
	for _, c := range all {
		c.stop()
	}
	e.writes.close()
	e.wg.Wait()
	e.fetch.Close()
}

// all returns the contents; e.mu is held.
func (e *Engine) all() []*Content {
	out := make([]*Content, 0, len(e.contents))
	for _, c := range e.contents {
		out = append(out, c)
	}
	return out
}

// Content returns the content of t in the Version that facts describe, making
// it if this host has none. alone: never tell a scheduler of it.
func (e *Engine) Content(t *pieces.Task, facts pieces.Facts, canFetch bool) (*Content, error) {
	key := pieces.Key{Task: t.ID, Version: facts.VersionID()}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, pieces.Errorf(pieces.Unavailable, "the daemon is stopping")
	}
	if c := e.contents[key]; c != nil {
		c.setTask(t, canFetch)
		return c, nil
	}
	c, err := newContent(e, t, key, facts, canFetch)
	if err != nil {
		return nil, err
	}
	e.contents[key] = c
	e.ofTask[key.Task] = append(e.ofTask[key.Task], c)
	close(e.added)
	e.added = make(chan struct{})
	return c, nil
}

// Lookup returns the content of key if it is in memory.
func (e *Engine) Lookup(key pieces.Key) *Content {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.contents[key]
}

// OfTask returns the contents of a Task that are in memory.
func (e *Engine) OfTask(id pieces.TaskID) []*Content {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ofTask[id])
}

// await returns the content of key, waiting up to UnknownWait for one that is
// not here yet.
func (e *Engine) await(ctx context.Context, key pieces.Key) (*Content, error) {
	t := time.NewTimer(e.o.UnknownWait)
	defer t.Stop()
	for {
		e.mu.Lock()
		c, added := e.contents[key], e.added
		e.mu.Unlock()
		if c != nil {
			return c, nil
		}
		select {
		case <-added:
		case <-t.C:
			return nil, pieces.Errorf(pieces.NotFound, "%v is not here", key)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Swarm finds a content for a neighbour that calls (exchange.Local).
func (e *Engine) Swarm(ctx context.Context, key pieces.Key) (exchange.Swarm, error) {
	c, err := e.await(ctx, key)
	if err != nil {
		return nil, err
	}
	if !c.public {
		return nil, pieces.Errorf(pieces.NotFound, "%v is not here", key)
	}
	return c, nil
}

// everyTick calls f every Tick until the engine closes; one that takes longer is
// called less often.
func (e *Engine) everyTick(f func(now time.Time)) {
	t := time.NewTicker(e.o.Tick)
	defer t.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-t.C:
			f(now)
		}
	}
}

// tick keeps waits honest.
func (e *Engine) tick(now time.Time) {
	e.mu.Lock()
	all := e.all()
	e.mu.Unlock()
	for _, c := range all {
		c.tick(now)
	}
	e.memory.trim()
}

// Busy reports whether any content is in use: open, fetching or uploading.
func (e *Engine) Busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.contents {
		if _, idle := c.idle(); !idle {
			return true
		}
	}
	return false
}

// Evicting is called by the store before it drops pieces: first the others are
// told, then the bytes go.
func (e *Engine) Evicting(key pieces.Key, lost []pieces.Extent, whole bool) {
	c := e.Lookup(key)
	if c == nil {
		return
	}
	c.lost(lost)
	if whole {
		e.mu.Lock()
		defer e.mu.Unlock()
		if !e.closed {
			e.wg.Go(func() { e.drop(c) })
		}
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }
