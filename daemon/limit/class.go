package limit

import (
	"context"
	"slices"
	"sync"

	"damselfly/pieces"
)

// WithClass says how urgent what is done under ctx is: where a Rate makes it
// wait, more urgent classes go first. Without it the class is Fill.
func WithClass(ctx context.Context, c pieces.Class) context.Context {
	return context.WithValue(ctx, classKey{}, min(c, pieces.Fill))
}

type classKey struct{}

func classOf(ctx context.Context) pieces.Class {
	if c, ok := ctx.Value(classKey{}).(pieces.Class); ok {
		return c
	}
	return pieces.Fill
}

// others is how often a turn goes to whoever has waited longest, whatever its
// class: one in so many. So no class starves another.
const others = 16

// turns admits one at a time: the more urgent class first, within a class in
// order of arrival. Safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	busy    bool
	arrived uint64
	granted uint64
	waiting [pieces.Classes][]*turn // by arrival
}

// turn is one place in the queue.
type turn struct {
	class   pieces.Class
	arrival uint64
	ready   chan struct{}
}

// take waits for a turn; end it with pass. After an error there is none.
func (t *turns) take(ctx context.Context, class pieces.Class) (*turn, error) {
	t.mu.Lock()
	t.arrived++
	me := &turn{class: class, arrival: t.arrived}
	t.mu.Unlock()
	return me, t.retake(ctx, me)
}

// retake waits for me's turn again, at the place of its arrival.
func (t *turns) retake(ctx context.Context, me *turn) error {
	t.mu.Lock()
	if !t.busy {
		t.busy = true
		t.mu.Unlock()
		return nil
	}
	me.ready = make(chan struct{})
	q := t.waiting[me.class]
	at, _ := slices.BinarySearchFunc(q, me, func(a, b *turn) int {
		if a.arrival < b.arrival {
			return -1
		}
		return 1
	})
	t.waiting[me.class] = slices.Insert(q, at, me)
	t.mu.Unlock()
	select {
	case <-me.ready:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at := slices.Index(t.waiting[me.class], me); at >= 0 {
		t.waiting[me.class] = slices.Delete(t.waiting[me.class], at, at+1)
	} else {
		t.next() // it was given the turn just now
	}
	return ctx.Err()
}

// pass gives the turn to the next.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// yields reports whether somebody more urgent than me waits.
func (t *turns) yields(me *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range me.class {
		if len(t.waiting[c]) > 0 {
			return true
		}
	}
	return false
}

// next hands the turn on; t.mu is held.
func (t *turns) next() {
	t.granted++
	best := -1
	for c, q := range t.waiting {
		switch {
		case len(q) == 0:
		case best < 0, t.granted%others == 0 && q[0].arrival < t.waiting[best][0].arrival:
			best = c
		}
	}
	if t.busy = best >= 0; !t.busy {
		return
	}
	w := t.waiting[best][0]
	t.waiting[best] = slices.Delete(t.waiting[best], 0, 1)
	close(w.ready)
}
