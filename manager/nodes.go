package manager

import (
	"cmp"
	"context"
	"reflect"
	"slices"
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
	Beat(ctx context.Context, schedulers []store.Scheduler, changed, same []store.Host) error
}

// node is one scheduler or host; exactly one of the two is set.
type node struct {
	scheduler *store.Scheduler
	host      *store.Host
}

// nodeKey names a node: a scheduler by cluster and address, a host by id alone.
type nodeKey struct {
	host        bool
	cluster, id string
}

func schedulerKey(cluster, address string) nodeKey { return nodeKey{cluster: cluster, id: address} }
func hostKey(id pieces.HostID) nodeKey             { return nodeKey{host: true, id: string(id)} }

func (n node) key() nodeKey {
	if n.host != nil {
		return hostKey(n.host.Host.ID)
	}
	return schedulerKey(n.scheduler.Cluster, n.scheduler.Address)
}

// beat is the last that a node said.
type beat struct {
	node node
	seen time.Time
	// dirty: the database has an older time.
	dirty bool
}

// batch is a set of nodes with news, written together: whoever comes while
// one is being written joins the next. err is set before done is closed.
type batch struct {
	beats []beat
	err   error
	done  chan struct{}
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
	next  *batch // what waits for writing; nil if nothing does
}

func newNodes(s beatStore, limit time.Duration, now func() time.Time, lastBefore time.Time, log *logrus.Entry, m *metrics) *nodes {
	return &nodes{store: s, now: now, log: log, metrics: m, limit: limit,
		started: now(), lastBefore: lastBefore, beats: map[nodeKey]beat{}}
}

// keepAlive notes that n lives. A node that is new here, or says something new
// of itself, is written before this returns, together with all others that
// have news just now; the rest with the next flush.
func (ns *nodes) keepAlive(ctx context.Context, n node) error {
	key, seen := n.key(), ns.now()
	ns.mu.Lock()
	old, known := ns.beats[key]
	if known && reflect.DeepEqual(old.node, n) {
		ns.beats[key] = beat{node: n, seen: seen, dirty: true}
		ns.mu.Unlock()
		return nil
	}
	if !known && len(ns.beats) >= maxNodes {
		ns.mu.Unlock()
		return pieces.Errorf(pieces.Full, "this manager keeps %d nodes already", maxNodes)
	}
	if ns.next == nil {
		ns.next = &batch{done: make(chan struct{})}
	}
	mine := ns.next
	mine.beats = append(mine.beats, beat{node: n, seen: seen})
	first := len(mine.beats) == 1
	ns.mu.Unlock()
	if first {
		ns.writeNext(context.WithoutCancel(ctx))
	}
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "registering")
	}
}

// writeNext writes what waits, once what is being written is done.
func (ns *nodes) writeNext(ctx context.Context) {
	ns.writing.Lock()
	defer ns.writing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	ns.mu.Lock()
	b := ns.next
	ns.next = nil
	ns.mu.Unlock()
	defer close(b.done)
	if b.err = ns.write(ctx, b.beats, nil); b.err != nil {
		return
	}
	ns.mu.Lock()
	defer ns.mu.Unlock()
	for _, x := range b.beats {
		key := x.node.key()
		if _, known := ns.beats[key]; !known {
			ns.log.WithFields(key.fields()).Info("node registered")
		}
		ns.beats[key] = x
	}
	ns.metrics.nodes(len(ns.beats))
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
	err := ns.write(ctx, nil, batch)
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

// write puts both kinds of news into the database, in the order of ids.
func (ns *nodes) write(ctx context.Context, changed, same []beat) error {
	var schedulers []store.Scheduler
	split := func(batch []beat) (hosts []store.Host) {
		for _, b := range batch {
			if b.node.host != nil {
				n := *b.node.host
				n.Seen = b.seen
				hosts = append(hosts, n)
			} else {
				n := *b.node.scheduler
				n.Seen = b.seen
				schedulers = append(schedulers, n)
			}
		}
		slices.SortFunc(hosts, func(a, b store.Host) int { return cmp.Compare(a.Host.ID, b.Host.ID) })
		return hosts
	}
	news, times := split(changed), split(same)
	slices.SortFunc(schedulers, func(a, b store.Scheduler) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Address, b.Address))
	})
	return ns.store.Beat(ctx, schedulers, news, times)
}

func (k nodeKey) fields() logrus.Fields {
	if k.host {
		return logrus.Fields{"kind": "host", "host": pieces.HostID(k.id).Short()}
	}
	return logrus.Fields{"kind": "scheduler", "cluster": k.cluster, "scheduler": k.id}
}
