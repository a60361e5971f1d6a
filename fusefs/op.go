package fusefs

import (
	"context"
	"sync"
	"syscall"
	"time"

	"damselfly/pieces"
)

// opEnd says how an op ended.
type opEnd uint8

const (
	opRunning     opEnd = iota
	opFinished          // the handler is done with it
	opInterrupted       // a signal that asks the program to end, a grace ago
	opExpired           // the deadline passed without progress
	opStopped           // the mount stops
)

// op is the context of one kernel request. Most requests are answered from
// what is here, without waiting: so nothing is watched until somebody asks for
// Done, and an op that nobody waits on costs one allocation.
type op struct {
	parent    context.Context // the mount's
	interrupt <-chan struct{} // closed when the kernel passes a signal on
	limit     time.Duration   // without progress
	grace     time.Duration   // from interrupt to end
	asked     func() bool     // whether a signal asks the program to end
	progress  func() time.Time
	began     time.Time

	watch sync.Once
	done  chan struct{} // made by watch
	quit  chan struct{} // made by watch, closed by finish
	exit  sync.WaitGroup

	mu  sync.Mutex
	end opEnd
}

// begin returns the op of a request. asked is called after an interrupt;
// progress may be nil. The caller calls finish when the request is answered.
func begin(parent context.Context, interrupt <-chan struct{}, limit, grace time.Duration, asked func() bool, progress func() time.Time) *op {
	return &op{parent: parent, interrupt: interrupt, limit: limit, grace: grace, asked: asked, progress: progress, began: time.Now()}
}

// finish ends the op and waits for its watcher.
func (o *op) finish() {
	o.stop(opFinished)
	o.watch.Do(func() {}) // from here on Done starts nothing
	if o.quit != nil {
		close(o.quit)
		o.exit.Wait()
	}
}

// stop records the first end.
func (o *op) stop(how opEnd) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end == opRunning {
		o.end = how
	}
}

func (o *op) ended() opEnd {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.end
}

// Done implements context.Context. The first call starts the watcher.
func (o *op) Done() <-chan struct{} {
	o.watch.Do(func() {
		o.done, o.quit = make(chan struct{}), make(chan struct{})
		o.exit.Go(func() {
			o.stop(o.await())
			close(o.done)
		})
	})
	if o.done == nil {
		return closed
	}
	return o.done
}

// closed is the Done of an op that ended unwatched.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// await blocks until the op must end, and says why.
func (o *op) await() opEnd {
	limit := time.NewTimer(o.left())
	defer limit.Stop()
	interrupt, look := o.interrupt, (<-chan time.Time)(nil)
	waited := false // for grace since such a signal was seen
	for {
		select {
		case <-o.quit:
			return opFinished
		case <-o.parent.Done():
			return opStopped
		case <-interrupt:
			interrupt, look, waited = nil, time.After(o.grace), true
		case <-look:
			// The kernel tells of the first signal only: others are looked for.
			switch asked := o.asked(); {
			case asked && waited:
				return opInterrupted
			case asked:
				look, waited = time.After(o.grace), true
			default:
				look, waited = time.After(o.grace/4), false
			}
		case <-limit.C:
			left := o.left()
			if left <= 0 {
				return opExpired
			}
			limit.Reset(left)
		}
	}
}

// left returns the time until the deadline: limit after the op began or, if
// that is later, after the last progress.
func (o *op) left() time.Duration {
	since := o.began
	if o.progress != nil {
		if p := o.progress(); p.After(since) {
			since = p
		}
	}
	return o.limit - time.Since(since)
}

// Err implements context.Context. Like Done, it starts the watcher.
func (o *op) Err() error {
	o.Done()
	switch o.ended() {
	case opRunning:
		return nil
	case opExpired:
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// Deadline implements context.Context; it is not known ahead, as progress
// moves it.
func (o *op) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (o *op) Value(key any) any { return o.parent.Value(key) }

// errno returns what the program gets for err, the outcome of work done under
// o. Callers ask before finish.
func (o *op) errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	switch pieces.KindOf(err) {
	case pieces.NotFound, pieces.Denied, pieces.Changed:
		return errnoOf(err) // certain, whatever else happened
	}
	switch o.ended() {
	case opInterrupted:
		return syscall.EINTR
	case opExpired:
		return syscall.ETIMEDOUT
	case opStopped:
		return syscall.EIO
	}
	return errnoOf(err)
}
