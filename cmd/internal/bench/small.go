package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/proxy"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// Small files.
const (
	smallFiles   = 10_000
	smallWorkers = 16
	smallDelay   = 5 * time.Millisecond // of each chunk from the origin
)

// small reads many small files from an origin some way off: with one curl each,
// on a first host through its mount, and on a second host.
func small(ctx context.Context, b *bench) error {
	r, err := b.rig(ctx, 2, 0)
	if err != nil {
		return err
	}
	base, stop, err := r.farAway(ctx)
	if err != nil {
		return err
	}
	defer stop()
	files := make([]content.File, b.o.few(smallFiles, 64))
	for i := range files {
		f, _, err := r.file(4<<10 + int64(i%16)*4<<10)
		if err != nil {
			return err
		}
		files[i] = f
	}
	var curl time.Duration
	var took [2]time.Duration
	busy, err := machine.Busy(func() (err error) {
		curl, err = inParallel(ctx, files, func(ctx context.Context, f content.File) error {
			res, err := r.hosts[0].Run(ctx, "curl", "-sS", "--fail", "-o", "/dev/null", base+f.Name)
			if err == nil {
				err = res.Err()
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("curl: %w", err)
		}
		for i, d := range r.daemons {
			if took[i], err = r.readSmall(ctx, d, base, files); err != nil {
				return fmt.Errorf("%s: %w", d.Host.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.table.add(Row{What: "first host's time / curl's", Goal: 1, Unshaped: true}, took[0].Seconds()/curl.Seconds(), busy)
	b.table.add(Row{What: "first host's time / second's", Goal: 5, AtLeast: true, Unshaped: true}, took[0].Seconds()/took[1].Seconds(), busy)
	b.table.add(Row{What: "curl's time / second host's", Unshaped: true}, curl.Seconds()/took[1].Seconds(), busy)
	b.note("%d files of 4-64 KiB, %d workers, origin behind a proxy that delays each answer by %v; adding the URL is part of the time. One curl each: %.1f s.",
		len(files), smallWorkers, smallDelay, curl.Seconds())
	return nil
}

// readSmall adds and reads all files on d.
func (r *rig) readSmall(ctx context.Context, d *lab.Daemon, base string, files []content.File) (time.Duration, error) {
	client, err := control.Dial(d.Socket)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return inParallel(ctx, files, func(ctx context.Context, f content.File) error {
		_, paths, err := client.Add(ctx, base+f.Name, pieces.Options{}, "")
		if err != nil {
			return err
		}
		if len(paths) == 0 {
			return fmt.Errorf("%s has no path in a mount", f.Name)
		}
		file, err := os.Open(paths[0])
		if err != nil {
			return err
		}
		defer file.Close()
		return f.CheckReader(file, 0, f.Size)
	})
}

// inParallel runs do for every file, some at a time, and returns how long all took.
func inParallel(ctx context.Context, files []content.File, do func(context.Context, content.File) error) (time.Duration, error) {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(smallWorkers)
	for _, f := range files {
		g.Go(func() error { return do(ctx, f) })
	}
	err := g.Wait()
	return time.Since(began), err
}

// farAway makes the origin's files available at a URL that is further off.
func (r *rig) farAway(ctx context.Context) (base string, stop func(), err error) {
	addr := net.JoinHostPort(r.origin.Host.IP, "8081")
	lis, err := r.origin.Host.Listen(ctx, "tcp", addr)
	if err != nil {
		return "", nil, err
	}
	p := proxy.Between(lis, func() (net.Conn, error) {
		return r.origin.Host.Dial(context.WithoutCancel(ctx), "tcp", net.JoinHostPort(r.origin.Host.IP, "80"))
	}, r.o.Seed)
	p.SetDown(proxy.Fault{Delay: smallDelay})
	return "http://" + addr + "/files/", func() { _ = p.Close() }, nil
}
