package announce

import "sync"

// inbox hands the events of one Peer to its handler: in order, never two at
// once, with no lock held, on the goroutine that brought the first of them.
type inbox struct {
	h    Handler
	most int

	mu sync.Mutex
	// Guarded by mu.
	waiting []Event
	open    bool // Start was called
	busy    bool // somebody is handing out
	closed  bool
}

// queue adds an event without handing it out; false means that too many wait.
func (b *inbox) queue(e Event) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return true
	}
	b.waiting = append(b.waiting, e)
	return len(b.waiting) <= b.most
}

// drain hands out what waits, unless somebody is at it.
func (b *inbox) drain() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy || !b.open {
		return
	}
	b.busy = true
	for len(b.waiting) > 0 && !b.closed {
		e := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.mu.Unlock()
		b.h.HandleEvent(e)
		b.mu.Lock()
	}
	b.busy = false
}

func (b *inbox) start() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
	b.drain()
}

func (b *inbox) close() {
	b.mu.Lock()
	b.closed, b.waiting = true, nil
	b.mu.Unlock()
}
