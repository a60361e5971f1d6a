package engine

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"damselfly/daemon/limit"
	"damselfly/pieces"
)

// memory hands out piece buffers within one budget for the whole daemon. Buffers
// that came back are handed out again, the last one first: its pages are there
// and in the processor's cache. The garbage collector must not have them
// meanwhile, or each would be cleared, and faulted in, once per collection.
type memory struct {
	budget *limit.Budget

	mu   sync.Mutex
	free [32]spares // by power of two
}

// spares are free buffers of one size.
type spares struct {
	buffers [][]byte
	// least is how few there were since the last trim: so many were of no use.
	least int
}

func newMemory(size int64) *memory { return &memory{budget: limit.NewBudget(size)} }

// buffer is the bytes of one piece, shared by the writer, readers and uploads.
// It goes back to the memory and the budget with its last reference.
type buffer struct {
	data []byte
	m    *memory
	// from is where the piece came from; set when it is delivered.
	from pieces.Hit
	refs atomic.Int32
}

// get waits until n bytes fit the budget and returns a buffer with one
// reference.
func (m *memory) get(ctx context.Context, n int) (*buffer, error) {
	if err := m.budget.Acquire(ctx, int64(n)); err != nil {
		return nil, err
	}
	b := &buffer{m: m, data: m.spare(sizeClass(n))}
	if b.data == nil {
		b.data = make([]byte, 1<<sizeClass(n))
	}
	b.data = b.data[:n]
	b.refs.Store(1)
	return b, nil
}

func (m *memory) spare(class int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := &m.free[class]
	last := len(f.buffers) - 1
	if last < 0 {
		return nil
	}
	data := f.buffers[last]
	f.buffers[last], f.buffers = nil, f.buffers[:last]
	f.least = min(f.least, last)
	return data
}

// trim lets the collector have what was of no use since the last trim.
func (m *memory) trim() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.free {
		f := &m.free[i]
		clear(f.buffers[:f.least])
		f.buffers = append(f.buffers[:0], f.buffers[f.least:]...)
		clear(f.buffers[len(f.buffers):cap(f.buffers)])
		f.least = len(f.buffers)
	}
}

// sizeClass is the power of two that n bytes fit.
func sizeClass(n int) int { return bits.Len(uint(max(n, 1) - 1)) }

func (b *buffer) retain() *buffer {
	b.refs.Add(1)
	return b
}

func (b *buffer) release() {
	if b.refs.Add(-1) > 0 {
		return
	}
	m, n, full := b.m, len(b.data), b.data[:cap(b.data)]
	b.data = nil
	m.mu.Lock()
	f := &m.free[sizeClass(len(full))]
	f.buffers = append(f.buffers, full)
	m.mu.Unlock()
	m.budget.Release(int64(n))
}
