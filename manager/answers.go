package manager

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// maxAnswers bounds the answers that are remembered.
const maxAnswers = 1 << 14

// answer is a catalogue entry with its names, or why there is none.
type answer struct {
	entry store.Entry
	names []string
	err   error // of kind NotFound, or nil
	until time.Time
}

// answers remembers for a moment what the catalogue said, so that a thousand
// hosts that ask for one id, known or not, cost the database one question. What
// another manager changes is seen when the moment has passed; what this one
// changes, at once.
type answers struct {
	ttl     time.Duration
	timeout time.Duration
	now     func() time.Time
	asking  singleflight.Group

	mu      sync.Mutex
	items   map[string]answer
	changes int // by this manager; an answer from before one is not kept
}

func newAnswers(ttl time.Duration, now func() time.Time) *answers {
	return &answers{ttl: ttl, timeout: flushTimeout, now: now, items: map[string]answer{}}
}

// get answers what is remembered under key, or else what look says. All that
// ask at once share one look, which goes on when one of them gives up.
func (a *answers) get(ctx context.Context, key string, look func(context.Context) (answer, error)) (answer, error) {
	a.mu.Lock()
	x, ok := a.items[key]
	changes := a.changes
	a.mu.Unlock()
	if ok && a.now().Before(x.until) {
		return x, x.err
	}
	// Who comes after a change shares no look from before it.
	shared := a.asking.DoChan(strconv.Itoa(changes)+" "+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer cancel()
		x, err := look(ctx)
		if err != nil && pieces.KindOf(err) != pieces.NotFound {
			return nil, err
		}
		x.err, x.until = err, a.now().Add(a.ttl)
		a.keep(key, x, changes)
		return x, nil
	})
	select {
	case r := <-shared:
		if r.Err != nil {
			return answer{}, r.Err
		}
		x := r.Val.(answer)
		return x, x.err
	case <-ctx.Done():
		return answer{}, pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "asking the catalogue")
	}
}

func (a *answers) keep(key string, x answer, changes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changes != changes {
		return
	}
	if len(a.items) >= maxAnswers {
		a.items = map[string]answer{}
	}
	a.items[key] = x
}

// forget drops everything: the catalogue was changed here.
func (a *answers) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes++
	a.items = map[string]answer{}
}
