package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/lab"
)

// killed ends a quarter of the hosts when half of T has passed.
func killed(ctx context.Context, b *bench) error {
	r, err := b.rig(ctx, b.o.Hosts, b.o.Rate)
	if err != nil {
		return err
	}
	for n := range b.o.Runs {
		if err := b.killedOnce(ctx, r, n); err != nil {
			return err
		}
	}
	b.circumstances(r)
	return nil
}

func (b *bench) killedOnce(ctx context.Context, r *rig, n int) error {
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, url); err != nil {
		return err
	}
	count := max(1, len(r.hosts)/4)
	victims, survivors := r.daemons[:count], r.daemons[count:]
	ideal := r.ideal(f.Size)
	run, err := r.crowd(ctx, r.hosts, nil, limitFactor*ideal+30*time.Second, func(ctx context.Context, i int) error {
		if i < count {
			return r.fetchUntilKilled(ctx, victims[i], url, ideal/2)
		}
		return r.fetch(ctx, r.daemons[i], url)
	})
	if err != nil {
		return err
	}
	b.log(n, r, run, f)
	b.table.add(Row{What: "last survivor / LB", Goal: 1.3}, run.last.Seconds()/ideal.Seconds(), run.traffic.busy)
	if err := b.plot("killed", fmt.Sprintf("%d hosts, %d of them killed half-way", len(r.hosts), count), run, f.Size, ideal); err != nil {
		return err
	}
	if err := r.checkGot(ctx, survivors, f, url); err != nil {
		return err
	}
	if err := r.revive(ctx, victims); err != nil {
		return err
	}
	return r.forget(ctx, f, url)
}

// fetchUntilKilled lets d fetch the file and kills it after so long.
func (r *rig) fetchUntilKilled(ctx context.Context, d *lab.Daemon, url string, after time.Duration) error {
	var g errgroup.Group
	g.Go(func() error {
		_ = r.fetch(ctx, d, url) // fails, since its daemon dies
		return nil
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-time.After(after):
		}
		return d.Kill()
	})
	return g.Wait()
}
