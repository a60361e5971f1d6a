package scheduler

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// schedule is an entry's place in the timer, guarded by the timer's lock.
type schedule struct {
	at    time.Time
	index int // in the heap, from 1; 0 = not there
}

// timer ticks entries when they are due, on one goroutine.
type timer struct {
	wake chan struct{} // cap 1: the first one may have changed

	mu   sync.Mutex
	heap dueHeap // guarded by mu
}

func newTimer() *timer { return &timer{wake: make(chan struct{}, 1)} }

// set makes sure that e ticks at the time given, or earlier; a tick that comes
// too early does no harm. Zero asks for nothing.
func (t *timer) set(e *entry, at time.Time) {
	if at.IsZero() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case e.due.index == 0:
		e.due.at = at
		heap.Push(&t.heap, e)
	case at.Before(e.due.at):
		e.due.at = at
		heap.Fix(&t.heap, e.due.index-1)
	default:
		return
	}
	if t.heap[0] == e {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// run calls tick for each entry that is due until ctx ends.
func (t *timer) run(ctx context.Context, tick func(*entry)) {
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for ctx.Err() == nil {
		e, wait := t.take(time.Now())
		if e != nil {
			tick(e)
			continue
		}
		sleep.Reset(wait)
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-sleep.C:
		}
	}
}

// take removes the first entry if it is due, else says how long to wait.
func (t *timer) take(now time.Time) (*entry, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return nil, time.Hour
	}
	if wait := t.heap[0].due.at.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&t.heap).(*entry), 0
}

// dueHeap orders entries by when they are due (container/heap).
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.at.Before(h[j].due.at) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].due.index, h[j].due.index = i+1, j+1
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	*h = append(*h, e)
	e.due.index = len(*h)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.due.index = 0
	return e
}
