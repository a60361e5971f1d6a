package origin_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/pieces"
	"damselfly/scheduler"
	"damselfly/scheduler/swarm"
)

// Deadlines of the product, a tenth of their defaults or less, so that the
// matrix runs in seconds. What is promised within 30 s is promised here within
// healed.
const (
	readDeadline  = patience * 4 * time.Second
	factsDeadline = patience * 3 * time.Second
	silence       = patience * 500 * time.Millisecond
	rest          = time.Second // the longest that an origin is left alone
	healed        = patience * 15 * time.Second
	slack         = patience * 4 * time.Second // for a busy machine
)

func quick(o *daemon.Options) {
	o.FactsTimeout, o.FailureMemo, o.MaxMemo = factsDeadline, 100*time.Millisecond, rest
	o.Source.HeaderTimeout, o.Source.IdleTimeout = silence, silence
	o.Retry.Base, o.Retry.Max = 20*time.Millisecond, 100*time.Millisecond
	o.Source.SlowTime, o.Source.SlowBytes, o.Source.PrefixTime = 3*silence/2, 4<<10, silence/5
	o.Engine.ReadDeadline, o.Engine.Tick = readDeadline, 100*time.Millisecond
	o.Rest.Off = true // what the rows ask for is at one origin
	o.Engine.RestMin, o.Engine.RestMax, o.Engine.ErrorRest = 50*time.Millisecond, rest, 200*time.Millisecond
}

func quickRules(o *scheduler.Options, factsFresh time.Duration) {
	o.OriginsApart = true
	s := swarm.Defaults()
	if factsFresh > 0 {
		s.FactsFresh = factsFresh
	}
	s.ErrorTTL = 500 * time.Millisecond
	s.BackoffMin, s.BackoffMax, s.RestMax, s.Patience = 50*time.Millisecond, rest, rest, rest
	s.FactsWait, s.SeedWake, s.LeaseRest = 500*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond
	o.Swarm = &s
}

// reader is a way to read a URL: one host alone, or one of a swarm.
type reader struct {
	name  string
	hosts []*cluster.Host
}

// readers are a host alone, and two hosts with a seed and a scheduler.
func readers(t *testing.T, change func(*daemon.Options)) []reader {
	opts := func(seed bool) func(*daemon.Options) {
		return func(o *daemon.Options) {
			quick(o)
			if o.Seed = seed; change != nil {
				change(o)
			}
		}
	}
	alone := cluster.New(t, 0)
	var fresh daemon.Options
	opts(false)(&fresh)
	c := cluster.With(t, 1, func(o *scheduler.Options) { quickRules(o, fresh.FactsFresh) })
	c.Host(opts(true))
	return []reader{
		{"alone", []*cluster.Host{alone.Host(opts(false))}},
		{"swarm", []*cluster.Host{c.Host(opts(false)), c.Host(opts(false))}},
	}
}

// versions are the contents that reads may show.
func versions(f *origin.File, n int) []content.File {
	out := make([]content.File, n)
	for i := range out {
		out[i] = f.Content(i + 1)
	}
	return out
}

// add makes a URL known on every host.
func (r reader) add(t *testing.T, url string, o pieces.Options) {
	t.Helper()
	for _, h := range r.hosts {
		spec, err := h.Control().NewTask(url, o)
		require.NoError(t, err)
		require.NoError(t, h.Control().Add(t.Context(), spec, "", control.Owner{UID: 4711, GID: 4712}))
	}
}

// open looks a URL up and opens it, as the mount does.
func open(ctx context.Context, h *cluster.Host, url string, o pieces.Options) (*daemon.File, int64, error) {
	spec, err := h.Control().NewTask(url, o)
	if err != nil {
		return nil, 0, err
	}
	info, err := h.Lookup(ctx, spec.ID)
	if err != nil {
		return nil, 0, err
	}
	f, err := h.OpenFile(ctx, info.Key)
	return f, info.Size, err
}

// wrong is an error that no fault excuses.
type wrong struct{ error }

// readAll reads f to its end and returns the index in vs of the one version
// that all its bytes are of. A wrong byte, or a mix, is wrong. Bytes read
// before an error are checked too.
func readAll(ctx context.Context, f *daemon.File, size int64, vs []content.File) (int, error) {
	buf := make([]byte, 128<<10)
	which := -1
	for off := int64(0); off < size; {
		n, err := f.ReadAt(ctx, buf, off)
		if n > 0 {
			ok := false
			for i, v := range vs {
				if v.Check(buf[:n], off) == nil && (which < 0 || which == i) {
					which, ok = i, true
					break
				}
			}
			if !ok {
				return which, wrong{fmt.Errorf("bytes %d+%d are of no version, or not of version %d", off, n, which+1)}
			}
		}
		if err != nil {
			return which, err
		}
		if n == 0 {
			return which, wrong{fmt.Errorf("content ends at %d of %d", off, size)}
		}
		off += int64(n)
	}
	return which, nil
}

// read opens and reads all of a file; it never takes longer than limit.
func read(t *testing.T, h *cluster.Host, f *origin.File, o pieces.Options, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	file, size, err := open(ctx, h, f.URL(), o)
	if err == nil {
		defer file.Close()
		if _, err = readAll(ctx, file, size, versions(f, 3)); err == nil && size != f.Size {
			err = wrong{fmt.Errorf("size %d, want %d", size, f.Size)}
		}
	}
	if ctx.Err() != nil {
		t.Errorf("%s: an operation took longer than %v: %v", f.Name, limit, err)
	}
	if w, ok := err.(wrong); ok {
		t.Errorf("%s: wrong after %v: %v", f.Name, time.Since(began), w)
	}
	return err
}

// all runs a reader on every host at once.
func (r reader) all(do func(*cluster.Host) error) []error {
	errs := make([]error, len(r.hosts))
	var wg sync.WaitGroup
	for i, h := range r.hosts {
		wg.Go(func() { errs[i] = do(h) })
	}
	wg.Wait()
	return errs
}

// heals fails unless every host reads f right within the promised time.
func (r reader) heals(t *testing.T, f *origin.File, o pieces.Options) {
	t.Helper()
	f.Heal()
	began := time.Now()
	for {
		errs := r.all(func(h *cluster.Host) error { return read(t, h, f, o, readDeadline+factsDeadline+slack) })
		var err error
		for _, e := range errs {
			if e != nil {
				err = e
			}
		}
		took := time.Since(began)
		if err == nil && took <= healed {
			t.Logf("right after %v", took)
			return
		}
		if took > healed {
			require.NoError(t, err, "after the fault healed, %v ago", took)
			require.LessOrEqual(t, took, healed)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
