package engine

import (
	"sync"

	"damselfly/daemon/readahead"
)

// budget is what the windows of all contents may reach ahead. Its lock is taken
// last.
type budget struct {
	mu sync.Mutex
	b  readahead.Budget // guarded by mu
}

func (b *budget) take(n int64) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Take(n)
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Give(n)
}
