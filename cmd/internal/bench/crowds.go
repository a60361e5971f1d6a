package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// limitFactor ends a run after so many T.
const limitFactor = 6

// together measures runs of a crowd of dfmount warm that starts as start says.
type together struct {
	hosts int
	rate  lab.Rate
	cold  bool
	start func(r *rig) []time.Duration
	// ready changes the rig before the first run.
	ready func(ctx context.Context, r *rig) error
	extra rigOptions
}

// each runs the crowd o.Runs times and hands each run to then.
func (t together) each(ctx context.Context, b *bench, then func(r *rig, run crowdRun, f content.File) error) error {
	ro := t.extra
	ro.hosts, ro.rate = t.hosts, t.rate
	r, err := newRig(ctx, b.o, ro)
	if err != nil {
		return err
	}
	defer r.close()
	if t.ready != nil {
		if err := t.ready(ctx, r); err != nil {
			return err
		}
	}
	for n := range b.o.Runs {
		f, url, err := r.file(b.o.Size)
		if err != nil {
			return err
		}
		if !t.cold {
			if err := r.warm(ctx, url); err != nil {
				return err
			}
		}
		var start []time.Duration
		if t.start != nil {
			start = t.start(r)
		}
		run, err := r.crowdWarm(ctx, start, limitFactor*r.ideal(f.Size)+30*time.Second, f, url)
		if err != nil {
			return err
		}
		fmt.Fprintf(b.o.Log, "  run %d: %d hosts, last %.3f T, busy %.0f %%\n", n+1, t.hosts, run.last.Seconds()/r.ideal(f.Size).Seconds(), 100*run.traffic.busy)
		if err := then(r, run, f); err != nil {
			return err
		}
		if err := r.forget(ctx, url); err != nil {
			return err
		}
	}
	b.note("%d hosts, %d Mbit/s links, %d MiB, B_eff %.2f MB/s.", t.hosts, t.rate/lab.Mbit, b.o.Size>>20, r.eff/1e6)
	return nil
}

// count adds the figures that all crowds share.
func (b *bench) count(r *rig, run crowdRun, f content.File) {
	size, busy := float64(f.Size), run.traffic.busy
	var received int64
	for _, h := range r.hosts {
		received += run.traffic.links[h.Name].Received
	}
	b.table.add(Row{What: "seed's upload / F", Goal: 1.25}, float64(run.traffic.links["seed"].Sent)/size, busy)
	b.table.add(Row{What: "bytes received / (N·F), headers and duplicates in it"}, float64(received)/(size*float64(len(r.hosts))), busy)
	b.table.add(Row{What: "cost", Unit: " CPU-s/GB"}, run.traffic.cpu/(size*float64(len(r.hosts))/1e9), busy)
}

func (b *bench) sent(ctx context.Context, r *rig, f content.File, goal float64, busy float64) error {
	sent, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return err
	}
	rs, err := r.origin.Requests(f.Name)
	if err != nil {
		return err
	}
	b.table.add(Row{What: "origin's bytes / F", Goal: goal}, float64(sent)/float64(f.Size), busy)
	b.table.add(Row{What: "origin's requests", Unit: " requests", Goal: float64(f.Size)/(8<<20) + 2}, float64(len(rs)), busy)
	return nil
}

func (b *bench) last(r *rig, run crowdRun, f content.File, goal float64) {
	b.table.add(Row{What: "last host / LB", Goal: goal}, run.last.Seconds()/r.ideal(f.Size).Seconds(), run.traffic.busy)
}

