package bench

import (
	"context"
	"time"
)

// classicLimit ends a run of the published rules after so many LB.
const classicLimit = 4

// classic runs the published rules once each at once and in order, beside the
// scenarios flash and inorder.
func classic(ctx context.Context, b *bench) error {
	r, err := b.pool.take(ctx, rigOptions{hosts: b.o.Hosts, rate: b.o.Rate, scheduler: []string{"--policy", "classic"}})
	if err != nil {
		return err
	}
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, url); err != nil {
		return err
	}
	limit := classicLimit * r.ideal(f.Size)
	run, err := r.crowdWarm(ctx, nil, limit, f, url)
	if err != nil && run.last < limit {
		return err
	}
	b.stopped("at once, last host / LB (4: stopped there)", r, run, limit)
	b.count(r, run, f, 0)
	if err := b.plot("classic", "the published rules", run, f.Size, r.ideal(f.Size)); err != nil {
		return err
	}
	if err := r.forget(ctx, f, url); err != nil {
		return err
	}

	if f, _, err = r.file(b.o.Size); err != nil {
		return err
	}
	in, err := r.readersInOrder(ctx, f, limit)
	if err != nil && in.run.last < limit {
		return err
	}
	b.stopped("in order, last host / LB (4: stopped there)", r, in.run, limit)
	b.table.add(Row{What: "in order, first tenth of the file, mean / T, of the hosts that got it"}, in.tenth.Seconds()/r.ideal(f.Size).Seconds(), in.run.traffic.busy)
	b.circumstances(r)
	if err := b.plot("classic-inorder", "the published rules, in order", in.run, f.Size, r.ideal(f.Size)); err != nil {
		return err
	}
	return r.forget(ctx, f, in.url)
}

// stopped adds how long a run took that limit may have ended.
func (b *bench) stopped(what string, r *rig, run crowdRun, limit time.Duration) {
	b.table.add(Row{What: what}, min(classicLimit, classicLimit*run.last.Seconds()/limit.Seconds()), run.traffic.busy)
}
