package mount

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// ordered is what programs read of the file: this share, and of a program that
// differs, this share of its reads goes elsewhere.
const (
	orderedShare   = 0.1
	differentShare = 0.2
)

// order has a second host read what a first one read, and knows in which order;
// the first has left, the origin is far.
func order(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, b.o.Rate, 0)
	if err != nil {
		return err
	}
	defer r.close()
	first, second, err := r.swarm(ctx)
	if err != nil {
		return err
	}
	// Two files a run: one whose order is followed, one from which a fifth of the
	// reads differ.
	var known []content.File
	for range 2 * b.o.Runs {
		f, err := r.file(b.o.Sizes.Ordered)
		if err != nil {
			return err
		}
		if _, err := r.wander(ctx, first, f, b.o.Seed, 0); err != nil {
			return fmt.Errorf("the first host: %w", err)
		}
		known = append(known, f)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(told):
	}
	for _, f := range known {
		if err := r.isKnown(ctx, second, f); err != nil {
			return err
		}
	}
	if err := first.Terminate(15 * time.Second); err != nil {
		return err
	}
	for i := range b.o.Runs {
		unknown, err := r.file(b.o.Sizes.Ordered)
		if err != nil {
			return err
		}
		if err := r.follow(ctx, b, second, i, known[2*i], unknown); err != nil {
			return err
		}
		g, err := r.wander(ctx, second, known[2*i+1], b.o.Seed+uint64(i), differentShare)
		if err != nil {
			return err
		}
		b.add(Row{What: "order known, a fifth of the reads differ: fetched before idle", Theirs: "the pieces read", Unit: " MiB", Goal: 1.2}, g.fetched, g.touched, 0)
	}
	b.note("%d MiB, a tenth of it read piece by piece in random order, links of %d Mbit/s, the origin 20 ms away; a scheduler, no seed, the first host is gone. Fetched: all that the origin sent.",
		b.o.Sizes.Ordered>>20, b.o.Rate/lab.Mbit)
	return nil
}

// told is how long after a read the scheduler knows of it, for sure.
const told = 3 * time.Second

// isKnown fails unless a host can learn nearly all of the order of f.
func (r *rig) isKnown(ctx context.Context, d *lab.Daemon, f content.File) error {
	res, err := d.Dfmount(ctx, "order", "show", r.url(f, true), "--json")
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return err
	}
	var o control.Order
	if err := json.Unmarshal([]byte(res.Stdout), &o); err != nil {
		return err
	}
	var known int64
	for _, p := range o.Ranges {
		known += p.N
	}
	if known < int64(0.9*orderedShare*float64(f.Size)) {
		return fmt.Errorf("%d bytes of the order of %s are known", known, f.Name)
	}
	return nil
}

// follow reads a file whose order is known and one whose order is not.
func (r *rig) follow(ctx context.Context, b *bench, d *lab.Daemon, i int, known, unknown content.File) error {
	var with, without wandered
	share, err := machine.Busy(func() error {
		return pair(i, func() (err error) {
			with, err = r.wander(ctx, d, known, r.o.Seed, 0)
			return err
		}, func() (err error) {
			without, err = r.wander(ctx, d, unknown, r.o.Seed, 0)
			return err
		})
	})
	if err != nil {
		return err
	}
	b.add(Row{What: "order known: speed", Theirs: "the same, not known", Unit: " MB/s", Goal: 3, AtLeast: true}, with.rate(), without.rate(), share)
	b.add(Row{What: "order known: fetched before idle", Theirs: "the pieces read", Unit: " MiB", Goal: 1.2}, with.fetched, with.touched, 0)
	return nil
}

// wandered is what reading here and there came to; fetched and touched in MiB.
type wandered struct {
	reads            int
	took             time.Duration
	fetched, touched float64
}

func (w wandered) rate() float64 { return w.touched * (1 << 20) / 1e6 / w.took.Seconds() }

// wander reads pieces of f in random order, of which a share is not those that
// the others read.
func (r *rig) wander(ctx context.Context, d *lab.Daemon, f content.File, seed uint64, different float64) (w wandered, err error) {
	path, err := r.add(ctx, d, f, true)
	if err != nil {
		return w, err
	}
	g, err := pieces.GeometryOf(f.Size)
	if err != nil {
		return w, err
	}
	if err := r.quiet(ctx); err != nil {
		return w, err
	}
	before, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return w, err
	}
	plan := wanderings(g.Count(), r.o.Seed, seed, different)
	if w.took, err = visit(f, path, g.PieceSize, plan); err != nil {
		return w, err
	}
	// What is on its way arrives: nobody has been idle for long.
	if err := r.quiet(ctx); err != nil {
		return w, err
	}
	after, err := r.origin.Sent(ctx, f.Name)
	w.reads, w.fetched, w.touched = len(plan), float64(after-before)/(1<<20), float64(int64(len(plan))*g.PieceSize)/(1<<20)
	return w, err
}

// wanderings are the pieces that a program reads, in its order: a tenth of all,
// the same for all with this seed, but for the share that differs.
func wanderings(count int, seed, own uint64, different float64) []int {
	all := rand.New(rand.NewPCG(seed, 11)).Perm(count)
	n := max(1, int(orderedShare*float64(count)))
	plan, others := slices.Clone(all[:n]), all[n:]
	rnd := rand.New(rand.NewPCG(own, 13))
	for k, i := range rnd.Perm(n)[:int(different*float64(n))] {
		plan[i] = others[k]
	}
	return plan
}

// visit reads these pieces of a file, without the kernel's readahead.
func visit(f content.File, path string, size int64, plan []int) (time.Duration, error) {
	buf := make([]byte, int64(len(plan))*size)
	for i := 0; i < len(buf); i += pageSize {
		buf[i] = 1
	}
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		return 0, err
	}
	part := func(k int) []byte { return buf[int64(k)*size : int64(k+1)*size] }
	for k, i := range plan {
		off := int64(i) * size
		if _, err := file.ReadAt(part(k)[:min(size, f.Size-off)], off); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	for k, i := range plan {
		off := int64(i) * size
		if err := f.Check(part(k)[:min(size, f.Size-off)], off); err != nil {
			return 0, err
		}
	}
	return took, nil
}
