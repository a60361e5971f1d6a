package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
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
	var g errgroup.Group
	doomed, cancel := context.WithCancel(ctx)
	defer func() { cancel(); _ = g.Wait() }()
	for _, d := range victims {
		g.Go(func() error { _ = r.fetch(doomed, d, url); return nil })
		g.Go(func() error {
			select {
			case <-ctx.Done():
			case <-time.After(ideal / 2):
			}
			return d.Kill()
		})
	}
	run, err := r.crowd(ctx, r.hosts[count:], nil, limitFactor*ideal+30*time.Second, func(ctx context.Context, i int) error {
		return r.fetch(ctx, survivors[i], url)
	})
	if err != nil {
		return err
	}
	cancel()
	if err := g.Wait(); err != nil {
		return err
	}
	b.log(n, r, run, f)
	b.table.add(Row{What: "last survivor / LB", Goal: 1.3}, run.last.Seconds()/ideal.Seconds(), run.traffic.busy)
	if err := b.plot("killed", fmt.Sprintf("%d hosts, %d more killed half-way", len(survivors), count), run, f.Size, ideal); err != nil {
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
