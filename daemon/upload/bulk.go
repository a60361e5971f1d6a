package upload

import (
	"sync"
	"time"

	"damselfly/pieces"
)

// bulkSlots are the slots of answers that nobody waits for. There are as many as
// keep an answer short: where the way out is slow, many answers at once fill its
// queue, in which this host's own requests and acknowledgements are lost, so that
// a host with a way out of a tenth downloaded at a third of its rate. What is
// measured can't tell a slow way out from slow askers; so that many of those get
// something beside each other, there are never less than leastBulk.
type bulkSlots struct {
	most int

	mu    sync.Mutex
	open  int // how many there are now
	inUse int
}

// A piece of the least size that takes longer than slowPiece costs a slot, one
// that is faster than quickPiece gives one back.
const (
	slowPiece  = time.Second
	quickPiece = 500 * time.Millisecond
	leastBulk  = 2
)

func newBulkSlots(most int) *bulkSlots { return &bulkSlots{most: most, open: most} }

// take takes a slot if one is free.
func (b *bulkSlots) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.inUse >= b.open {
		return false
	}
	b.inUse++
	return true
}

// free gives a slot back, in which n bytes were sent in took; few say nothing.
func (b *bulkSlots) free(n int64, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inUse--
	if n < pieces.MinPieceSize/2 {
		return
	}
	switch piece := time.Duration(float64(took) * pieces.MinPieceSize / float64(n)); {
	case piece > slowPiece:
		b.open = max(min(leastBulk, b.most), b.open-1)
	case piece < quickPiece:
		b.open = min(b.most, b.open+1)
	}
}
