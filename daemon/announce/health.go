package announce

import (
	"maps"
	"slices"
	"time"
)

// health is what a link knows of its scheduler, and whether it trusts it.
//
// A scheduler that was down is skipped while announcements don't get through,
// and then for a growing while: ReturnAfter the first time, twice as long each
// time after, up to ReturnMost, until it has been trusted for SteadyAfter. So
// one that comes and goes does not drag Tasks to and fro. While no other one is
// trusted it is used all the same. Peers stay where they are registered: they
// move when their scheduler sends them (Moved), or when one that is nearer to
// the Task's owner on the ring asks for them (Resume), because somebody opened
// the Task there.
type health struct {
	state healthState
	// fails counts how often it went down before it was trusted for
	// SteadyAfter; trusted is from when on it is used again, zero from the
	// beginning.
	fails   int
	trusted time.Time
	// waiting: it was not trusted yet when last looked at.
	waiting bool
}

type healthState uint8

const (
	untried healthState = iota // asked like one that is up
	up
	down // skipped until an announcement gets through
)

// fell notes that the scheduler is down, and reports whether that is news.
func (h *health) fell(now time.Time, steady time.Duration) bool {
	if h.state == down {
		return false
	}
	if now.Sub(h.trusted) >= steady {
		h.fails = 0
	}
	h.state, h.waiting = down, false
	h.fails++
	return true
}

// rose notes that the scheduler answers, and reports whether it was down.
func (h *health) rose(now time.Time, after, most time.Duration) bool {
	was := h.state
	h.state = up
	if was != down {
		return false
	}
	wait := most
	if n := h.fails - 1; n < 16 {
		wait = min(after<<n, most)
	}
	h.trusted, h.waiting = now.Add(wait), true
	return true
}

func (h *health) usable(now time.Time) bool { return h.state != down && !now.Before(h.trusted) }

func (l *link) is(f func() bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f()
}

func (l *link) isUp() bool { return l.is(func() bool { return l.state == up }) }

// usable: asked like any other. reachable: asked when no other one is usable.
func (l *link) usable() bool { return l.is(func() bool { return l.health.usable(time.Now()) }) }

func (l *link) reachable() bool { return l.is(func() bool { return l.state != down }) }

// failed notes that a call got no answer. A scheduler whose heartbeats still
// come is slow, not dead.
func (l *link) failed(err error) {
	l.mu.Lock()
	alive := l.session != nil && l.session.alive()
	news := !alive && l.fell(time.Now(), l.c.o.SteadyAfter)
	l.mu.Unlock()
	if news {
		l.c.o.Log.WithError(err).WithField("scheduler", l.addr).Warn("scheduler is down")
		l.c.ringChanged()
	}
}

// recovered notes that the scheduler answers.
func (l *link) recovered() {
	l.mu.Lock()
	news := l.rose(time.Now(), l.c.o.ReturnAfter, l.c.o.ReturnMost)
	wait := time.Until(l.trusted)
	l.mu.Unlock()
	if news {
		l.c.o.Log.WithField("scheduler", l.addr).WithField("used in", wait.Round(time.Millisecond)).Info("scheduler is back")
		l.c.ringChanged()
	}
}

// untilTrusted returns how long it takes until the scheduler is used again;
// very long if it is in use, or down.
func (l *link) untilTrusted() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting {
		return time.Hour
	}
	return max(0, time.Until(l.trusted))
}

// becameTrusted reports, once, that the scheduler is used again.
func (l *link) becameTrusted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.waiting || time.Now().Before(l.trusted) {
		return false
	}
	l.waiting = false
	return true
}

// ringChanged tells all links that Tasks may belong to others now, and Peers
// that wait for a scheduler to look again.
func (c *Client) ringChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.links {
		l.announceNow()
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// change returns a channel that is closed when the next scheduler goes or
// comes.
func (c *Client) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// anyReachable reports whether any scheduler seems to be there.
func (c *Client) anyReachable() bool {
	return slices.ContainsFunc(c.allLinks(), (*link).reachable)
}

// allLinks returns the links; their locks are taken before the Client's, never
// inside it.
func (c *Client) allLinks() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.links))
}
