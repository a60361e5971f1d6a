package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/lab"
)

// memoryBudget is what each daemon is given for bytes in flight: the default,
// said aloud.
const memoryBudget = 128 << 20

// rig is a lab with an origin and a cluster on shaped links, or bare hosts.
type rig struct {
	o         *Options
	lab       *lab.Lab
	origin    *lab.Origin
	cluster   *lab.Cluster // nil in a bare rig
	sites     int
	scheduler []string
	// hosts take part in the scenario, daemons run on them.
	hosts   []*lab.Host
	daemons []*lab.Daemon
	rate    lab.Rate
	// eff is B_eff, bytes per second, at rate; effs are those of rates before.
	eff   float64
	effs  map[lab.Rate]float64
	files int
}

// rigOptions say what a scenario needs.
type rigOptions struct {
	hosts int
	rate  lab.Rate
	// sites are data centres with even shares of the hosts; 0 = none.
	sites     int
	scheduler []string // further arguments
}

// start makes a lab with an origin.
func start(ctx context.Context, o *Options) (*rig, error) {
	l, err := lab.New(ctx, lab.Options{Bin: o.Bin, Dir: o.Dir, Keep: o.Keep})
	if err != nil {
		return nil, err
	}
	r := &rig{o: o, lab: l, effs: map[lab.Rate]float64{}}
	if r.origin, err = l.StartOrigin(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// newRig starts a cluster. Unless there are sites, hosts come by grow.
func newRig(ctx context.Context, o *Options, need rigOptions) (*rig, error) {
	r, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	r.sites, r.scheduler = need.sites, need.scheduler
	co := lab.ClusterOptions{Schedulers: 1, Sites: need.sites, SchedulerExtra: need.scheduler,
		Extra: []string{"--memory", fmt.Sprint(memoryBudget)}}
	if need.sites > 0 {
		co.Hosts = need.hosts
	}
	if r.cluster, err = r.lab.StartCluster(ctx, co); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// newBare makes hosts on which nothing runs, and calibrates them.
func newBare(ctx context.Context, o *Options, hosts int, rate lab.Rate) (*rig, error) {
	r, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	for i := range hosts {
		h, err := r.lab.AddHost(ctx, fmt.Sprintf("h%d", i+1))
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.hosts = append(r.hosts, h)
	}
	if err = r.shapeAll(ctx, rate); err == nil {
		err = r.calibrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rig) close() error { return r.lab.Close() }

// grow adds hosts until there are n, and lets n take part.
func (r *rig) grow(ctx context.Context, n int) error {
	for k := len(r.cluster.Hosts); k < n; k++ {
		d, err := r.cluster.Join(ctx, fmt.Sprintf("h%d", k+1), lab.DaemonOptions{Mount: true}, nil)
		if err != nil {
			return err
		}
		r.cluster.Hosts = append(r.cluster.Hosts, d)
	}
	r.daemons = r.cluster.Hosts[:n]
	r.hosts = nil
	for _, d := range r.daemons {
		r.hosts = append(r.hosts, d.Host)
	}
	return nil
}

// everyone are all daemons, those that are idle, too.
func (r *rig) everyone() []*lab.Daemon { return r.cluster.Daemons() }

// shapeAll gives every link of the lab's origin, seed and hosts that rate.
func (r *rig) shapeAll(ctx context.Context, rate lab.Rate) error {
	r.rate = rate
	var g errgroup.Group
	g.SetLimit(4)
	for _, h := range r.lab.Hosts() {
		if h.Name != "manager" && !strings.HasPrefix(h.Name, "sched") {
			g.Go(func() error { return h.Shape(ctx, rate, rate) })
		}
	}
	return g.Wait()
}

// calibrate measures B_eff: what curl gets from the origin over one link.
func (r *rig) calibrate(ctx context.Context) error {
	if r.rate == 0 {
		r.eff = math.Inf(1)
		return nil
	}
	if r.eff = r.effs[r.rate]; r.eff > 0 {
		return nil
	}
	// The better of two: a lower bound must not come from a transfer that
	// something held up.
	for range 2 {
		f, url, err := r.file(int64(float64(r.rate) / 8 * r.o.Calibration.Seconds()))
		if err != nil {
			return err
		}
		out, took, err := r.curl(ctx, r.hosts[0], url)
		if err == nil {
			err = errors.Join(checkFile(f, out), r.origin.Remove(f))
		}
		if err != nil {
			return err
		}
		r.eff = max(r.eff, float64(f.Size)/took.Seconds())
	}
	r.effs[r.rate] = r.eff
	return nil
}

// ideal is T: the time of one plain transfer of n bytes.
func (r *rig) ideal(n int64) time.Duration {
	return time.Duration(float64(n) / r.eff * float64(time.Second))
}
