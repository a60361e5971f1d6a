package sim

import (
	"slices"
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// request is one data request under way: daemon/engine's flight, daemon/fetch's
// Get and daemon/upload's answer in one.
type request struct {
	picker.Request
	h, from *host
	late    *timer
	isLate  bool
	// since is when it was started or brought its last piece; began when it
	// was started; sending when the bytes of its piece began to flow.
	since, began, sending time.Duration
	next                  int // piece that flows
	flow                  *flow
	bytes                 int64 // delivered
	slot                  bool  // holds an upload slot
	granted               bool  // by a seed
	over                  bool
}

// request starts what the picker decided.
func (h *host) request(r picker.Request) {
	n := h.byID[r.Host]
	if n == nil {
		h.pick.Done(r, 0, 0)
		return
	}
	if r.Hedge {
		h.w.tally.hedges++
	}
	now := h.w.clock.now
	f := &request{Request: r, h: h, from: n.host, since: now, began: now, next: r.Extent.First}
	h.flights = append(h.flights, f)
	h.tellSoon(fetches, r.Extent, n.host.idc != h.idc)
	f.late = h.w.clock.after(h.waits.patience(), f.overdue)
	h.w.clock.after(h.w.latency(h, f.from), f.arrive)
}

// overdue lets others be asked for what f was to bring.
func (f *request) overdue() {
	if !f.over && f.h.pick.Late(f.ID) {
		f.isLate = true
		f.h.late++
		f.h.schedule()
	}
}

// brought notes that f delivered a piece, and how long that took.
func (f *request) brought() {
	now := f.h.w.clock.now
	f.h.waits.add(now - f.since)
	f.since = now
	f.h.w.clock.move(f.late, now+f.h.waits.patience())
}

// land takes f out of the books of its host, with what it delivered.
func (f *request) land() {
	h := f.h
	f.over = true
	h.w.clock.stop(f.late)
	i := slices.Index(h.flights, f)
	h.flights = slices.Delete(h.flights, i, i+1)
	if f.isLate {
		h.late--
	}
	if !h.held.HasExtent(f.Extent) {
		h.tell(stopped, f.Extent)
	}
	h.pick.Done(f.Request, f.bytes, h.w.clock.now-f.began)
}

// cancel gives f up; what flowed of it is wasted.
func (f *request) cancel() {
	f.land()
	f.cut()
}

// cut ends the sending side.
func (f *request) cut() {
	if f.flow != nil {
		passed := f.h.w.net.stop(f.flow)
		f.h.got.wasted += passed
		f.from.got.sent += int64(passed)
		f.flow = nil
	}
	f.freeSlot()
}

// done ends f after its last piece.
func (f *request) done() {
	f.land()
	f.h.schedule()
}

// refused ends f with an answer other than bytes: 409 of a seed that gave the
// pieces to another child, or 503 without a free slot.
func (f *request) refused(deferred bool, again time.Duration) {
	h := f.h
	if f.over || h.dead {
		return
	}
	f.land()
	h.forgetAsked(f.Extent)
	if n := h.byID[f.Host]; n != nil {
		if deferred {
			h.deferTo(n, f.Extent, again)
			if d := h.w.sc.DeferPause; d > 0 {
				h.pause(n, d)
			}
		} else {
			h.pause(n, max(again, 50*time.Millisecond))
		}
	}
	h.schedule()
}

// lost ends f whose server gives no bytes any more.
func (f *request) lost() {
	h := f.h
	if f.over || h.dead {
		return
	}
	f.land()
	h.forgetAsked(f.Extent)
	if h.byID[f.Host] != nil {
		h.block(f.from)
		h.tellScheduler(swarm.Failed{From: h.w.brain.from(h), Parent: f.Host, Extents: []pieces.Extent{f.Extent}, Reason: pieces.FailTimeout})
	}
	h.schedule()
}

// deferTo leaves pieces that a seed gave to another child to that child for a
// while.
func (h *host) deferTo(n *neighbour, e pieces.Extent, d time.Duration) {
	id := n.host.ID
	h.pick.Defer(id, e, true)
	h.w.clock.after(min(max(d, 20*time.Millisecond), time.Second), func() {
		h.pick.Defer(id, e, false)
		h.schedule()
	})
}

// pause leaves a busy neighbour alone for a moment.
func (h *host) pause(n *neighbour, d time.Duration) {
	id := n.host.ID
	h.pick.Pause(id, pieces.Fill, true)
	h.w.clock.after(min(d, time.Second), func() {
		h.pick.Pause(id, pieces.Fill, false)
		h.schedule()
	})
}

// overtaken cancels the other requests that have nothing left to bring, now that
// piece i is here.
func (h *host) overtaken(i int, by *request) {
	for _, f := range slices.Clone(h.flights) {
		if f != by && f.Extent.Has(i) && h.held.HasExtent(f.Extent) {
			f.cancel()
		}
	}
}

// abandon cancels what is under way from o.
func (h *host) abandon(o *host) {
	for _, f := range slices.Clone(h.flights) {
		if f.from == o {
			f.cancel()
		}
	}
}

// waits are how long the most recent pieces took to come; as daemon/engine.
type waits struct {
	last [64]time.Duration
	n    int
	p    time.Duration // 95th percentile
}

func (w *waits) add(d time.Duration) {
	w.last[w.n%len(w.last)] = d
	w.n++
	if w.n < len(w.last) || w.n%8 == 0 {
		s := slices.Clone(w.last[:min(w.n, len(w.last))])
		slices.Sort(s)
		w.p = s[(len(s)*95-1)/100]
	}
}

// patience is how long a piece may take before somebody else is asked.
func (w *waits) patience() time.Duration {
	if w.n < 8 {
		return hedgeStart
	}
	return min(max(w.p, hedgeMin), hedgeMax)
}
