package e2e

import (
	"fmt"
	"sync"
	"time"

	"damselfly/cmd/internal/e2e/content"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// stuckReads are buffered reads that wait, each a thread of this process.
type stuckReads struct {
	w  *world
	wg sync.WaitGroup

	mu   sync.Mutex
	errs []error // of those that ended
	slow time.Duration
}

// stuckReads starts n reads at as many places of path, and returns when the
// daemon has them all.
func (w *world) stuckReads(path string, size int64, n int) *stuckReads {
	w.Helper()
	s := &stuckReads{w: w}
	step := size / int64(n) / 4096 * 4096
	for i := range n {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		w.ok(err)
		// The start of the file came with its facts.
		s.wg.Go(func() { s.read(fd, int64(i)*step+miB) })
	}
	w.Cleanup(s.wg.Wait) // the end of the lab frees them
	return s
}

func (s *stuckReads) read(fd int, off int64) {
	defer unix.Close(fd)
	began := time.Now()
	_, err := unix.Pread(fd, make([]byte, 4*kiB), off)
	if err == nil {
		err = fmt.Errorf("the read at %d got its bytes", off)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
	s.slow = max(s.slow, time.Since(began))
}

// ended returns the outcomes so far.
func (s *stuckReads) ended() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs
}

// wait wants every read to end with ETIMEDOUT, at most d after it began.
func (s *stuckReads) wait(d time.Duration) {
	s.w.Helper()
	s.wg.Wait()
	for _, err := range s.errs {
		require.ErrorIs(s.w, err, unix.ETIMEDOUT)
	}
	require.Less(s.w, s.slow, d, "the slowest of %d reads", len(s.errs))
	s.w.Logf("%d reads of a silent origin ended with ETIMEDOUT, the slowest after %s", len(s.errs), s.slow.Round(time.Millisecond))
}

// checkWithin reads the first n bytes until they are right, at most for d.
func checkWithin(f content.File, path string, n int64, d time.Duration) error {
	end := time.Now().Add(d)
	for {
		err := checkPart(f, path, n)
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func checkPart(f content.File, path string, n int64) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := make([]byte, n)
	for got := 0; got < len(buf); {
		k, err := unix.Pread(fd, buf[got:], int64(got))
		if err != nil {
			return err
		}
		got += k
	}
	return f.Check(buf, 0)
}
