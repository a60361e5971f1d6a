package swarm

import (
	"slices"
	"time"

	"damselfly/pieces"
)

// accessOrder is the order in which readers first touched the pieces of the
// current Version, merged as they report it.
type accessOrder struct {
	extents []pieces.Extent
	seen    pieces.Set
	// shared is the copy handed out since the last touch.
	shared []pieces.Extent
	// recalled is when some of it came from a catalogue; zero = none did.
	recalled time.Time
}

// newsFor is how long a peer may be registered before its session is heard: who
// is heard first so soon after an order was recalled may not have it.
const newsFor = 10 * time.Second

func (o *accessOrder) isNews(now time.Time) bool {
	return !o.recalled.IsZero() && now.Sub(o.recalled) < newsFor
}

// touch appends what nobody touched before, joining runs, up to limit extents.
func (o *accessOrder) touch(e pieces.Extent, limit int) {
	for run := range o.seen.Missing(e) {
		o.shared = nil
		if n := len(o.extents); n > 0 && o.extents[n-1].End == run.First {
			o.extents[n-1].End = run.End
		} else if n < limit {
			o.extents = append(o.extents, run)
		} else {
			return
		}
		o.seen.AddExtent(run)
	}
}

// list returns the order; it is never changed later.
func (o *accessOrder) list() []pieces.Extent {
	if o.shared == nil {
		o.shared = slices.Clone(o.extents)
	}
	return o.shared
}

// Order returns the access order of the current Version with the facts of that,
// and how many pieces it has; none if the facts are unknown.
func (t *Task) Order() (f pieces.Facts, order []pieces.Extent, n int) {
	if t.facts.facts == nil {
		return f, nil, 0
	}
	return *t.facts.facts, t.order.list(), t.order.seen.Count()
}

// recalled takes the access order that a catalogue kept. What has been touched
// since goes behind it; peers that registered before are told.
func (t *Task) recalled(e Recalled) {
	t.catalogued = e
	if t.facts.facts == nil || e.Version != t.facts.version {
		return // perhaps it is of the Version that the facts will show
	}
	t.catalogued = Recalled{}
	g, err := t.facts.facts.Geometry()
	if err != nil {
		return
	}
	since := t.order.list()
	var merged accessOrder
	for _, es := range [][]pieces.Extent{e.Order, since} {
		for _, x := range es {
			if g.Contains(x) {
				merged.touch(x, t.opts().MaxOrder)
			}
		}
	}
	if merged.seen.Count() == t.order.seen.Count() {
		return // nothing new
	}
	merged.recalled = t.now
	t.order = merged
	v := t.version(e.Version)
	if v == nil {
		return
	}
	for _, p := range v.sorted() {
		v.send(p, AccessOrder{t.order.list()})
	}
}

func (v *version) onTouched(es []pieces.Extent) {
	if v.replaced || v.id != v.t.facts.version {
		return
	}
	for e := range v.clip(es) {
		v.t.order.touch(e, v.t.opts().MaxOrder)
	}
}
