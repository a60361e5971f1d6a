package sim

import (
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// arrive is the request at its server: refused, or sent.
func (f *request) arrive() {
	s, w := f.from, f.h.w
	switch {
	case f.over || f.h.dead:
		return
	case s.dead:
		w.clock.move(&timer{do: f.lost}, f.began+idleTimeout)
		return
	}
	if s.seeding != nil && w.sc.Policy != pieces.PolicyClassic {
		now := epoch.Add(w.clock.now)
		v, again := s.seeding.Ask(now, f.h.ID, f.Extent, false, s.idc != f.h.idc, expected(w.geo.Size), s.pick.HeldNearby)
		if v != picker.Granted {
			given := v == picker.Given
			if given {
				w.tally.deferred++
			} else {
				w.tally.busy++
			}
			w.clock.after(w.latency(s, f.h), func() { f.refused(given, again) })
			return
		}
		f.granted = true
	}
	if s.slots >= w.sc.UploadSlots {
		w.tally.busy++
		if f.granted {
			f.granted = false
			s.seeding.Unsent(f.h.ID, f.Extent)
		}
		w.clock.after(w.latency(s, f.h), func() { f.refused(false, busyRetry) })
		return
	}
	s.slots++
	f.slot = true
	f.send()
}

// send lets the next piece flow; it is there one latency after its last byte has
// left.
func (f *request) send() {
	w, i := f.h.w, f.next
	f.sending = w.clock.now
	f.flow = w.start(f.from, f.h, w.geo.Len(i), func() {
		f.flow = nil
		f.from.got.sent += w.geo.Len(i)
		took := w.clock.now - f.sending
		last := i+1 == f.Extent.End
		w.clock.after(w.latency(f.from, f.h), func() { f.delivered(i, took, last) })
		if last {
			f.freeSlot()
			return
		}
		f.next++
		f.send()
	})
}

// sent ends what a seed granted.
func (f *request) sent() {
	if f.granted {
		f.granted = false
		f.from.seeding.Sent(epoch.Add(f.h.w.clock.now), f.h.ID, f.Extent)
	}
}

func (f *request) freeSlot() {
	f.sent()
	if f.slot {
		f.slot = false
		f.from.slots--
	}
}

// delivered is piece i at its receiver.
func (f *request) delivered(i int, took time.Duration, last bool) {
	h := f.h
	n := h.w.geo.Len(i)
	if h.dead {
		return
	}
	if f.over {
		h.got.wasted += float64(n)
		return
	}
	f.bytes += n
	f.brought()
	if h.held.Has(i) {
		h.got.wasted += float64(n)
	} else {
		if f.from.seeding != nil {
			h.got.seed += n
		} else {
			h.got.peers += n
		}
		if f.from.idc != h.idc {
			h.got.far += n
		}
		ms := float64(took.Microseconds()) / 1000
		h.hold(i, f, 0, &swarm.Cost{Host: f.Host, MsPerMiB: ms * (1 << 20) / float64(n)})
	}
	if last {
		f.done()
	}
}

// hold takes a verified piece: neighbours and the scheduler are told.
func (h *host) hold(i int, by *request, lease pieces.LeaseID, cost *swarm.Cost) {
	h.held.Add(i)
	h.pick.Held(i)
	h.unasked.Remove(i)
	h.overtaken(i, by)
	h.tell(holds, pieces.Extent{First: i, End: i + 1})
	h.reportHeld(i, lease, cost)
	if h.held.Count() == h.w.geo.Count() {
		h.completed()
		return
	}
	h.schedule()
}

func (h *host) completed() {
	h.done, h.doneAt = true, h.w.clock.now
	h.w.finished(h)
}

// reportHeld tells the scheduler of piece i, batched unless it has its digest
// with it.
func (h *host) reportHeld(i int, lease pieces.LeaseID, cost *swarm.Cost) {
	if !h.isPeer {
		return
	}
	e := pieces.Extent{First: i, End: i + 1}
	if n := len(h.report); n == 0 || h.report[n-1].Lease != lease {
		h.report = append(h.report, swarm.Held{From: h.w.brain.from(h), Lease: lease})
	}
	r := &h.report[len(h.report)-1]
	if k := len(r.Extents); k > 0 && r.Extents[k-1].End == i {
		r.Extents[k-1].End++
	} else {
		r.Extents = append(r.Extents, e)
	}
	if cost != nil {
		r.Costs = append(r.Costs, *cost)
	}
	if lease != 0 {
		r.Sums = append(r.Sums, h.w.sums(e, h.ID))
	}
	h.reported++
	switch {
	case lease != 0 || h.reported >= reportPieces:
		h.flushReport()
	case h.reporter.pos == 0:
		h.w.clock.move(&h.reporter, h.w.clock.now+reportDelay)
	}
}

func (h *host) flushReport() {
	h.w.clock.stop(&h.reporter)
	for _, r := range h.report {
		h.w.brain.say(h, r)
	}
	h.report, h.reported = nil, 0
}

// tellScheduler sends what does not wait for company, after what was said before.
func (h *host) tellScheduler(ev swarm.Event) {
	if h.isPeer {
		h.flushReport()
		h.w.brain.say(h, ev)
	}
}
