// Package model reads a mount in every way a program can, on many threads, at
// random but from a seed, and compares every byte with what must stand there;
// meanwhile it evicts, replaces files at their origin and restarts the daemon.
//
// It is right when no byte is wrong, nothing fails that no restart or new
// version explains, and everything ends. It needs no more of the daemon than
// its mount and its dfmount, so that it is a reference for any of them.
package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// Options say how much is done. All counts are spread over the run.
type Options struct {
	Seed uint64
	// Ops is how many operations must succeed, on Threads threads together.
	Ops, Threads int
	// Restarts of the daemon, kill -9 and SIGTERM in turn; Evictions; Changes of
	// a file at its origin.
	Restarts, Evictions, Changes int
}

// Facts is how old facts may be in a daemon under the model: its configuration
// must say so, or readers see no new versions within a run.
const Facts = "times: {facts-fresh: 500ms}\nfuse: {timeout: 500ms}\n"

// sizes of the files: empty, inline, of one piece and a bit, of many pieces.
// Sums with multiples of 4099 never meet, so that sizes tell versions.
var sizes = []int64{0, 1, 4096, 100 << 10, 256<<10 + 1, 3<<20 + 5, 24<<20 + 4095}

// Report is what a run did.
type Report struct {
	// Ops by kind; Explained is how many failures restarts and new versions
	// explain.
	Ops       map[string]int64
	Explained int64
	Restarts  int
	Took      time.Duration
}

func (r Report) String() string {
	s, all := "", int64(0)
	for _, kind := range kinds {
		s += fmt.Sprintf(" %s %d,", kind.name, r.Ops[kind.name])
		all += r.Ops[kind.name]
	}
	return fmt.Sprintf("%d operations in %.1f s:%s %d restarts, %d failures that they or new versions explain", all, r.Took.Seconds(), s, r.Restarts, r.Explained)
}

// file is one file under the model.
type file struct {
	*content.Versions
	// id is its name in the mount.
	id string
	// changed is when its origin last got a new version, in nanoseconds.
	changed atomic.Int64
}

// model is one run.
type model struct {
	o      Options
	origin *lab.Origin
	d      *lab.Daemon
	mount  string
	tmp    string
	files  []*file

	begun, done atomic.Int64 // operations
	ops         []atomic.Int64
	explained   atomic.Int64
	// era is odd while the daemon is down, and grows by two with each restart.
	era atomic.Int64

	stop context.CancelCauseFunc
}

// Run runs the model on d, whose configuration includes Facts and which no
// other goroutine uses meanwhile. The error is the first thing that went wrong.
func Run(ctx context.Context, o Options, origin *lab.Origin, d *lab.Daemon) (Report, error) {
	began := time.Now()
	tmp, err := os.MkdirTemp("", "damselfly-model-")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(tmp)
	m := &model{o: o, origin: origin, d: d, mount: d.Mount, tmp: tmp, ops: make([]atomic.Int64, len(kinds))}
	ctx, m.stop = context.WithCancelCause(ctx)
	defer m.stop(nil)
	for i, size := range sizes {
		f := &file{Versions: content.NewVersions(o.Seed, fmt.Sprintf("model%d.bin", i), size)}
		url, err := origin.Add(f.Next())
		if err != nil {
			return Report{}, err
		}
		path, err := d.Add(ctx, url)
		if err != nil {
			return Report{}, err
		}
		f.id = filepath.Base(path)
		m.files = append(m.files, f)
	}
	var threads sync.WaitGroup
	for i := range o.Threads {
		threads.Go(func() { m.thread(ctx, i) })
	}
	restarts, err := m.disturb(ctx)
	if err != nil {
		m.stop(err)
	}
	threads.Wait()
	r := Report{Ops: map[string]int64{}, Explained: m.explained.Load(), Restarts: restarts, Took: time.Since(began)}
	for i, kind := range kinds {
		r.Ops[kind.name] = m.ops[i].Load()
	}
	if cause := context.Cause(ctx); cause != nil {
		return r, fmt.Errorf("seed %d: %w", o.Seed, cause)
	}
	return r, nil
}

// event is something that happens once so many operations are done.
type event struct {
	after int64
	what  string
	do    func(context.Context) error
}

// events spreads what disturbs over the run: restarts evenly, the rest at
// random.
func (m *model) events() (list []event) {
	r := rand.New(rand.NewPCG(m.o.Seed, 1<<32))
	for i := range m.o.Restarts {
		list = append(list, event{int64(m.o.Ops * (i + 1) / (m.o.Restarts + 1)), "restart", func(ctx context.Context) error { return m.restart(ctx, i%2 == 0) }})
	}
	for range m.o.Evictions {
		f := m.files[r.IntN(len(m.files))]
		list = append(list, event{r.Int64N(int64(m.o.Ops)), "evict " + f.Name, func(ctx context.Context) error { return m.evict(ctx, f) }})
	}
	for range m.o.Changes {
		f := m.files[r.IntN(len(m.files))]
		list = append(list, event{r.Int64N(int64(m.o.Ops)), "change " + f.Name, func(context.Context) error { return m.change(f) }})
	}
	slices.SortStableFunc(list, func(a, b event) int { return int(a.after - b.after) })
	return list
}

// disturb makes all events in time and returns how often it restarted.
func (m *model) disturb(ctx context.Context) (restarts int, err error) {
	for _, e := range m.events() {
		for m.done.Load() < e.after {
			if ctx.Err() != nil {
				return restarts, context.Cause(ctx)
			}
			rest(ctx, time.Millisecond)
		}
		if err := e.do(ctx); err != nil {
			return restarts, fmt.Errorf("%s after %d operations: %w", e.what, e.after, err)
		}
		restarts = int(m.era.Load() / 2)
	}
	return restarts, nil
}

// restart ends the daemon and starts it again.
func (m *model) restart(ctx context.Context, kill bool) (err error) {
	m.era.Add(1)
	if kill {
		err = m.d.Kill()
	} else {
		err = m.d.Terminate(20 * time.Second)
	}
	if err == nil {
		err = m.d.Start(ctx)
	}
	m.era.Add(1)
	return err
}

func (m *model) evict(ctx context.Context, f *file) error {
	r, err := m.d.Dfmount(ctx, "evict", f.id)
	return errors.Join(err, r.Err())
}

// change puts the next version on the origin.
func (m *model) change(f *file) error {
	f.changed.Store(time.Now().UnixNano())
	_, err := m.origin.Add(f.Next())
	f.changed.Store(time.Now().UnixNano())
	return err
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
