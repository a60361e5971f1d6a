package engine

import (
	"damselfly/daemon/exchange"
	"damselfly/pieces"
)

// ask tells the scheduler what no neighbour can give, or, without one, reads
// the origin. c.mu is held.
func (c *Content) ask() {
	if c.peer == nil && c.swarms() {
		c.register()
	}
	for class := pieces.Demand; class < pieces.Classes; class++ {
		if c.pick.WantCount(class) == 0 {
			continue
		}
		// What is not under way, and can't be had from a neighbour: nobody near
		// has it, or its digest is not known.
		need := c.pick.Unmet(class)
		if class == pieces.Demand && !c.replaced {
			need = c.addDoubtful(need)
		}
		if need == nil || need.Count() == 0 {
			continue
		}
		switch {
		case c.replaced:
			c.failReplaced(need)
		case c.alone():
			if !c.resting(need) {
				c.readAlone(class, need)
			}
		case c.peer != nil && c.downSince.IsZero():
			c.askFor(class, need)
		}
	}
}

// addDoubtful adds to need, which may be nil, demand that neighbours may never bring: what only late
// requests are bringing, if there is a scheduler to name others, and the reads
// that have waited too long whatever neighbours claim. c.mu is held.
func (c *Content) addDoubtful(need *pieces.Set) *pieces.Set {
	if need == nil {
		need = &pieces.Set{}
	}
	if !c.alone() {
		for e := range c.pick.Overdue(pieces.Demand).Extents() {
			need.AddExtent(e)
		}
	}
	for in := range c.interests {
		if in.stuck != nil {
			for e := range in.stuck.Extents() {
				need.AddExtent(e)
			}
		}
	}
	need.SubtractSet(c.held)
	for o := range c.origins {
		need.RemoveExtent(o.extent)
	}
	return need
}

// failReplaced ends waits for pieces of an old Version that nobody near has.
func (c *Content) failReplaced(need *pieces.Set) {
	err := pieces.Errorf(pieces.Changed, "%v was replaced at its origin", c.key)
	for e := range need.Extents() {
		c.fail(e, err)
	}
}

func (c *Content) askFor(class pieces.Class, need *pieces.Set) {
	for k := pieces.Demand; k <= class; k++ {
		need.SubtractSet(c.asked[k])
	}
	if need.Count() == 0 {
		return
	}
	es := need.List()
	if len(es) > maxWant {
		es = es[:maxWant]
	}
	for _, e := range es {
		c.asked[class].AddExtent(e)
	}
	c.peer.WantFor(c.tracedIn(es), es, class, c.blockedHosts())
	if class == pieces.Demand {
		c.tell(exchange.Delta{Wants: es}, func(*neighbour) bool { return true })
	}
}

// maxWant bounds the extents of one want; the rest follows.
const maxWant = 4096

// unask takes back wants that no reader has any more. c.mu is held.
func (c *Content) unask() {
	for class := range c.asked {
		var gone []pieces.Extent
		for e := range c.asked[class].Extents() {
			for i := range e.All() {
				if _, wanted := c.pick.Wanted(i); !wanted {
					gone = append(gone, pieces.Extent{First: i, End: i + 1})
				}
			}
		}
		if len(gone) == 0 {
			continue
		}
		s := pieces.SetOf(gone...)
		c.asked[class].SubtractSet(s)
		if c.peer != nil && c.downSince.IsZero() {
			c.peer.Cancel(s.List())
		}
	}
}
