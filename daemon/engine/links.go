package engine

import (
	"time"

	"damselfly/daemon/exchange"
	"damselfly/pieces"
)

// maxNeighbours bounds the neighbours of one content.
const maxNeighbours = 64

// neighbour is another Peer of this content.
type neighbour struct {
	host pieces.Host
	// links are its streams: one, or two when both sides dialled at once.
	links []*exchange.Link
	// dialling: our own link is on its way.
	dialling bool
	parent   bool
	// wants are pieces that a reader over there waits for.
	wants *pieces.Set
	// strikes counts, since a request brought all it was to bring, requests
	// that found nothing of what the host says it holds.
	strikes int
}

func (n *neighbour) close() {
	for _, l := range n.links {
		l.Close()
	}
}

// addNeighbour makes host a neighbour and dials it, unless it is blocked, is
// this host, or there are too many. c.mu is held.
func (c *Content) addNeighbour(host pieces.Host, parent, dial bool) *neighbour {
	if host.ID == c.e.o.Host.ID || c.closed || c.isBlocked(host.ID) {
		return nil
	}
	n := c.neighbours[host.ID]
	if n == nil {
		if len(c.neighbours) >= maxNeighbours {
			return nil
		}
		n = &neighbour{host: host, wants: &pieces.Set{}}
		c.neighbours[host.ID] = n
	}
	n.parent = parent
	c.pick.AddNeighbour(host.ID, parent, host.Type == pieces.SeedHost)
	c.pick.SetPlace(host.ID, host.IDC)
	if dial && len(n.links) == 0 && !n.dialling {
		n.dialling = true
		c.e.exchange.Connect(c, host)
	}
	return n
}

// removeNeighbour forgets a neighbour and ends its streams. c.mu is held.
func (c *Content) removeNeighbour(n *neighbour) {
	if c.neighbours[n.host.ID] != n {
		return
	}
	delete(c.neighbours, n.host.ID)
	c.pick.RemoveNeighbour(n.host.ID)
	if c.seeding != nil {
		c.seeding.Gone(n.host.ID)
	}
	n.close()
}

// makePlace removes a neighbour for another, if all places are taken: one that is
// no parent, brings nothing just now and waits for nothing. c.mu is held.
func (c *Content) makePlace() bool {
	if len(c.neighbours) < maxNeighbours {
		return false // what was in the way is something else
	}
	for id, n := range c.neighbours {
		if !n.parent && n.wants.Count() == 0 && !c.pick.Busy(id) {
			c.removeNeighbour(n)
			return true
		}
	}
	return false
}

// Joined is called when a stream with a neighbour is up (exchange.Swarm).
func (c *Content) Joined(l *exchange.Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.neighbours[l.Host().ID]
	if n == nil {
		if n = c.addNeighbour(l.Host(), false, false); n == nil {
			l.Close()
			return
		}
	}
	n.dialling = false
	n.links = append(n.links, l)
	var d exchange.Delta
	d.Held = c.held.List()
	for o := range c.origins {
		d.Fetching = append(d.Fetching, o.extent)
	}
	for e := range c.pick.Missing(pieces.Demand).Extents() {
		d.Wants = append(d.Wants, e)
	}
	l.Update(d, true)
}

// Heard takes what a neighbour says (exchange.Swarm).
func (c *Content) Heard(l *exchange.Link, d exchange.Delta) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := l.Host().ID
	n := c.neighbours[id]
	if n == nil {
		return
	}
	for _, e := range d.Held {
		c.pick.NeighbourHeld(id, e)
	}
	for _, e := range d.Lost {
		c.pick.NeighbourLost(id, e)
	}
	for _, e := range d.Fetching {
		c.pick.NeighbourFetching(id, e, false)
	}
	for _, e := range d.Stopped {
		c.pick.NeighbourStopped(id, e)
	}
	for _, e := range d.Wants {
		n.wants.AddExtent(e)
		c.hasten(e)
	}
	c.schedule()
}

// Left is called when a stream ended or never came up (exchange.Swarm).
func (c *Content) Left(l *exchange.Link, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.neighbours[l.Host().ID]
	if n == nil {
		return
	}
	joined := false
	for i, o := range n.links {
		if o == l {
			n.links = append(n.links[:i], n.links[i+1:]...)
			joined = true
			break
		}
	}
	if !joined {
		n.dialling = false
	}
	if len(n.links) > 0 || n.dialling {
		return
	}
	c.parted(n, joined, err)
	c.schedule()
}

// parted decides what a neighbour without a stream is worth. c.mu is held.
func (c *Content) parted(n *neighbour, joined bool, err error) {
	switch {
	case joined:
		c.removeNeighbour(n)
	case pieces.KindOf(err) == pieces.Full:
		// One of us has too many streams: what it is known to hold can be had
		// without one.
	default:
		c.log.WithError(err).WithField("host", n.host.ID.Short()).Debug("can't reach a neighbour")
		c.block(n.host.ID, 0)
		if c.peer != nil {
			c.peer.Failed(n.host.ID, nil, pieces.FailUnreachable)
		}
	}
}

// tell sends a change to every neighbour. c.mu is held.
func (c *Content) tell(d exchange.Delta, urgent func(*neighbour) bool) {
	for _, n := range c.neighbours {
		if len(n.links) > 0 {
			n.links[0].Update(d, urgent(n))
		}
	}
}

// Patience is how long changes for a neighbour may be gathered
// (exchange.Swarm). c.mu is held, as whenever a link is updated.
func (c *Content) Patience(id pieces.HostID) time.Duration {
	return c.pick.Patience(id, c.speed.expected(c.geo.Size))
}

func never(*neighbour) bool { return false }

// tellFetching says that e is on its way, from far away or not. c.mu is held.
func (c *Content) tellFetching(e pieces.Extent, far bool) {
	c.tell(exchange.Delta{Fetching: []pieces.Extent{e}}, c.hearsAtOnce(far))
}

// hearsAtOnce says who is told at once of what is on its way: what comes from far
// away those near are to leave alone.
func (c *Content) hearsAtOnce(far bool) func(*neighbour) bool {
	if !far {
		return never
	}
	return func(n *neighbour) bool { return !c.e.o.Host.Far(n.host) }
}

// tellStopped says which pieces of e are no longer coming.
func (c *Content) tellStopped(e pieces.Extent) {
	var d exchange.Delta
	for m := range c.held.Missing(e) {
		d.Stopped = append(d.Stopped, m)
	}
	if len(d.Stopped) > 0 {
		c.tell(d, never)
	}
}

func (c *Content) tellLost(e pieces.Extent) {
	c.tell(exchange.Delta{Lost: []pieces.Extent{e}}, func(*neighbour) bool { return true })
	if c.peer != nil {
		c.peer.Lost([]pieces.Extent{e})
	}
}
