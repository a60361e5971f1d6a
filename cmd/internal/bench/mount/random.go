package mount

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
)

// randomSize is what one random read asks for.
const randomSize = 64 << 10

// random reads here and there in a large file, cold and held by a peer, and its
// end before its start.
func random(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, b.o.Rate, pieces.MaxPieceSize)
	if err != nil {
		return err
	}
	defer r.close()
	first, second, err := r.swarm(ctx)
	if err != nil {
		return err
	}
	f, err := r.file(b.o.Sizes.Large)
	if err != nil {
		return err
	}
	if err := r.ends(ctx, b, first, f); err != nil {
		return fmt.Errorf("ends: %w", err)
	}
	if err := r.jumps(ctx, b, first, f, "origin cold", 7); err != nil {
		return fmt.Errorf("origin cold: %w", err)
	}
	if err := r.fetchAll(ctx, first, f); err != nil {
		return err
	}
	sent, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return err
	}
	if err := r.jumps(ctx, b, second, f, "held by a peer", 8); err != nil {
		return fmt.Errorf("held by a peer: %w", err)
	}
	// Only the GETs beside it, and the facts, may have come from the origin.
	again, err := r.origin.Sent(ctx, f.Name)
	if err != nil {
		return err
	}
	g, err := pieces.GeometryOf(f.Size)
	if err != nil {
		return err
	}
	if most := int64(b.o.Sizes.Reads)*g.PieceSize + 1<<20; again-sent > most {
		return fmt.Errorf("the origin sent %d bytes more while a peer held all, want %d at most", again-sent, most)
	}
	b.note("%d MiB in pieces of %d KiB, links of %d Mbit/s; a scheduler, two hosts, no seed; the GETs are of the piece that a read begins in.",
		f.Size>>20, g.PieceSize>>10, b.o.Rate/lab.Mbit)
	return nil
}

// fetchAll brings all of f to d, over links without limits.
func (r *rig) fetchAll(ctx context.Context, d *lab.Daemon, f content.File) error {
	for _, rate := range []lab.Rate{0, r.rate} {
		for _, h := range []*lab.Host{r.origin.Host, d.Host} {
			if err := h.Shape(ctx, rate, rate); err != nil {
				return err
			}
		}
		if rate != 0 {
			break
		}
		res, err := d.Dfmount(ctx, "warm", r.url(f, false))
		if err == nil {
			err = res.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pieceAt returns where the piece at off begins, and how long it is.
func pieceAt(f content.File, off int64) (at, n int64, err error) {
	g, err := pieces.GeometryOf(f.Size)
	if err != nil {
		return 0, 0, err
	}
	at, n = g.Bytes(g.Covering(off, 1))
	return at, n, nil
}

// jumps reads at random places of f, each beside a GET of the piece there. Other
// choices make other places: nobody is to follow the order of somebody else.
func (r *rig) jumps(ctx context.Context, b *bench, d *lab.Daemon, f content.File, how string, choices uint64) error {
	path, err := r.add(ctx, d, f, false)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	rnd := rand.New(rand.NewPCG(b.o.Seed, choices))
	buf := make([]byte, randomSize)
	before, err := d.Task(path)
	if err != nil {
		return err
	}
	var ours, theirs []float64
	share, err := machine.Busy(func() error {
		for i := range b.o.Sizes.Reads {
			off := rnd.Int64N(f.Size - randomSize)
			at, n, err := pieceAt(f, off)
			if err != nil {
				return err
			}
			err = pair(i, func() error {
				began := time.Now()
				_, err := file.ReadAt(buf, off)
				ours = append(ours, ms(time.Since(began)))
				if err != nil {
					return err
				}
				return f.Check(buf, off)
			}, func() error {
				took, err := r.get(ctx, d.Host, f, false, at, n)
				theirs = append(theirs, ms(took))
				return err
			})
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := d.Task(path)
	if err != nil {
		return err
	}
	asked := float64(len(ours)) * randomSize
	what := fmt.Sprintf("%d random reads of 64 KiB, %s: ", b.o.Sizes.Reads, how)
	b.add(Row{What: what + "fetched", Theirs: "what was asked for", Unit: " MiB", Goal: 6}, float64(after.CachedBytes-before.CachedBytes)/(1<<20), asked/(1<<20), 0)
	b.add(Row{What: what + "p50", Theirs: "a GET of the piece, p50", Unit: " ms", Goal: 1.5}, median(ours), median(theirs), share)
	b.note("%sp99 %.3g ms beside %.3g ms.", what, quantile(ours, 0.99), quantile(theirs, 0.99))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ends reads the last 64 KiB of f, then the first, of a host that knows nothing
// of it.
func (r *rig) ends(ctx context.Context, b *bench, d *lab.Daemon, f content.File) error {
	const slack = 10 // ms
	for range max(b.o.Runs, 2) {
		path, err := r.add(ctx, d, f, false)
		if err != nil {
			return err
		}
		// The kernel still has the pages of the last time.
		if err := drop(path); err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		for _, end := range []struct {
			what string
			off  int64
		}{{"the last 64 KiB", f.Size - randomSize}, {"then the first", 0}} {
			buf := make([]byte, randomSize)
			began := time.Now()
			_, err := file.ReadAt(buf, end.off)
			ours := time.Since(began)
			if err == nil {
				err = f.Check(buf, end.off)
			}
			var theirs time.Duration
			if err == nil {
				var at, n int64
				if at, n, err = pieceAt(f, end.off); err == nil {
					theirs, err = r.get(ctx, d.Host, f, false, at, n)
				}
			}
			if err != nil {
				file.Close()
				return fmt.Errorf("%s: %w", end.what, err)
			}
			b.add(Row{What: end.what, Theirs: "1.5 × a GET of the piece + 10 ms", Unit: " ms", Goal: 1}, ms(ours), 1.5*ms(theirs)+slack, 0)
		}
		file.Close()
		if err := r.forget(ctx, d, path); err != nil {
			return err
		}
	}
	return nil
}
