package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"damselfly/cmd/internal/e2e/content"
)

// readSize is what one read of our readers asks for.
const readSize = 1 << 20

// inOrder lets all hosts read a cold file from its start to its end, as cat and
// sha256sum do.
func inOrder(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, rigOptions{hosts: b.o.Hosts, rate: b.o.Rate, mount: true})
	if err != nil {
		return err
	}
	defer r.close()
	for range b.o.Runs {
		f, url, err := r.file(b.o.Size)
		if err != nil {
			return err
		}
		path, err := r.cluster.Hosts[0].Add(ctx, url)
		if err != nil {
			return err
		}
		ideal := r.ideal(f.Size)
		tenth := make([]time.Duration, len(r.hosts))
		run, err := r.crowd(ctx, r.hosts, nil, limitFactor*ideal+30*time.Second, func(ctx context.Context, i int) error {
			began := time.Now()
			return readInOrder(ctx, f, r.cluster.Hosts[i].Path(path), func(off int64) {
				if tenth[i] == 0 && off >= f.Size/10 {
					tenth[i] = time.Since(began)
				}
			})
		})
		if err != nil {
			return err
		}
		var first float64
		for _, t := range tenth {
			first += t.Seconds() / float64(len(tenth))
		}
		fmt.Fprintf(b.o.Log, "  last %.3f T, busy %.0f %%\n", run.last.Seconds()/ideal.Seconds(), 100*run.traffic.busy)
		b.last(r, run, f, 1.2)
		b.table.add(Row{What: "first tenth of the file, mean / T", Goal: 0.22}, first/ideal.Seconds(), run.traffic.busy)
		b.count(r, run, f)
		if err := b.sent(ctx, r, f, 1.01, run.traffic.busy); err != nil {
			return err
		}
		if err := b.plot("inorder", fmt.Sprintf("%d hosts read in order", len(r.hosts)), run, f.Size, ideal); err != nil {
			return err
		}
		if err := r.forget(ctx, url); err != nil {
			return err
		}
	}
	b.note("%d hosts, %d Mbit/s links, %d MiB, B_eff %.2f MB/s.", b.o.Hosts, b.o.Rate/1e6, b.o.Size>>20, r.eff/1e6)
	return nil
}

// readInOrder reads and checks all of a file; at hears how far it is.
func readInOrder(ctx context.Context, f content.File, path string, at func(off int64)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, readSize)
	for off := int64(0); off < f.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := file.ReadAt(buf[:min(readSize, f.Size-off)], off)
		if err == nil {
			err = f.Check(buf[:n], off)
		}
		if err != nil {
			return err
		}
		off += int64(n)
		at(off)
	}
	return nil
}

// randomTenth lets every host read another tenth of the file's MiB, in random
// order: the origin is to send only what anyone touched.
func randomTenth(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, rigOptions{hosts: b.o.Hosts, rate: b.o.Rate, mount: true})
	if err != nil {
		return err
	}
	defer r.close()
	f, url, err := r.file(b.o.Size)
	if err != nil {
		return err
	}
	path, err := r.cluster.Hosts[0].Add(ctx, url)
	if err != nil {
		return err
	}
	const unit = 256 << 10 // a piece of such a file, and no more of the kernel's readahead
	touched := map[int]bool{0: true}
	run, err := r.crowd(ctx, r.hosts, nil, limitFactor*r.ideal(f.Size)+30*time.Second, func(ctx context.Context, i int) error {
		return readUnits(ctx, f, r.cluster.Hosts[i].Path(path), shuffled(b.o.Seed, i, int(f.Size/unit), 0.1), unit)
	})
	if err != nil {
		return err
	}
	for i := range r.hosts {
		for _, k := range shuffled(b.o.Seed, i, int(f.Size/unit), 0.1) {
			touched[k] = true
		}
	}
	sent, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return err
	}
	b.table.add(Row{What: "origin's bytes / the touched pieces", Goal: 1.01}, float64(sent)/float64(len(touched)*unit), run.traffic.busy)
	b.table.add(Row{What: "seconds", Unit: " s"}, run.last.Seconds(), run.traffic.busy)
	return nil
}

// readUnits reads and checks these units of a file, without readahead.
func readUnits(ctx context.Context, f content.File, path string, units []int, unit int64) error {
	file, err := openRandom(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buf := make([]byte, unit)
	for _, k := range units {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := file.ReadAt(buf, int64(k)*unit); err != nil {
			return err
		}
		if err := f.Check(buf, int64(k)*unit); err != nil {
			return err
		}
	}
	return nil
}
