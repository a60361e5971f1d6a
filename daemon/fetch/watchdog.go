package fetch

import (
	"sync"
	"time"
)

// watchdog calls bark once when too few bytes came within its limit. It can be
// paused while this side is what waits.
type watchdog struct {
	mu    sync.Mutex
	after time.Duration
	// least is how many bytes start a new period; got came in this one.
	least, got int64
	timer      *time.Timer
}

func newWatchdog(after time.Duration, bark func()) *watchdog {
	return &watchdog{after: after, timer: time.AfterFunc(after, bark)}
}

// limit asks for least bytes in each period of after from now on.
func (w *watchdog) limit(after time.Duration, least int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after, w.least, w.got = after, least, 0
	w.timer.Reset(after)
}

// beat says that n bytes came.
func (w *watchdog) beat(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.got += int64(n); w.got >= w.least {
		w.got = 0
		w.timer.Reset(w.after)
	}
}

func (w *watchdog) pause() { w.timer.Stop() }

// resume starts a new period.
func (w *watchdog) resume() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = 0
	w.timer.Reset(w.after)
}

func (w *watchdog) stop() { w.timer.Stop() }
