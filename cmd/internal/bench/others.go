package bench

import (
	"context"
	"fmt"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// besideOthers measures, at 4, 8, … hosts, our crowd, aria2's and direct
// downloads one after the other.
func besideOthers(ctx context.Context, b *bench) error {
	for n := min(4, b.o.Hosts); n <= b.o.Hosts; n *= 2 {
		if err := b.ours(ctx, n); err != nil {
			return err
		}
		if err := b.torrents(ctx, n); err != nil {
			return err
		}
		ours, theirs := b.table.row(oursRow(n)), b.table.row(aria2Row(n))
		b.table.add(Row{What: fmt.Sprintf("%d hosts: ours / aria2, of the medians", n), Goal: 1}, ours.Median()/theirs.Median(), max(ours.Busy(), theirs.Busy()))
	}
	return b.directly(ctx, min(4, b.o.Hosts))
}

func oursRow(n int) string  { return fmt.Sprintf("%d hosts: ours, last / LB", n) }
func aria2Row(n int) string { return fmt.Sprintf("%d hosts: aria2, last / LB", n) }

// row returns the row of that name, empty if there is none.
func (t *Table) row(what string) Row {
	for _, r := range t.Rows {
		if r.What == what {
			return r
		}
	}
	return Row{}
}

func (b *bench) ours(ctx context.Context, n int) error {
	t := together{need: rigOptions{hosts: n, rate: b.o.Rate}}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		busy := run.traffic.busy
		b.table.add(Row{What: oursRow(n)}, run.last.Seconds()/r.ideal(f.Size).Seconds(), busy)
		b.table.add(Row{What: fmt.Sprintf("%d hosts: ours, cost, all that the machine did", n), Unit: " CPU-s/GB"}, run.traffic.cpu/(float64(f.Size)*float64(n)/1e9), busy)
		return nil
	})
}

func (b *bench) torrents(ctx context.Context, n int) error {
	r, err := newBare(ctx, b.o, n+1, b.o.Rate) // and a seeder
	if err != nil {
		return err
	}
	defer r.close()
	for k := range b.o.Runs {
		f, _, err := r.file(b.o.Size)
		if err != nil {
			return err
		}
		run, err := r.aria2(ctx, f, limitFactor*r.ideal(f.Size)+30*time.Second)
		if err != nil {
			return err
		}
		ratio := run.last.Seconds() / r.ideal(f.Size).Seconds()
		fmt.Fprintf(b.o.Log, "  aria2 run %d: %d hosts, last %.3f T, busy %.0f %%\n", k+1, n, ratio, 100*run.traffic.busy)
		b.table.add(Row{What: aria2Row(n)}, ratio, run.traffic.busy)
		b.table.add(Row{What: fmt.Sprintf("%d hosts: aria2, cost, all that the machine did", n), Unit: " CPU-s/GB"}, run.traffic.cpu/(float64(f.Size)*float64(n)/1e9), run.traffic.busy)
		if err := b.plot(fmt.Sprintf("aria2-%d", n), fmt.Sprintf("aria2, %d hosts", n), run, f.Size, r.ideal(f.Size)); err != nil {
			return err
		}
		if err := r.origin.Remove(f); err != nil {
			return err
		}
	}
	return nil
}

// directly lets hosts download from the origin, over its one link; with more
// hosts it takes longer in proportion.
func (b *bench) directly(ctx context.Context, n int) error {
	r, err := newBare(ctx, b.o, n, b.o.Rate)
	if err != nil {
		return err
	}
	defer r.close()
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	run, err := r.crowdCurl(ctx, r.hosts, time.Duration(n+2)*r.ideal(f.Size), f, url)
	if err != nil {
		return err
	}
	ratio := run.last.Seconds() / r.ideal(f.Size).Seconds()
	b.table.add(Row{What: fmt.Sprintf("%d hosts: direct download, last / LB", n)}, ratio, run.traffic.busy)
	b.note("Direct download, scaled to %d hosts: %.1f × LB.", b.o.Hosts, ratio/float64(n)*float64(b.o.Hosts))
	return nil
}
