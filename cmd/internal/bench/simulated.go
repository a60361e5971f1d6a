package bench

import (
	"context"
	"fmt"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
)

// Predict simulates a flash crowd on a warm seed: the time of the last host over
// the lower bound. rate is that of each link, in bytes per second.
type Predict func(ctx context.Context, hosts int, size int64, rate float64) (float64, error)

// comparable is what all links of a real crowd carry together, at most: the
// simulator knows no processors, so they must not be what is measured.
const comparable = 640 * lab.Mbit

// simulated compares real crowds with simulated ones: more hosts with slower
// links and so much smaller a file.
func simulated(ctx context.Context, b *bench) error {
	if b.o.Predict == nil {
		return pieces.Errorf(pieces.Invalid, "there is no simulator to compare with")
	}
	o := *b.o
	defer func() { b.o.Size = o.Size }()
	rate := func(hosts int) lab.Rate { return min(o.Rate, comparable/lab.Rate(hosts)) }
	for _, hosts := range []int{o.Hosts, b.o.few(4, 1) * o.Hosts} {
		b.o.Size = o.Size * int64(rate(hosts)) / int64(rate(o.Hosts))
		t := together{need: rigOptions{hosts: hosts, rate: rate(hosts)}}
		want, err := b.o.Predict(ctx, hosts, b.o.Size, float64(t.need.rate)/8)
		if err != nil {
			return err
		}
		err = t.each(ctx, b, func(r *rig, run crowdRun, f content.File) error {
			got := run.last.Seconds() / r.ideal(f.Size).Seconds()
			b.table.add(Row{What: fmt.Sprintf("%d hosts: last / LB in the lab", hosts)}, got, run.traffic.busy)
			b.table.add(Row{What: fmt.Sprintf("%d hosts: last / LB simulated", hosts)}, want, 0)
			b.table.add(Row{What: fmt.Sprintf("%d hosts: the larger over the smaller", hosts), Goal: 1.1}, max(got/want, want/got), run.traffic.busy)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
