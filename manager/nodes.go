package manager

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// maxNodes bounds the nodes that one manager keeps in memory.
const maxNodes = 1 << 16

// beatStore is what liveness is written to.
type beatStore interface {
	Beat(ctx context.Context, schedulers []store.Scheduler, seeds []store.SeedPeer) error
}

// node is one scheduler or seed peer; exactly one of the two is set.
type node struct {
	scheduler *store.Scheduler
	seed      *store.SeedPeer
}

// nodeKey names a node; id is an address or a HostID.
type nodeKey struct {
	seed        bool
	cluster, id string
}

func (n node) key() nodeKey {
	if n.seed != nil {
		return nodeKey{true, n.seed.Cluster, string(n.seed.Host.ID)}
	}
	return nodeKey{false, n.scheduler.Cluster, n.scheduler.Address}
}

// beat is the last that a node said.
type beat struct {
	node node
	seen time.Time
	// dirty: the database has an older time.
	dirty bool
}

// nodes knows who keeps itself alive here, and when to write it.
type nodes struct {
	store   beatStore
	now     func() time.Time
	log     *logrus.Entry
	metrics *metrics
	// limit is the silence after which a node is inactive.
	limit time.Duration
	// started is when this manager began, lastBefore when any node was seen
	// before that; zero if none was.
	started, lastBefore time.Time

	// writing is held while the database is changed, so that a batch can't
	// bring back a node that left meanwhile. It is taken before mu.
	writing sync.Mutex
	failing bool // guarded by writing: the last batch failed

	mu    sync.Mutex
	beats map[nodeKey]beat
}

func newNodes(s beatStore, limit time.Duration, now func() time.Time, lastBefore time.Time, log *logrus.Entry, m *metrics) *nodes {
	return &nodes{store: s, now: now, log: log, metrics: m, limit: limit,
		started: now(), lastBefore: lastBefore, beats: map[nodeKey]beat{}}
}

// keepAlive notes that n lives. A node that is new here, or says something new
// of itself, is written before this returns; the others with the next batch.
func (ns *nodes) keepAlive(ctx context.Context, n node) error {
	key, seen := n.key(), ns.now()
	ns.mu.Lock()
	old, known := ns.beats[key]
	full := !known && len(ns.beats) >= maxNodes
	same := known && reflect.DeepEqual(old.node, n)
	if same {
		ns.beats[key] = beat{node: n, seen: seen, dirty: true}
	}
	ns.mu.Unlock()
	switch {
	case full:
		return pieces.Errorf(pieces.Full, "this manager keeps %d nodes already", maxNodes)
	case same:
		return nil
	}
	ns.writing.Lock()
	defer ns.writing.Unlock()
	b := beat{node: n, seen: seen}
	if err := ns.write(ctx, []beat{b}); err != nil {
		return err
	}
	ns.log.WithFields(key.fields()).Info("node registered")
	ns.mu.Lock()
	ns.beats[key] = b
	ns.metrics.nodes(len(ns.beats))
	ns.mu.Unlock()
	return nil
}

// leave forgets a node; remove takes it off the database.
func (ns *nodes) leave(key nodeKey, remove func() error) error {
	ns.writing.Lock()
	defer ns.writing.Unlock()
	ns.mu.Lock()
	delete(ns.beats, key)
	ns.metrics.nodes(len(ns.beats))
	ns.mu.Unlock()
	ns.log.WithFields(key.fields()).Info("node left")
	return remove()
}

// activeSince is how long ago a node may have been seen last to be listed.
// While a manager was away nobody could keep itself alive: until everyone had
// the time to, age counts from the last moment that anyone was heard.
func (ns *nodes) activeSince() time.Time {
	now := ns.now()
	if now.Sub(ns.started) < ns.limit && !ns.lastBefore.IsZero() && ns.lastBefore.Before(now) {
		now = ns.lastBefore
	}
	return now.Add(-ns.limit + time.Millisecond)
}

// flush writes what is not written yet, in one batch, and drops from memory
// who has been silent for too long. What can't be written stays for next time.
func (ns *nodes) flush(ctx context.Context) {
	ns.writing.Lock()
	defer ns.writing.Unlock()
	batch := ns.takeDirty()
	if len(batch) == 0 {
		return
	}
	err := ns.write(ctx, batch)
	ns.metrics.batch(err)
	switch {
	case err != nil:
		ns.putBack(batch)
		if !ns.failing {
			ns.log.WithError(err).Error("keep-alives can't be written; trying on")
		}
	case ns.failing:
		ns.log.Info("keep-alives are written again")
	}
	ns.failing = err != nil
}

func (ns *nodes) takeDirty() []beat {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	oldest := ns.now().Add(-ns.limit)
	var batch []beat
	for key, b := range ns.beats {
		switch {
		case b.dirty:
			batch = append(batch, b)
			b.dirty = false
			ns.beats[key] = b
		case !b.seen.After(oldest):
			delete(ns.beats, key)
			ns.log.WithFields(key.fields()).Warn("node inactive: it keeps itself alive no more")
		}
	}
	ns.metrics.nodes(len(ns.beats))
	return batch
}

func (ns *nodes) putBack(batch []beat) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, b := range batch {
		if now, ok := ns.beats[b.node.key()]; ok {
			now.dirty = true
			ns.beats[b.node.key()] = now
		}
	}
}

func (ns *nodes) write(ctx context.Context, batch []beat) error {
	var schedulers []store.Scheduler
	var seeds []store.SeedPeer
	for _, b := range batch {
		if b.node.seed != nil {
			n := *b.node.seed
			n.Seen = b.seen
			seeds = append(seeds, n)
		} else {
			n := *b.node.scheduler
			n.Seen = b.seen
			schedulers = append(schedulers, n)
		}
	}
	return ns.store.Beat(ctx, schedulers, seeds)
}

func (k nodeKey) fields() logrus.Fields {
	kind := "scheduler"
	if k.seed {
		kind = "seed peer"
	}
	return logrus.Fields{"kind": kind, "cluster": k.cluster, "node": k.id}
}
