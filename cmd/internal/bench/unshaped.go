package bench

import (
	"context"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// unshaped measures what software costs where links cost nothing: one child of
// one parent beside curl, and four children beside four curls.
func unshaped(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, rigOptions{hosts: 4})
	if err != nil {
		return err
	}
	defer r.close()
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
		b.table.add(Row{What: "one parent, one child: rate / curl's", Goal: 0.8, AtLeast: true}, curl.last.Seconds()/one.last.Seconds(), 0)
		b.table.add(Row{What: "cost, both ends", Goal: 1.5, Unit: " CPU-s/GB"}, one.traffic.cpu/(float64(size)/1e9), 0)
		b.table.add(Row{What: "curl's and nginx' cost", Unit: " CPU-s/GB"}, curl.traffic.cpu/(float64(size)/1e9), 0)
		if err := r.forget(ctx, url); err != nil {
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
		b.table.add(Row{What: "one parent, four children: rate / four curls'", Goal: 0.7, AtLeast: true}, curls.last.Seconds()/four.last.Seconds(), 0)
		if err := r.forget(ctx, url); err != nil {
			return err
		}
	}
	for _, d := range r.cluster.Daemons() {
		m, err := d.Host.Metrics(ctx)
		if err != nil {
			return err
		}
		b.table.add(Row{What: "resident memory of a daemon afterwards", Unit: " MiB"}, m["process_resident_memory_bytes"]/(1<<20), 0)
	}
	b.note("%d MiB for the one child, %d MiB for the four; curl writes a file, we the cache.", size>>20, b.o.Size>>20)
	return nil
}

// takeUnshaped lets n hosts take a file into their caches at once, and checks it.
func (r *rig) takeUnshaped(ctx context.Context, n int, f content.File, url string) (crowdRun, error) {
	run, err := r.crowd(ctx, r.hosts[:n], nil, 2*time.Minute, func(ctx context.Context, i int) error {
		return r.fetch(ctx, r.cluster.Hosts[i], url)
	})
	if err != nil {
		return run, err
	}
	return run, r.checkGot(ctx, r.cluster.Hosts[:n], f, url)
}
