package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// rig is a lab with an origin and, unless bare, a cluster on shaped links.
type rig struct {
	o       *Options
	lab     *lab.Lab
	origin  *lab.Origin
	cluster *lab.Cluster
	hosts   []*lab.Host
	rate    lab.Rate
	// eff is B_eff, bytes per second.
	eff   float64
	files int
}

// rigOptions say how a rig differs from the common one.
type rigOptions struct {
	hosts            int
	rate             lab.Rate
	mount, bare      bool
	extra, scheduler []string // further arguments
}

// newRig builds a rig and calibrates it.
func newRig(ctx context.Context, o *Options, ro rigOptions) (r *rig, err error) {
	l, err := lab.New(ctx, lab.Options{Bin: o.Bin, Dir: o.Dir})
	if err != nil {
		return nil, err
	}
	r = &rig{o: o, lab: l, rate: ro.rate}
	defer func() {
		if err != nil {
			_ = r.close()
		}
	}()
	if r.origin, err = l.StartOrigin(ctx); err != nil {
		return nil, err
	}
	if err = r.origin.Host.Shape(ctx, ro.rate, ro.rate); err != nil {
		return nil, err
	}
	if !ro.bare {
		r.cluster, err = l.StartCluster(ctx, lab.ClusterOptions{Schedulers: 1, Hosts: ro.hosts, Rate: ro.rate,
			NoMount: !ro.mount, Extra: ro.extra, SchedulerExtra: ro.scheduler})
		if err != nil {
			return nil, err
		}
		for _, d := range r.cluster.Hosts {
			r.hosts = append(r.hosts, d.Host)
		}
		return r, r.calibrate(ctx)
	}
	for i := range ro.hosts {
		h, err := l.AddHost(ctx, fmt.Sprintf("h%d", i+1))
		if err != nil {
			return nil, err
		}
		if err := h.Shape(ctx, ro.rate, ro.rate); err != nil {
			return nil, err
		}
		r.hosts = append(r.hosts, h)
	}
	return r, r.calibrate(ctx)
}

func (r *rig) close() error { return r.lab.Close() }

// calibrate measures B_eff: what curl gets from the origin over one link.
func (r *rig) calibrate(ctx context.Context) error {
	if r.rate == 0 {
		r.eff = math.Inf(1)
		return nil
	}
	// The better of two of three seconds' worth: a lower bound must not come
	// from a transfer that something held up.
	for range 2 {
		f, url, err := r.file(int64(r.rate) / 8 * 3)
		if err != nil {
			return err
		}
		out, took, err := r.curl(ctx, r.hosts[0], url)
		if err == nil {
			err = checkFile(f, out)
		}
		if err != nil {
			return err
		}
		r.eff = max(r.eff, float64(f.Size)/took.Seconds())
	}
	return nil
}

// ideal is T: the time of one plain transfer of n bytes.
func (r *rig) ideal(n int64) time.Duration {
	return time.Duration(float64(n) / r.eff * float64(time.Second))
}

// file puts a new file on the origin.
func (r *rig) file(size int64) (content.File, string, error) {
	r.files++
	f := content.New(r.o.Seed, fmt.Sprintf("bench-%d.bin", r.files), size)
	url, err := r.origin.Add(f)
	return f, url, err
}

// curl downloads url on h with one process. The file stays at the returned path.
func (r *rig) curl(ctx context.Context, h *lab.Host, url string) (out string, took time.Duration, err error) {
	out = filepath.Join(h.Dir, "curl.out")
	res, err := h.Run(ctx, "curl", "-sS", "--fail", "-o", out, url)
	if err == nil {
		err = res.Err()
	}
	return out, res.Took, err
}

// get downloads f with dfget through d. The file stays at the returned path.
func (r *rig) get(ctx context.Context, d *lab.Daemon, url string) (out string, err error) {
	out = filepath.Join(d.Host.Dir, "get.out")
	res, err := d.Dfget(ctx, url, "-O", out)
	if err == nil {
		err = res.Err()
	}
	return out, err
}

// warm makes the seed hold the file, over links without limits.
func (r *rig) warm(ctx context.Context, url string) error {
	seed := r.cluster.Seed
	shape := func(rate lab.Rate) error {
		return errors.Join(r.origin.Host.Shape(ctx, rate, rate), seed.Host.Shape(ctx, rate, rate))
	}
	if err := shape(0); err != nil {
		return err
	}
	return errors.Join(r.fetch(ctx, seed, url), shape(r.rate))
}

// fetch brings the whole file into d's cache.
func (r *rig) fetch(ctx context.Context, d *lab.Daemon, url string) error {
	res, err := d.Dfmount(ctx, "warm", url)
	if err == nil {
		err = res.Err()
	}
	return err
}

// forget drops the bytes of a file everywhere, so that runs don't fill the disk.
func (r *rig) forget(ctx context.Context, url string) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, d := range r.cluster.Daemons() {
		if d.Alive() != nil {
			continue
		}
		g.Go(func() error {
			res, err := d.Dfmount(ctx, "rm", url)
			if err == nil && res.Exit != 0 && !strings.Contains(res.Stderr, "not") {
				err = res.Err()
			}
			return err
		})
	}
	return g.Wait()
}

// checkFile checks an output and removes it.
func checkFile(f content.File, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	defer os.Remove(path)
	if err := f.CheckReader(file, 0, f.Size); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
