package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// foreground lets one host fill with a limit of half its link, while a plain
// download comes over the same link: it is to get what the limit leaves.
func foreground(ctx context.Context, b *bench) error {
	r, err := b.rig(ctx, 1, b.o.Rate)
	if err != nil {
		return err
	}
	limit := int64(b.o.Rate) / 8 / 2
	d, err := r.cluster.Join(ctx, "limited", lab.DaemonOptions{Mount: true, Extra: []string{"--download-rate", fmt.Sprint(limit)}}, nil)
	if err != nil {
		return err
	}
	if err := d.Host.Shape(ctx, r.rate, r.rate); err != nil {
		return err
	}
	for range b.o.Runs {
		if err := b.foregroundOnce(ctx, r, d, limit); err != nil {
			return err
		}
	}
	b.circumstances(r)
	b.note("The limit of the fill is %.2f MB/s.", float64(limit)/1e6)
	return d.Terminate(stopWait)
}

func (b *bench) foregroundOnce(ctx context.Context, r *rig, d *lab.Daemon, limit int64) error {
	fill, fillURL, err := r.file(b.o.Size / 2)
	if err != nil {
		return err
	}
	// It ends before the fill does.
	plain, plainURL, err := r.file(b.o.Size / 4)
	if err != nil {
		return err
	}
	if err := r.warm(ctx, fillURL); err != nil {
		return err
	}
	var out string
	run, err := r.crowd(ctx, []*lab.Host{d.Host, d.Host}, nil, limitFactor*r.ideal(fill.Size)+30*time.Second, func(ctx context.Context, i int) (err error) {
		if i == 0 {
			return r.fetch(ctx, d, fillURL)
		}
		out, _, err = r.curl(ctx, d.Host, plainURL)
		return err
	})
	if err == nil {
		err = checkFile(plain, out)
	}
	if err == nil {
		err = r.checkGot(ctx, []*lab.Daemon{d}, fill, fillURL)
	}
	if err != nil {
		return err
	}
	rate := func(f content.File, i int) float64 { return float64(f.Size) / run.own[i].Seconds() }
	b.table.add(Row{What: "the other flow's rate / what the limit leaves", Goal: 0.95, AtLeast: true}, rate(plain, 1)/(r.eff-float64(limit)), run.traffic.busy)
	b.table.add(Row{What: "the fill's rate / its limit"}, rate(fill, 0)/float64(limit), run.traffic.busy)
	if run.own[1] > run.own[0] {
		b.note("The fill ended before the other flow: that one had the link to itself for a while.")
	}
	return errors.Join(r.forget(ctx, fill, fillURL, d), r.origin.Remove(plain))
}
