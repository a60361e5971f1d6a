package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// With one seed and links of one rate, LB is T: the seed must send every byte
// once, and a host receive it.
func flash(ctx context.Context, b *bench) error {
	return b.crowdOf().each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.12)
		b.count(r, run, f, 1.25)
		if err := b.resident(r); err != nil {
			return err
		}
		return b.plot("flash", fmt.Sprintf("%d hosts at once, seed warm", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

func cold(ctx context.Context, b *bench) error {
	t := b.crowdOf()
	t.cold = true
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.18)
		b.count(r, run, f, 0)
		if err := b.sent(ctx, r, f, requestGoal(f), run.traffic.busy); err != nil {
			return err
		}
		return b.plot("cold", fmt.Sprintf("%d hosts at once, cold origin", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

// requestGoal is how many requests the origin may get for a file.
func requestGoal(f content.File) float64 { return float64(f.Size)/(8<<20) + 2 }

func stagger(ctx context.Context, b *bench) error {
	t := b.crowdOf()
	t.start = func(r *rig) (at []time.Duration) {
		for i := range r.hosts {
			at = append(at, time.Duration(i)*r.ideal(b.o.Size)/10)
		}
		return at
	}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		worst := time.Duration(0)
		for _, own := range run.own {
			worst = max(worst, own)
		}
		b.table.add(Row{What: "slowest host's own time / T", Goal: 1.2}, worst.Seconds()/r.ideal(f.Size).Seconds(), run.traffic.busy)
		b.count(r, run, f, 0)
		return b.plot("stagger", fmt.Sprintf("%d hosts, one every 0.1 T", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

func slowUplink(ctx context.Context, b *bench) error {
	t := b.crowdOf()
	t.ready = func(ctx context.Context, r *rig) error {
		return r.hosts[len(r.hosts)/2].Shape(ctx, r.rate/10, r.rate)
	}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.25)
		b.count(r, run, f, 0)
		return b.plot("slow", fmt.Sprintf("%d hosts, one with a tenth of the way up", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

// growth measures how the time grows with the hosts. The links are half as fast,
// so that the processors keep up with the largest crowd, and so is the file.
func growth(ctx context.Context, b *bench) error {
	size := b.o.Size
	defer func() { b.o.Size = size }()
	b.o.Size /= 2
	row := func(n int) string { return fmt.Sprintf("%d hosts: last / LB", n) }
	counts := []int{b.o.few(4, 2), b.o.few(8, 3), b.o.few(16, 4), b.o.few(32, 4)}
	// All at once, that the idle ones cost each crowd the same.
	if _, err := b.rig(ctx, counts[3], b.o.Rate/2); err != nil {
		return err
	}
	for _, n := range counts {
		t := together{need: rigOptions{hosts: n, rate: b.o.Rate / 2}}
		if err := t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
			b.table.add(Row{What: row(n)}, run.last.Seconds()/r.ideal(f.Size).Seconds(), run.traffic.busy)
			return b.plot(fmt.Sprintf("growth-%d", n), fmt.Sprintf("%d hosts, seed warm", n), run, f.Size, r.ideal(f.Size))
		}); err != nil {
			return err
		}
	}
	few, many := b.table.row(row(counts[0])), b.table.row(row(counts[3]))
	b.table.add(Row{What: fmt.Sprintf("T(%d) / T(%d), of the medians", counts[3], counts[0]), Goal: 1.15},
		many.Median()/few.Median(), max(few.Busy(), many.Busy()))
	return nil
}

// idcs spreads the hosts over four data centres, the warm seed in the first.
// What a site receives from outside came from another one: but for a few
// messages, nothing else is outside.
func idcs(ctx context.Context, b *bench) error {
	const sites = 4
	t := together{need: rigOptions{hosts: max(sites, b.o.Hosts/sites*sites), rate: b.o.Rate, sites: sites}}
	received := func(r *rig) (sum int64, err error) {
		for _, s := range r.cluster.Sites {
			link, err := s.Link()
			if err != nil {
				return 0, err
			}
			sum += link.Received
		}
		return sum, nil
	}
	var before int64
	t.ready = func(_ context.Context, r *rig) (err error) {
		before, err = received(r)
		return err
	}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		after, err := received(r)
		if err != nil {
			return err
		}
		b.last(r, run, f, 1.2)
		b.table.add(Row{What: "bytes between data centres / F", Goal: 1.1 * (sites - 1), Unshaped: true}, float64(after-before)/float64(f.Size), run.traffic.busy)
		b.count(r, run, f, 0)
		return b.plot("idcs", fmt.Sprintf("%d hosts in %d data centres", len(r.hosts), sites), run, f.Size, r.ideal(f.Size))
	})
}

// shuffled returns a share of the numbers below n, at random.
func shuffled(seed uint64, i, n int, share float64) []int {
	return rand.New(rand.NewPCG(seed, uint64(i))).Perm(n)[:int(float64(n)*share)]
}
