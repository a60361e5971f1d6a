package announce

import (
	"context"
	"hash/maphash"
	"math/bits"
	"time"

	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// telling is what a link's scheduler was told of what this host holds. It
// belongs to the link's goroutine.
type telling struct {
	l   *link
	due bool // something may have changed
	// sum and items are of the inventory last told; at is when it was made.
	sum   uint64
	items int
	at    time.Time
	// reopen paces the opening of sessions that are to stay open.
	reopen *backoff
	opened time.Time
}

// tell tells the scheduler the inventory if it is due and has changed, and
// keeps a session open on which the scheduler can ask for what is in it. wait
// is when to announce again; it returns how long to sleep until then or until
// it has something to do.
func (t *telling) tell(ctx context.Context, wait time.Duration) (time.Duration, error) {
	o := &t.l.c.o
	if t.items > 0 && t.l.known.Load() == 0 {
		t.sum, t.items, t.due = 0, 0, true // it has forgotten us
	}
	if t.due || time.Since(t.at) >= o.InventoryEvery {
		items := t.l.c.inventoryFor(t.l)
		t.l.mu.Lock()
		t.l.keep = len(items) > 0 && !t.l.retired
		t.l.mu.Unlock()
		wait = t.stay(ctx, wait)
		if err := t.send(ctx, items); err != nil {
			return 0, err
		}
		t.due, t.at = false, time.Now()
	} else {
		wait = t.stay(ctx, wait)
	}
	return min(wait, time.Until(t.at.Add(o.InventoryEvery))), nil
}

// stay opens the session that is to stay open; one that ended at once is
// opened again later.
func (t *telling) stay(ctx context.Context, wait time.Duration) time.Duration {
	if t.l.is(func() bool { return !t.l.keep || t.l.session != nil }) {
		return wait
	}
	o := &t.l.c.o
	since := time.Since(t.opened)
	if since > o.RetryMost {
		t.reopen.reset()
	}
	if pause := t.reopen.last - since; pause > 0 {
		return min(wait, pause)
	}
	t.reopen.next()
	t.opened = time.Now()
	if s, err := t.l.current(); err == nil {
		// Items come after it, so that nobody is asked whom nobody can ask.
		_ = t.l.quick(ctx, s.ready)
	}
	return wait
}

// send sends the pages of an inventory, unless it is the one known there.
func (t *telling) send(ctx context.Context, items []InventoryItem) error {
	sum := t.l.c.sumOf(items)
	if sum == t.sum && len(items) == t.items {
		return nil
	}
	begins := true
	for rest := items; begins || len(rest) > 0; begins = false {
		page := rest[:min(len(rest), t.l.c.o.InventoryPage)]
		rest = rest[len(page):]
		req := &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(t.l.c.host()), InventoryBegins: begins}
		for _, it := range page {
			req.Inventory = append(req.Inventory, &schedulerpb.InventoryItem{
				Task: string(it.Key.Task), Version: string(it.Key.Version), Pieces: uint32(it.Pieces),
			})
		}
		if _, err := t.l.announceOnce(ctx, req); err != nil {
			t.sum, t.items = 0, -1 // all of it again
			return err
		}
	}
	t.sum, t.items = sum, len(items)
	return nil
}

// sumOf is the same for inventories of the same items in any order, with about
// as many pieces.
func (c *Client) sumOf(items []InventoryItem) (sum uint64) {
	for _, it := range items {
		h := maphash.String(c.seed, string(it.Key.Task)) ^ maphash.String(c.seed, string(it.Key.Version))
		sum += h * uint64(2*bits.Len(uint(it.Pieces))+1)
	}
	return sum
}

// inventoryFor returns what this host holds of the Tasks that are asked for at
// l: those it comes first for on the ring, among the schedulers that answer or
// among those that are used.
func (c *Client) inventoryFor(l *link) []InventoryItem {
	all := c.o.Inventory()
	reachable, usable := map[string]bool{}, map[string]bool{}
	for _, x := range c.allLinks() {
		reachable[x.addr], usable[x.addr] = x.reachable(), x.usable()
	}
	c.mu.Lock()
	r := c.ring
	c.mu.Unlock()
	var items []InventoryItem
	for _, it := range all {
		if it.Pieces <= 0 {
			continue
		}
		answers, used := false, false
		for addr := range r.Walk(string(it.Key.Task)) {
			if addr == l.addr && (reachable[addr] && !answers || usable[addr] && !used) {
				items = append(items, it)
				break
			}
			answers = answers || reachable[addr]
			used = used || usable[addr]
			if answers && used {
				break
			}
		}
	}
	return items
}
