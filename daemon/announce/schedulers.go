package announce

import (
	"context"
	"errors"
	"strings"
	"time"

	"damselfly/pieces"
	"damselfly/pieces/ring"
)

// setSchedulers replaces the list. Links of schedulers that are off it live on
// while Peers use them; the others hear an inventory, since Tasks may be theirs
// now.
func (c *Client) setSchedulers(addrs []string) {
	if len(addrs) == 0 {
		return
	}
	next := ring.New(addrs)
	c.mu.Lock()
	changed := strings.Join(c.ring.Members(), " ") != strings.Join(next.Members(), " ")
	var kick, retire []*link
	if changed {
		c.ring = next
		kick, retire = c.relinkLocked(next)
	}
	c.mu.Unlock()
	for _, l := range retire {
		l.retire()
	}
	if len(kick) > 0 {
		c.ringChanged()
	}
	c.nowListed()
}

// relinkLocked makes links what the ring says, with mu held.
func (c *Client) relinkLocked(next *ring.Ring) (kept, gone []*link) {
	listed := map[string]bool{}
	for _, addr := range next.Members() {
		listed[addr] = true
		if l := c.links[addr]; l != nil {
			kept = append(kept, l)
			continue
		}
		l, err := newLink(c, addr)
		if err != nil { // addresses were checked before
			c.o.Log.WithError(err).Error("scheduler can't be dialled")
			continue
		}
		if !c.spawnLocked(l.run) {
			_ = l.conn.Close()
			continue
		}
		c.links[addr] = l
	}
	for addr, l := range c.links {
		if !listed[addr] {
			gone = append(gone, l)
			delete(c.links, addr)
		}
	}
	return kept, gone
}

// movedError says that another scheduler has to be asked.
type movedError struct{ address string }

func (e *movedError) Error() string { return "moved to " + e.address }

// maxMoves bounds how often one call follows Moved.
const maxMoves = 3

// each asks the schedulers of a Task, its owner first, until one answers, and
// follows Moved among known schedulers; it begins no attempt after CallTimeout.
// first, if not empty, is asked before the others. call bounds itself by
// link.quick or link.patient, and is told what to say of the others.
func (c *Client) each(ctx context.Context, id pieces.TaskID, first string, call func(ctx context.Context, l *link, a asking) error) error {
	return c.ask(ctx, id, first, "", call)
}

// ask is each. lost, if not empty, is the scheduler that the asker has just
// lost: if all are down, the next on the ring is tried again, or the only one.
func (c *Client) ask(ctx context.Context, id pieces.TaskID, first, lost string, call func(ctx context.Context, l *link, a asking) error) error {
	if err := c.await(ctx); err != nil {
		return err
	}
	until := time.Now().Add(c.o.CallTimeout)
	w := c.newWalk(id, first)
	w.lost = lost
	var last error
	for l := w.next(); l != nil && time.Now().Before(until); l = w.next() {
		err := call(ctx, l, w.asking(l))
		var m *movedError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &m):
			if !w.moved(l, m.address) {
				c.refreshNow()
			}
		case over(ctx) != nil:
			return pieces.WithKind(pieces.KindOf(over(ctx)), over(ctx), "asking scheduler "+l.addr)
		case errors.Is(err, errJustEnded):
			w.again(l)
		case unanswered(err):
			l.failed(err)
		case pieces.KindOf(err) != pieces.Unavailable:
			return err
		}
		last = err
	}
	if c.stopped() {
		return errStopping
	}
	return &pieces.Error{Kind: pieces.Unavailable, Msg: "no scheduler answers for task " + id.Short(), Err: last}
}

// errJustEnded: the session ended while a Peer registered on it.
var errJustEnded = errors.New("the session has just ended")

func justEnded(l *link) error {
	return &pieces.Error{Kind: pieces.Unavailable, Msg: "scheduler " + l.addr, Err: errJustEnded}
}

