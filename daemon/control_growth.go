package daemon

import (
	"damselfly/daemon/control"
	"damselfly/daemon/engine"
)

// Grow implements control.Handle.
func (h controlHandle) Grow(step int64) control.Growth { return growth{h.h.Grow(step), h} }

// growth is an engine.Growth in bytes.
type growth struct {
	*engine.Growth
	of controlHandle
}

func (g growth) Written() (rs []control.Range, all bool) {
	es, all := g.Growth.Written()
	for _, e := range es {
		off, n := g.of.h.Content().Geometry().Bytes(e)
		rs = append(rs, control.Range{Off: off, N: n})
	}
	return rs, all
}
