package bench

import (
	"context"
	"errors"
	"slices"

	"damselfly/cmd/internal/e2e/lab"
)

// pool keeps the rig of the scenario before, since building one takes longer
// than many a run. A rig grows as more hosts are needed and changes its links;
// hosts that a scenario doesn't need are idle.
type pool struct {
	o    *Options
	last *rig
}

// take returns a rig of at least the hosts that are needed; r.hosts are as many
// as that. It stays the pool's.
func (p *pool) take(ctx context.Context, need rigOptions) (*rig, error) {
	if p.last != nil && !p.last.fits(need) {
		if err := p.drop(); err != nil {
			return nil, err
		}
	}
	if p.last == nil {
		r, err := newRig(ctx, p.o, need)
		if err != nil {
			return nil, err
		}
		p.last = r
	}
	return p.last, p.last.prepare(ctx, need)
}

// drop ends the standing rig: the next scenario gets a new one.
func (p *pool) drop() error {
	if p.last == nil {
		return nil
	}
	r := p.last
	p.last = nil
	return r.close()
}

// fits reports whether the rig can become the one that is needed.
func (r *rig) fits(need rigOptions) bool {
	return r.sites == need.sites && slices.Equal(r.scheduler, need.scheduler) &&
		(r.sites == 0 || len(r.cluster.Hosts) == need.hosts)
}

// prepare gives the rig the hosts and links that are needed, calibrates it, and
// forgets how much memory its daemons took before.
func (r *rig) prepare(ctx context.Context, need rigOptions) error {
	if err := r.grow(ctx, need.hosts); err != nil {
		return err
	}
	if err := r.shapeAll(ctx, need.rate); err != nil {
		return err
	}
	if err := r.calibrate(ctx); err != nil {
		return err
	}
	var errs []error
	for _, d := range r.everyone() {
		errs = append(errs, resetPeak(d.PID()))
	}
	return errors.Join(errs...)
}

// revive starts daemons again that were killed.
func (r *rig) revive(ctx context.Context, ds []*lab.Daemon) error {
	for _, d := range ds {
		if d.Alive() == nil {
			continue
		}
		if err := d.Start(ctx); err != nil {
			return err
		}
		if err := r.cluster.WaitReady(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
