package engine

import (
	"context"
	"sync"

	"damselfly/pieces"
)

// writer writes verified pieces behind their readers: a few goroutines, and
// queues bounded by the memory budget, since every entry holds a buffer. One
// content is written by one goroutine at a time: the kernel locks the whole file
// for a write, and others would spin on that lock.
type writer struct {
	e  *Engine
	wg sync.WaitGroup

	mu   sync.Mutex
	cond *sync.Cond
	// queues by content, and the contents that wait for a goroutine. A content
	// that is being written has a queue, perhaps empty, but does not wait.
	queues  map[*Content][]write
	waiting []*Content
	closed  bool
	// uncached are pieces that the store had no room for, oldest first; they
	// are served from memory while there is some.
	uncached      []write
	uncachedBytes int64
}

// write is a piece to put in the store, or, without a buffer, pieces to drop.
type write struct {
	c      *Content
	drop   pieces.Extent
	i      int
	b      *buffer
	sum    pieces.Sum
	setter pieces.HostID
}

// writers is how many contents are written at once.
const writers = 4

func newWriter(e *Engine) *writer {
	w := &writer{e: e, queues: map[*Content][]write{}}
	w.cond = sync.NewCond(&w.mu)
	for range writers {
		w.wg.Go(w.run)
	}
	return w
}

// put queues a piece whose buffer is in c.mem. The content stays pinned until
// it is written.
func (w *writer) put(c *Content, i int, b *buffer, sum pieces.Sum, setter pieces.HostID) {
	if err := c.pin(); err != nil {
		return
	}
	w.add(write{c: c, i: i, b: b.retain(), sum: sum, setter: setter})
}

// drop queues the removal of pieces from the store behind what is queued for
// them, and before what comes for them later.
func (w *writer) drop(c *Content, e pieces.Extent) { w.add(write{c: c, drop: e}) }

func (w *writer) add(j write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q, busy := w.queues[j.c]
	w.queues[j.c] = append(q, j)
	if !busy {
		w.waiting = append(w.waiting, j.c)
		w.cond.Signal()
	}
}

// close writes what is queued and ends.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.cond.Broadcast()
	w.mu.Unlock()
	w.wg.Wait()
}

func (w *writer) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.waiting) == 0 && !w.closed {
			w.cond.Wait()
		}
		if len(w.waiting) == 0 {
			return
		}
		c := w.waiting[0]
		w.waiting = w.waiting[1:]
		jobs := w.queues[c]
		w.queues[c] = nil
		w.mu.Unlock()
		for _, j := range jobs {
			w.write(j)
		}
		w.mu.Lock()
		if len(w.queues[c]) > 0 {
			w.waiting = append(w.waiting, c)
		} else {
			delete(w.queues, c)
		}
	}
}

func (w *writer) write(j write) {
	if j.b == nil {
		j.c.dropStored(j.drop)
		return
	}
	defer j.c.unpin()
	defer j.b.release()
	if !j.c.awaits(j.i, j.b) {
		return // dropped before it was written
	}
	err := error(pieces.Errorf(pieces.Full, "no cache"))
	if j.c.v != nil {
		err = j.c.v.Put(context.Background(), j.i, j.b.data, j.sum, j.setter)
	}
	if err == nil {
		j.c.written(j.i, j.b)
		return
	}
	if pieces.KindOf(err) != pieces.Full {
		j.c.log.WithError(err).Warn("serving a piece from memory: it could not be cached")
	}
	w.keep(j)
}

// keep serves a piece from memory alone; over half of the budget the oldest
// such pieces go.
func (w *writer) keep(j write) {
	w.mu.Lock()
	w.uncached = append(w.uncached, write{c: j.c, i: j.i})
	w.uncachedBytes += int64(len(j.b.data))
	var gone []write
	for w.uncachedBytes > w.e.o.Memory/2 && len(w.uncached) > 0 {
		o := w.uncached[0]
		w.uncached = w.uncached[1:]
		w.uncachedBytes -= o.c.geo.Len(o.i)
		gone = append(gone, o)
	}
	w.mu.Unlock()
	for _, o := range gone {
		o.c.dropUncached(o.i)
	}
}

// awaits reports whether b still is the piece that is to be written.
func (c *Content) awaits(i int, b *buffer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mem[i] == b
}

func (c *Content) dropStored(e pieces.Extent) {
	if c.pin() != nil {
		return
	}
	defer c.unpin()
	if c.v != nil {
		if err := c.v.Drop(e); err != nil {
			c.log.WithError(err).Warn("dropping pieces")
		}
	}
}

// written says that piece i is on disk: memory is no longer needed for it.
func (c *Content) written(i int, b *buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mem[i] == b {
		delete(c.mem, i)
		c.grew(int64(len(b.data)))
		b.release()
	}
	if len(c.mem) == 0 {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// dropUncached gives up a piece that is only in memory.
func (c *Content) dropUncached(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mem[i] != nil {
		c.forget(pieces.Extent{First: i, End: i + 1})
	}
}
