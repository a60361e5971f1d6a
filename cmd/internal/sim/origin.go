package sim

import (
	"slices"

	"damselfly/pieces"
)

// read is one extent being read from the origin under a lease.
type read struct {
	h      *host
	lease  pieces.LeaseID
	extent pieces.Extent
	next   int
	flow   *flow
	over   bool
}

// startRead reads e from the origin: a request, then its bytes piece by piece.
func (h *host) startRead(lease pieces.LeaseID, e pieces.Extent) {
	r := &read{h: h, lease: lease, extent: e, next: e.First}
	h.reads = append(h.reads, r)
	h.pick.StartOrigin(e)
	h.w.clock.after(2*h.w.sc.FarLatency, r.send)
}

func (r *read) send() {
	h, w, i := r.h, r.h.w, r.next
	if r.over || h.dead {
		return
	}
	if i == r.extent.End {
		r.end()
		h.schedule()
		return
	}
	r.next++
	if h.held.Has(i) {
		r.send()
		return
	}
	r.flow = w.net.start(float64(w.geo.Len(i)), func() {
		r.flow = nil
		h.got.origin += w.geo.Len(i)
		h.learn(pieces.Extent{First: i, End: i + 1})
		if h.held.Has(i) {
			h.got.wasted += float64(w.geo.Len(i))
		} else {
			h.hold(i, nil, r.lease, nil)
		}
		r.send()
	}, w.origin, h.down)
}

func (r *read) end() {
	r.over = true
	if r.flow != nil {
		passed := r.h.w.net.stop(r.flow)
		r.h.got.wasted += passed
		r.h.got.origin += int64(passed)
		r.flow = nil
	}
	r.h.reads = slices.DeleteFunc(r.h.reads, func(o *read) bool { return o == r })
	r.h.pick.EndOrigin(r.extent)
}

// endLease stops the read whose lease is over.
func (h *host) endLease(id pieces.LeaseID) {
	for _, r := range slices.Clone(h.reads) {
		if r.lease == id {
			r.end()
		}
	}
}
