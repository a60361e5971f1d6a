package limit

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// Budget is a number of bytes that may be held at once, safe for concurrent
// use.
type Budget struct {
	size  int64
	sem   *semaphore.Weighted // nil = unlimited
	inUse atomic.Int64
}

// NewBudget returns a Budget of size bytes; 0 or less means unlimited.
func NewBudget(size int64) *Budget {
	b := &Budget{size: max(size, 0)}
	if size > 0 {
		b.sem = semaphore.NewWeighted(size)
	}
	return b
}

// Acquire takes n ≥ 0 bytes, waiting behind whoever came first. A request
// larger than the whole Budget takes all of it, so that it passes alone instead
// of never. It returns a Canceled or Timeout error, with nothing taken, if ctx
// ends first. Give back exactly n with Release.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	if b == nil {
		return nil
	}
	if b.sem != nil {
		if err := b.sem.Acquire(ctx, b.weight(n)); err != nil {
			return ended(err, "waiting for memory")
		}
	}
	b.inUse.Add(b.weight(n))
	return nil
}

// TryAcquire takes n bytes if they are free and nobody waits, and reports
// whether it did.
func (b *Budget) TryAcquire(n int64) bool {
	if b == nil {
		return true
	}
	if b.sem != nil && !b.sem.TryAcquire(b.weight(n)) {
		return false
	}
	b.inUse.Add(b.weight(n))
	return true
}

// Release gives back n bytes of an Acquire(n) or TryAcquire(n). Giving back
// more than was taken panics.
func (b *Budget) Release(n int64) {
	if b == nil {
		return
	}
	if left := b.inUse.Add(-b.weight(n)); left < 0 {
		panic(fmt.Sprintf("limit: %d bytes released that were not acquired", -left))
	}
	if b.sem != nil {
		b.sem.Release(b.weight(n))
	}
}

// InUse returns the bytes held now. A request larger than the Budget counts as
// the Budget.
func (b *Budget) InUse() int64 {
	if b == nil {
		return 0
	}
	return b.inUse.Load()
}

// Size returns the bytes that may be held, 0 for unlimited.
func (b *Budget) Size() int64 {
	if b == nil {
		return 0
	}
	return b.size
}

func (b *Budget) weight(n int64) int64 {
	if b.size > 0 {
		return min(n, b.size)
	}
	return n
}
