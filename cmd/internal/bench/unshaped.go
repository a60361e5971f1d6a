package bench

import (
	"context"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// unshaped measures what software costs where links cost nothing: one child of
// one parent beside curl, and four children beside four curls.
func unshaped(ctx context.Context, b *bench) error {
	r, err := b.rig(ctx, 4, 0)
	if err != nil {
		return err
	}
	size := 4 * b.o.Size
	for range b.o.Runs {
		f, url, err := r.file(size)
		if err != nil {
			return err
		}
		curl, err := r.crowdCurl(ctx, r.hosts[:1], time.Minute, f, url)
		if err != nil {
			return err
		}
		if err := r.warm(ctx, url); err != nil {
			return err
		}
		one, err := r.takeUnshaped(ctx, 1, f, url)
		if err != nil {
			return err
		}
		b.table.add(Row{What: "one parent, one child: rate / curl's", Goal: 0.8, AtLeast: true, Unshaped: true}, curl.last.Seconds()/one.last.Seconds(), one.traffic.busy)
		gigabytes := float64(size) / 1e9
		b.table.add(Row{What: "cost, both ends, all that the machine did", Goal: 1.5, Unit: " CPU-s/GB", Unshaped: true}, one.traffic.cpu/gigabytes, one.traffic.busy)
		b.table.add(Row{What: "cost, both ends, our servers'", Unit: " CPU-s/GB", Unshaped: true}, one.traffic.procs/gigabytes, one.traffic.busy)
		b.table.add(Row{What: "curl's and nginx' cost, all that the machine did", Unit: " CPU-s/GB", Unshaped: true}, curl.traffic.cpu/gigabytes, curl.traffic.busy)
		if err := r.forget(ctx, f, url); err != nil {
			return err
		}

		if f, url, err = r.file(b.o.Size); err != nil {
			return err
		}
		if err := r.warm(ctx, url); err != nil {
			return err
		}
		curls, err := r.crowdCurl(ctx, r.hosts, time.Minute, f, url)
		if err != nil {
			return err
		}
		four, err := r.takeUnshaped(ctx, 4, f, url)
		if err != nil {
			return err
		}
		b.table.add(Row{What: "one parent, four children: rate / four curls'", Goal: 0.7, AtLeast: true, Unshaped: true}, curls.last.Seconds()/four.last.Seconds(), four.traffic.busy)
		if err := b.resident(r); err != nil {
			return err
		}
		if err := r.forget(ctx, f, url); err != nil {
			return err
		}
	}
	b.note("%d MiB for the one child, %d MiB for the four; curl writes a file, we the cache.", size>>20, b.o.Size>>20)
	return nil
}

// takeUnshaped lets n hosts take a file into their caches at once, and checks it.
func (r *rig) takeUnshaped(ctx context.Context, n int, f content.File, url string) (crowdRun, error) {
	run, err := r.crowd(ctx, r.hosts[:n], nil, 2*time.Minute, func(ctx context.Context, i int) error {
		return r.fetch(ctx, r.daemons[i], url)
	})
	if err != nil {
		return run, err
	}
	return run, r.checkGot(ctx, r.daemons[:n], f, url)
}
