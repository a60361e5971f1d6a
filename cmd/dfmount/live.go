package main

import (
	"context"
	"time"

	"damselfly/daemon/control"
)

// sample is a status at a moment; err says that there is none.
type sample struct {
	at  time.Time
	st  control.Status
	err error
}

// live shows statuses on s until a key or ctx ends it, a new one every time
// step. A daemon that does not answer is asked again.
func live(ctx context.Context, s *screen, step time.Duration, ask func(context.Context) (control.Status, error)) error {
	var last, now sample
	for {
		st, err := ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if now.err == nil {
			last = now
		}
		now = sample{at: time.Now(), st: st, err: err}
		width, height := s.size()
		if err := s.draw(view(last, now, width, height)); err != nil {
			return err
		}
		if s.quit(ctx, step) {
			return nil
		}
	}
}
