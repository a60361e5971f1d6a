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
	r, err := b.rig(ctx, b.o.Hosts, b.o.Rate)
	if err != nil {
		return err
	}
	for n := range b.o.Runs {
		f, _, err := r.file(b.o.Size)
		if err != nil {
			return err
		}
		ideal := r.ideal(f.Size)
		in, err := r.readersInOrder(ctx, f, limitFactor*ideal+30*time.Second)
		if err != nil {
			return err
		}
		b.log(n, r, in.run, f)
		b.last(r, in.run, f, 1.2)
		b.table.add(Row{What: "first tenth of the file, mean / T", Goal: 0.22}, in.tenth.Seconds()/ideal.Seconds(), in.run.traffic.busy)
		b.count(r, in.run, f, 0)
		if err := b.sent(ctx, r, f, 0, in.run.traffic.busy); err != nil {
			return err
		}
		if err := b.plot("inorder", fmt.Sprintf("%d hosts read in order", len(r.hosts)), in.run, f.Size, ideal); err != nil {
			return err
		}
		if err := r.forget(ctx, f, in.url); err != nil {
			return err
		}
	}
	b.circumstances(r)
	return nil
}

// orderly is what happened when all hosts read a file in order.
type orderly struct {
	run crowdRun
	url string
	// tenth is when hosts had a tenth of the file, on average of those that got so
	// far.
	tenth time.Duration
}

// readersInOrder lets all hosts read f in order through their mounts.
func (r *rig) readersInOrder(ctx context.Context, f content.File, limit time.Duration) (in orderly, err error) {
	in.url = r.origin.URL("files", f.Name)
	path, err := r.daemons[0].Add(ctx, in.url)
	if err != nil {
		return in, err
	}
	tenth := make([]time.Duration, len(r.hosts))
	in.run, err = r.crowd(ctx, r.hosts, nil, limit, func(ctx context.Context, i int) error {
		began := time.Now()
		return readInOrder(ctx, f, r.daemons[i].Path(path), func(off int64) {
			if tenth[i] == 0 && off >= f.Size/10 {
				tenth[i] = time.Since(began)
			}
		})
	})
	got := time.Duration(0)
	for _, t := range tenth {
		if t > 0 {
			in.tenth += t
			got++
		}
	}
	in.tenth /= max(1, got)
	return in, err
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
