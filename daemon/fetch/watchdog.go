package fetch

import (
	"sync"
	"time"
)

// watchdog calls bark once when no beat came for its limit. It can be paused
// while this side is what waits.
type watchdog struct {
	mu    sync.Mutex
	after time.Duration
	timer *time.Timer
}

func newWatchdog(after time.Duration, bark func()) *watchdog {
	return &watchdog{after: after, timer: time.AfterFunc(after, bark)}
}

func (w *watchdog) limit(after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = after
	w.timer.Reset(after)
}

func (w *watchdog) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Reset(w.after)
}

func (w *watchdog) pause() { w.timer.Stop() }

func (w *watchdog) resume() { w.beat() }

func (w *watchdog) stop() { w.timer.Stop() }
