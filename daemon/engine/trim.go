package engine

import (
	"context"
	"slices"
	"time"
)

// trim lets the longest idle contents go while there are more than MaxContents.
// It takes its time: a scheduler that is told may be slow, which is no matter
// for those whose waits tick looks after.
func (e *Engine) trim(time.Time) {
	for _, c := range e.surplus() {
		e.drop(c) // or it is in use again
	}
}

// surplus returns the longest idle of the contents that are too many.
func (e *Engine) surplus() []*Content {
	e.mu.Lock()
	over := len(e.contents) - e.o.MaxContents
	if over <= 0 {
		e.mu.Unlock()
		return nil
	}
	all := e.all()
	e.mu.Unlock()
	idle, since := all[:0], map[*Content]time.Time{}
	for _, c := range all {
		if t, is := c.idle(); is {
			idle, since[c] = append(idle, c), t
		}
	}
	slices.SortFunc(idle, func(a, b *Content) int { return since[a].Compare(since[b]) })
	return idle[:min(over, len(idle))]
}

// drop takes an idle content out of memory; what it holds stays in the store.
func (e *Engine) drop(c *Content) bool {
	e.mu.Lock()
	if _, idle := c.idle(); !idle || e.contents[c.key] != c {
		e.mu.Unlock()
		return false
	}
	delete(e.contents, c.key)
	if left := slices.DeleteFunc(e.ofTask[c.key.Task], func(o *Content) bool { return o == c }); len(left) > 0 {
		e.ofTask[c.key.Task] = left
	} else {
		delete(e.ofTask, c.key.Task)
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(e.ctx, e.o.RegisterTimeout)
	defer cancel()
	c.leave(ctx)
	c.stop()
	return true
}