// With one seed and links of one rate, LB is T: the seed must send every byte
// once, and a host receive it.
func flash(ctx context.Context, b *bench) error {
	return together{hosts: b.o.Hosts, rate: b.o.Rate}.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.12)
		b.count(r, run, f)
		return b.plot("flash", fmt.Sprintf("%d hosts at once, seed warm", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

func cold(ctx context.Context, b *bench) error {
	return together{hosts: b.o.Hosts, rate: b.o.Rate, cold: true}.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.18)
		b.count(r, run, f)
		if err := b.sent(ctx, r, f, 1.01, run.traffic.busy); err != nil {
			return err
		}
		return b.plot("cold", fmt.Sprintf("%d hosts at once, cold origin", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

func stagger(ctx context.Context, b *bench) error {
	t := together{hosts: b.o.Hosts, rate: b.o.Rate, start: func(r *rig) (at []time.Duration) {
		for i := range r.hosts {
			at = append(at, time.Duration(i)*r.ideal(b.o.Size)/10)
		}
		return at
	}}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		worst := time.Duration(0)
		for _, own := range run.own {
			worst = max(worst, own)
		}
		b.table.add(Row{What: "slowest host's own time / T", Goal: 1.2}, worst.Seconds()/r.ideal(f.Size).Seconds(), run.traffic.busy)
		b.count(r, run, f)
		return b.plot("stagger", fmt.Sprintf("%d hosts, one every 0.1 T", len(r.hosts)), run, f.Size, r.ideal(f.Size))
	})
}

func slowUplink(ctx context.Context, b *bench) error {
	t := together{hosts: b.o.Hosts, rate: b.o.Rate, ready: func(ctx context.Context, r *rig) error {
		return r.hosts[len(r.hosts)/2].Shape(ctx, r.rate/10, r.rate)
	}}
	return t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
		b.last(r, run, f, 1.25)
		b.count(r, run, f)
		return nil
	})
}

// growth measures how the time grows with the hosts.
func growth(ctx context.Context, b *bench) error {
	times := map[int]float64{}
	for _, n := range []int{4, 8, 16, 32} {
		var row Row
		t := together{hosts: n, rate: b.o.Rate / 2}
		if err := t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
			ratio := run.last.Seconds() / r.ideal(f.Size).Seconds()
			b.table.add(Row{What: fmt.Sprintf("%d hosts: last / LB", n)}, ratio, run.traffic.busy)
			row.Values = append(row.Values, ratio)
			return nil
		}); err != nil {
			return err
		}
		times[n] = row.Median()
	}
	b.table.add(Row{What: "T(32) / T(4), of the medians", Goal: 1.15}, times[32]/times[4], 0)
	return nil
}

// classic runs the published rules once, ended at 4 × LB.
func classic(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, rigOptions{hosts: b.o.Hosts, rate: b.o.Rate, scheduler: []string{"--policy", "classic"}})
	if err != nil {
		return err
	}
	defer r.close()
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, url); err != nil {
		return err
	}
	limit := 4 * r.ideal(f.Size)
	run, err := r.crowdWarm(ctx, nil, limit, f, url)
	if err != nil && run.last < limit {
		return err
	}
	b.table.add(Row{What: "last host / LB (4: stopped there)"}, min(4, run.last.Seconds()/r.ideal(f.Size).Seconds()), run.traffic.busy)
	b.count(r, run, f)
	return b.plot("classic", "the published rules", run, f.Size, r.ideal(f.Size))
}

// killed ends a quarter of the hosts when half of T has passed.
func killed(ctx context.Context, b *bench) error {
	for range b.o.Runs { // each needs its own cluster
		if err := b.killedOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) killedOnce(ctx context.Context) error {
	r, err := newRig(ctx, b.o, rigOptions{hosts: b.o.Hosts, rate: b.o.Rate})
	if err != nil {
		return err
	}
	defer r.close()
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, url); err != nil {
		return err
	}
	victims := b.o.Hosts / 4
	survivors := r.hosts[victims:]
	ideal := r.ideal(f.Size)
	var g errgroup.Group
	doomed, cancel := context.WithCancel(ctx)
	defer func() { cancel(); _ = g.Wait() }()
	for _, d := range r.cluster.Hosts[:victims] {
		g.Go(func() error { _ = r.fetch(doomed, d, url); return nil })
		g.Go(func() error {
			select {
			case <-ctx.Done():
			case <-time.After(ideal / 2):
			}
			return d.Kill()
		})
	}
	run, err := r.crowd(ctx, survivors, nil, limitFactor*ideal, func(ctx context.Context, i int) error {
		return r.fetch(ctx, r.cluster.Hosts[victims+i], url)
	})
	if err != nil {
		return err
	}
	b.table.add(Row{What: "last survivor / LB", Goal: 1.3}, run.last.Seconds()/ideal.Seconds(), run.traffic.busy)
	return r.checkGot(ctx, r.cluster.Hosts[victims:], f, url)
}

// shuffled returns a share of the numbers below n, at random.
func shuffled(seed uint64, i, n int, share float64) []int {
	return rand.New(rand.NewPCG(seed, uint64(i))).Perm(n)[:int(float64(n)*share)]
}
