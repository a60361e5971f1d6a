package readahead

import (
	"cmp"
	"slices"

	"damselfly/pieces"
)

// Follower leads the readers of one file along the access order of earlier
// ones. It trusts the order as far as it is kept to: what it wants ahead grows
// by half with each touch that comes where the order says, up to as much as has
// been touched so, and is halved by each that does not. So it goes on while more
// than about six in ten do, and is down to nothing a few touches after a reader
// has left the order. Somebody who reads at random does not even begin, also in
// a file that was once read from start to end: it takes three touches near each
// other in the order. Several readers at different places of the order each
// have their lead.
type Follower struct {
	order []pieces.Extent
	// begin is the position of each extent's first piece in the order.
	begin []int
	// sorted are indices of order, by first piece.
	sorted []int
	most   int
	leads  []*lead // the one used last comes last
}

// lead is a place in the order where somebody reads.
type lead struct {
	// head is the position that is expected next; depth how many from there on
	// are wanted; touches counts those that were near.
	head, depth, touches int
}

const (
	// leadsKept is how many places of the order are known at once.
	leadsKept = 4
	// near is how far from the head a touch may be, in positions.
	near = 16
	// So many touches near each other begin a lead of firstDepth positions.
	trusting   = 3
	firstDepth = 8
	// longRun pieces that follow each other are read in order: who is in the
	// middle of them has a window, which does more for them.
	longRun = 2 * near
)

// NewFollower returns a Follower of an order of extents, in which no piece is
// twice. It looks at most this many pieces ahead.
func NewFollower(order []pieces.Extent, most int) *Follower {
	f := &Follower{order: order, most: max(1, most)}
	at := 0
	for i, e := range order {
		f.begin = append(f.begin, at)
		f.sorted = append(f.sorted, i)
		at += e.Len()
	}
	slices.SortFunc(f.sorted, func(a, b int) int { return cmp.Compare(order[a].First, order[b].First) })
	return f
}

// position returns where piece i stands in the order.
func (f *Follower) position(i int) (int, bool) {
	k, found := slices.BinarySearchFunc(f.sorted, i, func(x, i int) int { return cmp.Compare(f.order[x].First, i) })
	if !found {
		k--
	}
	if k < 0 || !f.order[f.sorted[k]].Has(i) {
		return 0, false
	}
	x := f.sorted[k]
	return f.begin[x] + i - f.order[x].First, true
}

// Touch notes that a reader touched piece i for the first time.
func (f *Follower) Touch(i int) {
	at, ok := f.position(i)
	if !ok {
		f.deviated()
		return
	}
	for k := len(f.leads) - 1; k >= 0; k-- {
		l := f.leads[k]
		if at < l.head-near || at >= l.head+max(near, l.depth) {
			continue
		}
		f.leads = append(slices.Delete(f.leads, k, k+1), l)
		l.head = max(l.head, at+1)
		if l.touches++; l.depth > 0 {
			l.depth = min(l.depth+l.depth/2+1, max(firstDepth, l.touches), f.most)
		} else if l.touches >= trusting {
			l.depth = min(firstDepth, f.most)
		}
		return
	}
	f.deviated()
	if len(f.leads) == leadsKept {
		f.leads = slices.Delete(f.leads, 0, 1)
	}
	f.leads = append(f.leads, &lead{head: at + 1, touches: 1})
}

func (f *Follower) deviated() {
	for _, l := range f.leads {
		l.depth /= 2
	}
}

// Ahead yields what to have here, in order: of the lead used last first. The rest
// of a long run in which a reader is belongs to its window.
func (f *Follower) Ahead(yield func(pieces.Extent) bool) {
	for k := len(f.leads) - 1; k >= 0; k-- {
		l := f.leads[k]
		x, found := slices.BinarySearch(f.begin, l.head)
		if !found {
			x--
		}
		for at, end := l.head, l.head+l.depth; at < end && x >= 0 && x < len(f.order); x++ {
			e := f.order[x]
			e.First += at - f.begin[x]
			if at > f.begin[x] && e.Len() > longRun {
				at += e.Len()
				continue
			}
			e.End = min(e.End, e.First+end-at)
			if e.Empty() {
				continue
			}
			at += e.Len()
			if !yield(e) {
				return
			}
		}
	}
}
