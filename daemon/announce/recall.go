package announce

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

// recall is a Version that a scheduler asked for, and when.
type recall struct {
	scheduler string
	at        time.Time
}

// Recalls are remembered for recallTTL until their Peer registers, and no more
// than maxRecalls of them.
const (
	recallTTL  = 10 * time.Second
	maxRecalls = 1024
)

// resumeAt is asked by the scheduler of l to take part in key there.
func (c *Client) resumeAt(l *link, key pieces.Key) {
	c.mu.Lock()
	p := c.peers[key]
	c.mu.Unlock()
	if p != nil {
		p.follow(l)
		return
	}
	if !c.noteRecall(key, l.addr, time.Now()) {
		return
	}
	c.spawn(func(ctx context.Context) {
		if err := c.resumes.Acquire(ctx, 1); err != nil {
			return
		}
		defer c.resumes.Release(1)
		if c.o.Resume(ctx, key) || ctx.Err() != nil {
			return
		}
		c.takeRecall(key)
		ctx, cancel := context.WithTimeout(ctx, c.o.AttemptTimeout)
		defer cancel()
		_, err := l.rpc.LeaveTask(ctx, &schedulerpb.LeaveTaskRequest{
			HostId: string(c.o.Host.ID), Task: string(key.Task), Version: string(key.Version)})
		if err != nil {
			c.o.Log.WithError(err).WithFields(key.Fields()).Debug("scheduler did not hear that nothing is held")
		}
	})
}

// noteRecall remembers who asked for key; false if somebody asked just now, or
// too many are remembered.
func (c *Client) noteRecall(key pieces.Key, scheduler string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, r := range c.recalled {
		if now.Sub(r.at) > recallTTL {
			delete(c.recalled, k)
		}
	}
	if _, again := c.recalled[key]; again || len(c.recalled) >= maxRecalls {
		return false
	}
	c.recalled[key] = recall{scheduler, now}
	return true
}

// takeRecall returns the scheduler that asked for key, or "".
func (c *Client) takeRecall(key pieces.Key) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.recalled[key]
	delete(c.recalled, key)
	if !ok || time.Since(r.at) > recallTTL {
		return ""
	}
	return r.scheduler
}

// follow moves p to the scheduler of l, if that comes before its own on the
// ring: so moves have an end, whoever asks.
func (p *Peer) follow(l *link) {
	p.mu.Lock()
	from, s := p.link, p.session
	p.mu.Unlock()
	if from == nil || from == l || !p.c.before(p.task.ID, l.addr, from.addr) {
		return
	}
	p.down(s, pieces.Errorf(pieces.Unavailable, "the task goes on at its scheduler %s", l.addr), l.addr, 0)
}

// before reports whether a comes before b on the ring of a Task; those that are
// not on it come last.
func (c *Client) before(id pieces.TaskID, a, b string) bool {
	c.mu.Lock()
	r := c.ring
	c.mu.Unlock()
	for addr := range r.Walk(string(id)) {
		switch addr {
		case a:
			return true
		case b:
			return false
		}
	}
	return false
}