// over returns why ctx is at its end, or so near that a failed call may have
// failed for that: the other side sees a deadline pass a moment before we do.
func over(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && time.Until(at) < 5*time.Millisecond {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// await waits until Run has begun and there is a list of schedulers.
func (c *Client) await(ctx context.Context) error {
	if !c.Enabled() {
		return pieces.Errorf(pieces.Unavailable, "neither manager nor scheduler is configured")
	}
	if err := over(ctx); err != nil {
		return pieces.WithKind(pieces.KindOf(err), err, "asking for a scheduler")
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	for _, ch := range []<-chan struct{}{c.started, c.listed} {
		select {
		case <-ch:
		case <-ctx.Done():
			return pieces.Errorf(pieces.Unavailable, "no scheduler is known yet")
		}
	}
	if c.stopped() {
		return errStopping
	}
	return nil
}

// walk is the order in which one call asks the schedulers of a Task.
type walk struct {
	owner  string
	order  []*link
	later  []*link // those not trusted yet, for when no other one is left
	dead   []*link // those that are down, for when there are no others, if lost is set
	lost   string
	by     map[string]*link
	tried  map[string]bool
	forced map[string]bool // asked again, told that the owner was tried
	twice  map[string]bool // asked again, since its session ended
	moves  int
}

func (c *Client) newWalk(id pieces.TaskID, first string) *walk {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &walk{owner: c.ring.Owner(string(id)), by: map[string]*link{}, tried: map[string]bool{}, forced: map[string]bool{}, twice: map[string]bool{}}
	for addr := range c.ring.Walk(string(id)) {
		if l := c.links[addr]; l != nil {
			w.by[addr] = l
			w.order = append(w.order, l)
		}
	}
	if l := w.by[first]; l != nil {
		w.order = append([]*link{l}, w.order...)
		w.forced[first] = true // whoever named it knows better than the ring
	}
	return w
}

// next returns the next link to ask; nil = none is left.
func (w *walk) next() *link {
	for len(w.order) > 0 {
		l := w.order[0]
		w.order = w.order[1:]
		switch {
		case w.tried[l.addr]:
		case !l.reachable():
			if w.lost != "" && (l.addr != w.lost || len(w.by) == 1) {
				w.dead = append(w.dead, l)
			}
		case w.forced[l.addr] || l.usable():
			w.tried[l.addr] = true
			return l
		default:
			w.later = append(w.later, l)
		}
	}
	for len(w.later) > 0 {
		l := w.later[0]
		w.later = w.later[1:]
		if !w.tried[l.addr] && l.reachable() {
			w.tried[l.addr] = true
			return l
		}
	}
	if len(w.dead) > 0 && len(w.tried) == 0 {
		l := w.dead[0]
		w.dead = nil
		w.tried[l.addr] = true
		return l
	}
	return nil
}

// asking is what a call says of the other schedulers: the Task's owner was
// asked before, or can't be; whoever else was named can't be asked.
type asking struct{ ownerTried, stay bool }

func (w *walk) asking(l *link) asking {
	if w.forced[l.addr] {
		return asking{true, true}
	}
	owner := w.by[w.owner]
	return asking{ownerTried: l.addr != w.owner && (owner == nil || w.tried[w.owner] || !owner.usable())}
}

// moved puts the named scheduler next. If it can't be reached or was asked
// already, from is asked again and told so; so too if it is not known: false.
func (w *walk) moved(from *link, address string) (known bool) {
	to := w.by[address]
	if w.moves++; w.moves > maxMoves {
		return to != nil
	}
	if to != nil && to.reachable() && !w.tried[address] {
		w.tried[from.addr] = true
		w.named(to)
		return true
	}
	if !w.forced[from.addr] {
		w.forced[from.addr] = true
		w.tried[from.addr] = false
		w.order = append([]*link{from}, w.order...)
	}
	return to != nil
}

// again puts l next, once: its session ended, but it may have another one.
func (w *walk) again(l *link) {
	if !w.twice[l.addr] {
		w.twice[l.addr], w.tried[l.addr] = true, false
		w.order = append([]*link{l}, w.order...)
	}
}

// named puts l next, trusted or not: the scheduler that named it has the say.
func (w *walk) named(l *link) {
	if l.usable() {
		w.order = append([]*link{l}, w.order...)
		return
	}
	w.later = append([]*link{l}, w.later...)
	w.order, w.later = nil, append(w.later, w.order...)
}
