package announce

import (
	"sync"
	"time"

	"damselfly/pieces"
)

// entry is one message to be: a report of one Peer.
type entry struct {
	key pieces.Key
	report
}

// batch is the pure core of a queue: what waits, and until when it may.
type batch struct {
	delay  time.Duration
	enough int // pieces that go without delay
	limit  int // weight

	entries []*entry
	last    map[pieces.Key]*entry // newest of each Peer: the only one to merge into
	weight  int
	pieces  int
	now     bool      // something urgent waits
	oldest  time.Time // when the first of entries came
}

// add takes a report, or answers false if it does not fit.
func (b *batch) add(now time.Time, key pieces.Key, r report) bool {
	w := r.weight()
	if b.weight+w > b.limit {
		return false
	}
	b.weight += w
	b.pieces += r.pieces()
	b.now = b.now || r.urgent()
	if len(b.entries) == 0 {
		b.oldest = now
	}
	if last := b.last[key]; last != nil && last.merge(r) {
		return true
	}
	e := &entry{key, r}
	b.entries = append(b.entries, e)
	if b.last == nil {
		b.last = map[pieces.Key]*entry{}
	}
	b.last[key] = e
	return true
}

// due returns when the batch has to go; ok is false if it is empty.
func (b *batch) due() (at time.Time, ok bool) {
	switch {
	case len(b.entries) == 0:
		return time.Time{}, false
	case b.now || b.pieces >= b.enough:
		return b.oldest, true
	}
	return b.oldest.Add(b.delay), true
}

// take empties the batch. The order of each Peer's reports is kept.
func (b *batch) take() []*entry {
	es := b.entries
	b.entries, b.last, b.weight, b.pieces, b.now = nil, nil, 0, 0, false
	return es
}

// forget drops what waits for one Peer. It stays counted until take.
func (b *batch) forget(key pieces.Key) {
	kept := b.entries[:0]
	for _, e := range b.entries {
		if e.key != key {
			kept = append(kept, e)
		}
	}
	clear(b.entries[len(kept):])
	b.entries = kept
	delete(b.last, key)
}

// queue is a batch that many goroutines fill and one empties.
type queue struct {
	wake chan struct{} // cap 1: due may have changed

	mu sync.Mutex
	// Guarded by mu.
	batch batch
	room  chan struct{} // closed when entries were taken
}

func newQueue(o Options) *queue {
	return &queue{
		wake:  make(chan struct{}, 1),
		batch: batch{delay: o.BatchDelay, enough: o.BatchPieces, limit: o.QueueLimit},
		room:  make(chan struct{}),
	}
}

// add never blocks; false means that the report does not fit.
func (q *queue) add(key pieces.Key, r report) bool {
	q.mu.Lock()
	ok := q.batch.add(time.Now(), key, r)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return ok
}

// taken returns a channel that is closed when there is more room than now.
func (q *queue) taken() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room
}

func (q *queue) forget(key pieces.Key) {
	q.mu.Lock()
	q.batch.forget(key)
	q.mu.Unlock()
}

// take returns what is due, or how long to wait for more (0 = until woken).
func (q *queue) take(now time.Time) ([]*entry, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, ok := q.batch.due()
	if !ok {
		return nil, 0
	}
	if wait := at.Sub(now); wait > 0 {
		return nil, wait
	}
	close(q.room)
	q.room = make(chan struct{})
	return q.batch.take(), 0
}
