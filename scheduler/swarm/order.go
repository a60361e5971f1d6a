package swarm

import (
	"slices"

	"damselfly/pieces"
)

// accessOrder is the order in which readers first touched the pieces of the
// current Version, merged as they report it.
type accessOrder struct {
	extents []pieces.Extent
	seen    pieces.Set
	// shared is the copy handed out since the last touch.
	shared []pieces.Extent
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

func (v *version) onTouched(es []pieces.Extent) {
	if v.replaced || v.id != v.t.facts.version {
		return
	}
	for e := range v.clip(es) {
		v.t.order.touch(e, v.t.opts().MaxOrder)
	}
}
