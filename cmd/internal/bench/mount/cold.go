package mount

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// catSize is what cat reads at once.
const catSize = 128 << 10

// cold reads files that nobody here has, each as often as it is new.
func cold(ctx context.Context, b *bench) error {
	size := b.o.Sizes.Cold
	r, err := newRig(ctx, b.o, b.o.Rate, size)
	if err != nil {
		return err
	}
	defer r.close()
	d, err := r.daemon(ctx, "h1", "", lab.DaemonOptions{})
	if err != nil {
		return err
	}
	rows := []struct {
		Row
		far  bool
		read func(ctx context.Context, f content.File, path string) (time.Duration, error)
	}{
		{Row{What: "one reader (cat)", Goal: 0.95}, false, r.cat},
		{Row{What: "one reader (cat), 20 ms away", Goal: 0.9}, true, r.cat},
		{Row{What: "8 readers at 8 offsets of one descriptor", Goal: 0.9}, false, r.eight},
		{Row{What: "header, then 8 MiB blocks shuffled, mmap, 2 processes", Goal: 0.85}, false, r.loaders},
	}
	for _, row := range rows {
		row.Theirs, row.Unit, row.AtLeast = "a GET of it", " MB/s", true
		for i := range b.o.Runs {
			ours, theirs, share, err := r.coldPair(ctx, d, i, row.far, row.read)
			if err != nil {
				return fmt.Errorf("%s: %w", row.What, err)
			}
			b.add(row.Row, ours, theirs, share)
		}
	}
	b.note("%d MiB, links of %d Mbit/s; one daemon alone.", size>>20, b.o.Rate/lab.Mbit)
	return nil
}

// coldPair reads a new file through the mount and by a GET; rates in MB/s.
func (r *rig) coldPair(ctx context.Context, d *lab.Daemon, i int, far bool, read func(context.Context, content.File, string) (time.Duration, error)) (ours, theirs, share float64, err error) {
	f, err := r.file(r.o.Sizes.Cold)
	if err != nil {
		return 0, 0, 0, err
	}
	path, err := r.add(ctx, d, f, far)
	if err != nil {
		return 0, 0, 0, err
	}
	var took, plain time.Duration
	share, err = machine.Busy(func() error {
		return pair(i, func() (err error) {
			took, err = read(ctx, f, path)
			return err
		}, func() (err error) {
			plain, err = r.get(ctx, d.Host, f, far, 0, f.Size)
			return err
		})
	})
	if err != nil {
		return 0, 0, 0, err
	}
	if err := r.forget(ctx, d, path); err != nil {
		return 0, 0, 0, err
	}
	// Both have read it once.
	sent, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return 0, 0, 0, err
	}
	twice := float64(sent)/float64(f.Size) - 2
	if twice < 0 {
		return 0, 0, 0, fmt.Errorf("the origin sent %d bytes for two reads of %d: it was not cold", sent, f.Size)
	}
	if twice > 0.02 {
		fmt.Fprintf(r.o.Log, "  the origin sent %.1f %% of it twice\n", 100*twice)
	}
	mb := float64(f.Size) / 1e6
	return mb / took.Seconds(), mb / plain.Seconds(), share, nil
}

// forget drops a file, so that the disk does not fill up.
func (r *rig) forget(ctx context.Context, d *lab.Daemon, path string) error {
	res, err := d.Dfmount(ctx, "rm", path)
	if err == nil {
		err = res.Err()
	}
	return err
}

// cat reads all of a file as cat does, from the open on.
func (r *rig) cat(_ context.Context, f content.File, path string) (time.Duration, error) {
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if err := inOrder(file, r.buf[:f.Size], 0); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, f.Check(r.buf[:f.Size], 0)
}

// inOrder fills p from off on, catSize at a time.
func inOrder(file io.ReaderAt, p []byte, off int64) error {
	for i := 0; i < len(p); i += catSize {
		if n, err := file.ReadAt(p[i:min(len(p), i+catSize)], off+int64(i)); err != nil {
			return fmt.Errorf("read at %d: %d bytes: %w", off+int64(i), n, err)
		}
	}
	return nil
}

// eight reads all of a file with eight readers of one descriptor.
func (r *rig) eight(_ context.Context, f content.File, path string) (time.Duration, error) {
	const readers = 8
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var g errgroup.Group
	part := (f.Size + readers - 1) / readers
	for i := range int64(readers) {
		g.Go(func() error { return inOrder(file, r.buf[i*part:min(f.Size, (i+1)*part)], i*part) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, f.Check(r.buf[:f.Size], 0)
}
