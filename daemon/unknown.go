package daemon

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"damselfly/pieces"
)

// Looking up what nobody knows.
const (
	// maxMisses bounds the memory of unknown ids.
	maxMisses = 65536
	// resolveRate and resolveBurst bound the questions to the manager for ids
	// unknown here, per second and at once: whoever tries ids waits, and the
	// manager is not stormed.
	resolveRate  = 200
	resolveBurst = 400
)

// unknown remembers, for a moment, which ids nobody knew, and lets questions
// to the manager through at a bounded rate. Safe for concurrent use.
type unknown struct {
	memo time.Duration
	ask  *rate.Limiter

	mu     sync.Mutex
	missed map[pieces.TaskID]time.Time
}

func newUnknown(memo time.Duration) *unknown {
	return &unknown{memo: memo, ask: rate.NewLimiter(resolveRate, resolveBurst), missed: map[pieces.TaskID]time.Time{}}
}

// has reports whether nobody knew id a moment ago.
func (u *unknown) has(id pieces.TaskID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.missed[id]
	return ok && time.Since(at) < u.memo
}

func (u *unknown) add(id pieces.TaskID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.missed) >= maxMisses {
		clear(u.missed)
	}
	u.missed[id] = time.Now()
}

func (u *unknown) forget(id pieces.TaskID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.missed, id)
}

// wait returns when the manager may be asked. It fails at once if that is
// after the deadline of ctx.
func (u *unknown) wait(ctx context.Context) error {
	if err := u.ask.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "waiting to ask the manager")
		}
		return pieces.Errorf(pieces.Throttled, "too many lookups of ids unknown here: over %d a second for long", resolveRate)
	}
	return nil
}
