package engine

import (
	"maps"
	"slices"
	"time"

	"damselfly/pieces"
)

// badBlock is how long a host that sent wrong bytes is out of a content.
const badBlock = time.Hour

// block remembers a failed host; the time doubles with each failure.
type block struct {
	until time.Time
	times int
	// bad: it sent wrong bytes, by the record of this piece, set by that host.
	bad    bool
	piece  int
	setter pieces.HostID
}

// maxBlocks bounds the hosts remembered per content.
const maxBlocks = 1000

// block stops using a host for d, or, with d = 0, for 1 s, 2 s, … 64 s, and
// gives up what is under way from it. c.mu is held.
func (c *Content) block(id pieces.HostID, d time.Duration) {
	b := c.blocked[id]
	if b == nil {
		if len(c.blocked) >= maxBlocks {
			c.forgive()
		}
		b = &block{}
		c.blocked[id] = b
	}
	if d == 0 {
		d = time.Second << min(b.times, 6)
	}
	b.times++
	if until := time.Now().Add(d); until.After(b.until) {
		b.until = until
	}
	c.abandon(id)
	if n := c.neighbours[id]; n != nil {
		c.removeNeighbour(n)
	}
}

// convict blocks a host that sent other bytes of piece i than the record says,
// and reports whether it did. One piece is enough, even from a host that has left
// meanwhile, unless who set the record is known as a liar: then the record is in
// doubt, the host is just not asked for the piece, and whoever was convicted by
// that liar's records is free. c.mu is held.
func (c *Content) convict(id pieces.HostID, i int) bool {
	setter := c.setters[c.setter[i]]
	if b := c.blocked[setter]; setter != id && b != nil && b.bad && c.isBlocked(setter) {
		c.pick.NeighbourLost(id, pieces.Extent{First: i, End: i + 1})
		return false
	}
	c.block(id, badBlock)
	b := c.blocked[id]
	b.bad, b.piece, b.setter = true, i, setter
	if setter == id {
		c.acquit(func(b *block) bool { return b.setter == id && b != c.blocked[id] })
	}
	return true
}

// acquit ends the blocks of those who were convicted by records that turned out
// wrong. c.mu is held.
func (c *Content) acquit(by func(*block) bool) {
	for id, b := range c.blocked {
		if b.bad && by(b) {
			delete(c.blocked, id)
		}
	}
}

// forgive forgets the half of the blocks that end first. c.mu is held.
func (c *Content) forgive() {
	ids := slices.SortedFunc(maps.Keys(c.blocked), func(a, b pieces.HostID) int {
		return c.blocked[a].until.Compare(c.blocked[b].until)
	})
	for _, id := range ids[:len(ids)/2] {
		delete(c.blocked, id)
	}
}

func (c *Content) isBlocked(id pieces.HostID) bool {
	b := c.blocked[id]
	return b != nil && time.Now().Before(b.until)
}

// blockedHosts are named to the scheduler, so that it names others.
func (c *Content) blockedHosts() []pieces.HostID {
	var out []pieces.HostID
	for id := range c.blocked {
		if c.isBlocked(id) {
			out = append(out, id)
		}
	}
	return out
}
