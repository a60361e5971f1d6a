package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

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

// forget drops the file everywhere, so that runs don't fill the disk.
func (r *rig) forget(ctx context.Context, f content.File, url string, others ...*lab.Daemon) error {
	var g errgroup.Group
	g.SetLimit(4)
	for _, d := range slices.Concat(r.everyone(), others) {
		if d.Alive() != nil {
			continue
		}
		g.Go(func() error {
			res, err := d.Dfmount(ctx, "rm", url)
			if err == nil && res.Exit != boot.ExitOrigin { // so says who never heard of it
				err = res.Err()
			}
			return err
		})
	}
	return errors.Join(g.Wait(), r.origin.Remove(f))
}

// checkFile checks every byte of an output and removes it.
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
