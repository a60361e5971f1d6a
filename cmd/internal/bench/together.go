package bench

import (
	"context"
	"fmt"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// limitFactor ends a run after so many T.
const limitFactor = 6

// together measures runs of a crowd of dfmount warm that starts as start says.
type together struct {
	need  rigOptions
	cold  bool
	start func(r *rig) []time.Duration
	// ready changes the rig before each run.
	ready func(ctx context.Context, r *rig) error
}

// crowdOf is a crowd of the bench's hosts on its links.
func (b *bench) crowdOf() together {
	return together{need: rigOptions{hosts: b.o.Hosts, rate: b.o.Rate}}
}

// each runs the crowd o.Runs times and hands each run to then.
func (t together) each(ctx context.Context, b *bench, then func(r *rig, run crowdRun, f content.File) error) error {
	r, err := b.pool.take(ctx, t.need)
	if err != nil {
		return err
	}
	for n := range b.o.Runs {
		if err := t.once(ctx, b, r, n, then); err != nil {
			return err
		}
	}
	b.circumstances(r)
	return nil
}

func (t together) once(ctx context.Context, b *bench, r *rig, n int, then func(r *rig, run crowdRun, f content.File) error) error {
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	if !t.cold {
		if err := r.warm(ctx, url); err != nil {
			return err
		}
	}
	if t.ready != nil {
		if err := t.ready(ctx, r); err != nil {
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
	b.log(n, r, run, f)
	if err := then(r, run, f); err != nil {
		return err
	}
	return r.forget(ctx, f, url)
}

// log tells how a run went.
func (b *bench) log(n int, r *rig, run crowdRun, f content.File) {
	fmt.Fprintf(b.o.Log, "  run %d: %d hosts, last %.3f T, busy %.0f %%\n",
		n+1, len(r.hosts), run.last.Seconds()/r.ideal(f.Size).Seconds(), 100*run.traffic.busy)
}

// circumstances notes what the figures are relative to.
func (b *bench) circumstances(r *rig) {
	b.note("%d hosts, %d Mbit/s links, %d MiB, B_eff %.2f MB/s.", len(r.hosts), r.rate/lab.Mbit, b.o.Size>>20, r.eff/1e6)
}

// count adds the figures that all crowds share. upload is the goal for what the
// seed sends, over F; 0 = none.
func (b *bench) count(r *rig, run crowdRun, f content.File, upload float64) {
	size, busy := float64(f.Size), run.traffic.busy
	var received int64
	for _, h := range r.hosts {
		received += run.traffic.links[h.Name].Received
	}
	b.table.add(Row{What: "seed's upload / F", Goal: upload}, float64(run.traffic.links["seed"].Sent)/size, busy)
	gigabytes := size * float64(len(r.hosts)) / 1e9
	// Headers are in it: this asks for a little more than 2 % of duplicates.
	b.table.add(Row{What: "bytes received / (N·F), headers and duplicates in it", Goal: 1.02, Unshaped: true}, float64(received)/1e9/gigabytes, busy)
	b.table.add(Row{What: "cost, all that the machine did", Unit: " CPU-s/GB"}, run.traffic.cpu/gigabytes, busy)
	b.table.add(Row{What: "cost, our servers'", Unit: " CPU-s/GB"}, run.traffic.procs/gigabytes, busy)
}

// sent adds what the origin sent. requests is the goal for the number of its
// requests, 0 = none: demand reads, which that does not count, are among them.
func (b *bench) sent(ctx context.Context, r *rig, f content.File, requests float64, busy float64) error {
	sent, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return err
	}
	rs, err := r.origin.Requests(f.Name)
	if err != nil {
		return err
	}
	b.table.add(Row{What: "origin's bytes / F", Goal: 1.01, Unshaped: true}, float64(sent)/float64(f.Size), busy)
	b.table.add(Row{What: "origin's requests", Goal: requests, Unshaped: true}, float64(len(rs)), busy)
	return nil
}

func (b *bench) last(r *rig, run crowdRun, f content.File, goal float64) {
	b.table.add(Row{What: "last host / LB", Goal: goal}, run.last.Seconds()/r.ideal(f.Size).Seconds(), run.traffic.busy)
}
