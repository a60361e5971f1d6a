package scheduler

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// totals are the verified bytes that hosts told of as they came.
type totals struct{ origin, seeds, peers atomic.Int64 }

// What is counted of who sends to whom.
const (
	// watchFor is how long a Task's flows are counted after a look at them.
	watchFor = 30 * time.Second
	// flowWindow is the time of which a rate is the mean, in flowSlot steps.
	flowWindow = 5
	flowSlot   = time.Second
	maxFlows   = 4096
)

// flows counts who got what from whom in one Task while somebody looks.
// Guarded by its entry's lock.
type flows struct {
	began, until time.Time
	all          map[flowKey]*flow
}

type flowKey struct {
	version  pieces.VersionID
	from, to pieces.HostID // from "" = the origin
}

// flow is a ring of bytes per flowSlot; slot counts slots since began.
type flow struct {
	bytes  int64
	recent [flowWindow]int64
	slot   int64
}

// sent is one flow at a moment.
type sent struct {
	flowKey
	rate  float64 // bytes/s
	bytes int64
}

func newFlows(now time.Time) *flows { return &flows{began: now, all: map[flowKey]*flow{}} }

func (f *flows) slot(now time.Time) int64 { return int64(now.Sub(f.began) / flowSlot) }

// add counts n bytes.
func (f *flows) add(now time.Time, k flowKey, n int64) {
	x := f.all[k]
	if x == nil {
		if len(f.all) >= maxFlows {
			return
		}
		x = &flow{}
		f.all[k] = x
	}
	x.turn(f.slot(now))
	x.bytes += n
	x.recent[x.slot%flowWindow] += n
}

// turn goes on to a slot, with nothing in those between.
func (x *flow) turn(slot int64) {
	for ; x.slot < slot; x.slot++ {
		if slot-x.slot > flowWindow {
			x.slot = slot - flowWindow
		}
		x.recent[(x.slot+1)%flowWindow] = 0
	}
}

// list answers the flows of a Version, busiest first. If there is no room left
// it forgets those that were still for a window.
func (f *flows) list(now time.Time, v pieces.VersionID) (all []sent) {
	// The window is its full slots and what has passed of the present one.
	span := min(now.Sub(f.began), (flowWindow-1)*flowSlot+now.Sub(f.began)%flowSlot)
	full := len(f.all) >= maxFlows
	for k, x := range f.all {
		x.turn(f.slot(now))
		var sum int64
		for _, n := range x.recent {
			sum += n
		}
		if sum == 0 && full {
			delete(f.all, k)
		} else if k.version == v {
			all = append(all, sent{k, float64(sum) / max(span, flowSlot).Seconds(), x.bytes})
		}
	}
	slices.SortFunc(all, func(a, b sent) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	return all
}

// tally counts what a Held tells of bytes: those read under a lease came from
// the origin, those with a cost from the host that is named. With e.mu held.
func (s *Server) tally(e *entry, v swarm.View, h swarm.Held) {
	if h.Lease == 0 && len(h.Costs) == 0 {
		return
	}
	geo, ok := e.task.Geometry(h.From.Version)
	if !ok {
		return
	}
	if e.flows != nil && v.Now.After(e.flows.until) {
		e.flows = nil
	}
	if h.Lease != 0 {
		var n int64
		for _, x := range h.Extents {
			if geo.Contains(x) {
				_, b := geo.Bytes(x)
				n += b
			}
		}
		s.totals.origin.Add(n)
		e.flowed(v.Now, flowKey{h.From.Version, "", h.From.Host}, n)
		return
	}
	// A cost is that of one piece; which one is not told.
	each := min(geo.PieceSize, geo.Size)
	for _, c := range h.Costs {
		if st := v.Hosts.Get(c.Host); st != nil && st.Type == pieces.SeedHost {
			s.totals.seeds.Add(each)
		} else {
			s.totals.peers.Add(each)
		}
		e.flowed(v.Now, flowKey{h.From.Version, c.Host, h.From.Host}, each)
	}
}

func (e *entry) flowed(now time.Time, k flowKey, n int64) {
	if e.flows != nil {
		e.flows.add(now, k, n)
	}
}
