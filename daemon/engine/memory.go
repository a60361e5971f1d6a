package engine

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"damselfly/daemon/limit"
)

// memory hands out piece buffers within one budget for the whole daemon.
type memory struct {
	budget *limit.Budget
	pools  [32]sync.Pool // by power of two
}

func newMemory(size int64) *memory { return &memory{budget: limit.NewBudget(size)} }

// buffer is the bytes of one piece, shared by the writer, readers and uploads.
// It goes back to the pool and the budget with its last reference.
type buffer struct {
	data []byte
	m    *memory
	refs atomic.Int32
}

// get waits until n bytes fit the budget and returns a buffer with one
// reference.
func (m *memory) get(ctx context.Context, n int) (*buffer, error) {
	if err := m.budget.Acquire(ctx, int64(n)); err != nil {
		return nil, err
	}
	b := &buffer{m: m}
	if p, ok := m.pools[poolOf(n)].Get().(*[]byte); ok {
		b.data = (*p)[:n]
	} else {
		b.data = make([]byte, n, 1<<poolOf(n))
	}
	b.refs.Store(1)
	return b, nil
}

func poolOf(n int) int { return bits.Len(uint(max(n, 1) - 1)) }

func (b *buffer) retain() *buffer {
	b.refs.Add(1)
	return b
}

func (b *buffer) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	n := len(b.data)
	full := b.data[:cap(b.data)]
	b.data = nil
	b.m.pools[poolOf(cap(full))].Put(&full)
	b.m.budget.Release(int64(n))
}
