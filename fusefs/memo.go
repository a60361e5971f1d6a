package fusefs

import (
	"sync"
	"syscall"
	"time"
)

// maxFailures bounds what one inode remembers: as many READs as may be under
// way at once, and so fail at once.
const maxFailures = DefaultMaxBackground

// failures remembers the failed READs of one inode for a moment. A buffered
// read fails twice: first the kernel's readahead, then its single read of the
// page that the program waits for. Without a memory the second would wait for
// another deadline. The zero value is empty.
type failures struct {
	mu   sync.Mutex
	list []failure
}

type failure struct {
	off, end int64
	errno    syscall.Errno
	until    time.Time
}

// add remembers that [off, end) failed, until the given time.
func (f *failures) add(off, end int64, errno syscall.Errno, until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) >= maxFailures {
		f.list = append(f.list[:0], f.list[1:]...)
	}
	f.list = append(f.list, failure{off, end, errno, until})
}

// find returns the error of a remembered READ that [off, end) is part of.
func (f *failures) find(off, end int64, now time.Time) (errno syscall.Errno, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.list[:0]
	for _, e := range f.list {
		if !now.Before(e.until) {
			continue
		}
		kept = append(kept, e)
		if e.off <= off && end <= e.end {
			errno, ok = e.errno, true
		}
	}
	f.list = kept
	return errno, ok
}
