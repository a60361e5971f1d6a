package load

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"time"

	"damselfly/pieces"
)

// target is the scheduler that a scenario measures. Close it.
type target struct {
	address string
	gauge   gauge
	process *Process // nil: not ours
	words   string   // what it is
}

// target starts a scheduler, or takes the one that is there. With a processor
// to spare the scheduler gets the last one for itself, and this process the
// others.
func (b *Bench) target(ctx context.Context) (*target, error) {
	if b.o.Scheduler != "" {
		return &target{address: b.o.Scheduler, gauge: gauge(b.o.Metrics), words: "scheduler at " + b.o.Scheduler}, nil
	}
	words := "scheduler with GOMAXPROCS=1 beside the generator on the only processor"
	if b.core >= 0 {
		words = fmt.Sprintf("scheduler alone on processor %d with GOMAXPROCS=1", b.core)
		if err := leave(b.core); err != nil {
			return nil, err
		}
	}
	p, err := Start(ctx, b.o.Path, b.core, b.o.Args...)
	if err != nil {
		return nil, err
	}
	return &target{address: p.Address, gauge: gauge(p.Metrics), process: p, words: words}, nil
}

// close ends the scheduler if it is ours; err is what went wrong before, and
// comes back with what the scheduler died of, if it did.
func (t *target) close(err error) error {
	if t.process == nil {
		return err
	}
	if died := t.process.Stop(); died != nil {
		return pieces.WithKind(pieces.Unavailable, died, "measuring the scheduler")
	}
	return err
}

// measured runs f and returns what the scheduler spent meanwhile, in ns, with
// its resident set after.
func (t *target) measured(ctx context.Context, f func()) (spent, rss int64, err error) {
	before, err := t.gauge.read(ctx)
	if err != nil {
		return 0, 0, err
	}
	f()
	after, err := t.gauge.read(ctx)
	return int64(after.CPU - before.CPU), after.RSS, err
}

// profiled runs f, with a processor profile of the scheduler for d.
func (b *Bench) profiled(ctx context.Context, t *target, d time.Duration, f func()) {
	done := make(chan error, 1)
	go func() { done <- t.gauge.profile(ctx, d, filepath.Join(b.o.Profiles, "rate.pb.gz")) }()
	f()
	if err := <-done; err != nil {
		fmt.Fprintf(b.o.Progress, "no profile: %v\n", err)
	}
}

// setting says what was used, for reports.
func (b *Bench) setting(t *target, f *fleet, rest string) string {
	streams := "one stream each"
	if !f.beating {
		streams = "no streams"
	}
	return fmt.Sprintf("%d hosts on %d connections, %s; %s; %s; %d processors in all",
		len(f.hosts), len(f.conns), streams, rest, t.words, runtime.NumCPU())
}
