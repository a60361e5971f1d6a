package mount

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"damselfly/cmd/internal/bench/machine"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// side is one of the two mounts that are compared.
type side struct {
	path func(f content.File) (string, error)
}

// besideRclone reads the same files of the same origin through both mounts, near
// and far, each on a host of its own.
func besideRclone(ctx context.Context, b *bench) error {
	s := b.o.Sizes
	r, err := newRig(ctx, b.o, b.o.Rate, s.Rclone)
	if err != nil {
		return err
	}
	defer r.close()
	d, err := r.daemon(ctx, "h1", "", lab.DaemonOptions{})
	if err != nil {
		return err
	}
	h, err := r.host(ctx, "h2")
	if err != nil {
		return err
	}
	// rclone looks into a directory now and then: all files are there before it.
	var whole, jumpy, first [2][]content.File
	for k := range 2 {
		for range b.o.Runs {
			for _, x := range []struct {
				list *[]content.File
				size int64
			}{{&whole[k], s.Rclone}, {&jumpy[k], s.Jumpy}, {&first[k], s.Rclone}} {
				f, err := r.file(x.size)
				if err != nil {
					return err
				}
				*x.list = append(*x.list, f)
			}
		}
	}
	for k, where := range []string{"", ", 20 ms away"} {
		far := k == 1
		mnt, stop, err := r.rclone(ctx, h, far)
		if err != nil {
			return err
		}
		ours := side{func(f content.File) (string, error) { return r.add(ctx, d, f, far) }}
		theirs := side{func(f content.File) (string, error) { return filepath.Join(mnt, f.Name), nil }}
		for i := range b.o.Runs {
			err = errors.Join(err, r.duel(ctx, b, i, "first byte"+where, first[k][i], ours, theirs, r.firstByte),
				r.duel(ctx, b, i, "cold, in order"+where, whole[k][i], ours, theirs, r.cat),
				r.duel(ctx, b, i, "warm, in order"+where, whole[k][i], ours, theirs, r.cat),
				r.duel(ctx, b, i, fmt.Sprintf("%d random reads of 64 KiB", s.RcloneReads)+where, jumpy[k][i], ours, theirs, r.hop))
			if err != nil {
				break
			}
		}
		stop()
		if err != nil {
			return err
		}
	}
	b.note("files of %d and %d MiB, links of %d Mbit/s, each mount on a host of its own, from open to the last byte; rclone from Debian with --vfs-cache-mode full; ls -l was run on both beforehand.",
		s.Rclone>>20, s.Jumpy>>20, b.o.Rate/lab.Mbit)
	return nil
}

// duel reads a file through both mounts, while nothing else is on the origin's
// link.
func (r *rig) duel(ctx context.Context, b *bench, i int, what string, f content.File, ours, theirs side, read func(context.Context, content.File, string) (time.Duration, error)) error {
	var took [2]time.Duration
	var shares float64
	measure := func(s side, k int) func() error {
		return func() error {
			path, err := s.path(f)
			if err != nil {
				return err
			}
			// Sizes are known, to rclone from its directory.
			if _, err := os.Stat(path); err != nil {
				return err
			}
			if err := r.quiet(ctx); err != nil {
				return err
			}
			share, err := machine.Busy(func() (err error) {
				took[k], err = read(ctx, f, path)
				return err
			})
			shares = max(shares, share)
			return err
		}
	}
	if err := pair(i, measure(ours, 0), measure(theirs, 1)); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	b.add(Row{What: what, Theirs: "rclone mount", Unit: " ms", Goal: 1}, ms(took[0]), ms(took[1]), shares)
	return nil
}

// rclone mounts the origin's files on h.
func (r *rig) rclone(ctx context.Context, h *lab.Host, far bool) (mnt string, stop func(), err error) {
	name, url := "near", r.origin.URL("list", "")
	if far {
		name, url = "far", "http://"+r.far.Addr()+"/list/"
	}
	mnt = filepath.Join(h.Dir, name)
	stop, err = mountBy(ctx, h, mnt, "rclone", "mount", ":http:", mnt, "--http-url", url, "--vfs-cache-mode", "full",
		"--cache-dir", filepath.Join(h.Dir, "cache-"+name), "--config", "/dev/null", "--read-only", "--allow-other")
	if err != nil {
		return "", nil, err
	}
	if _, err := os.ReadDir(mnt); err != nil {
		stop()
		return "", nil, err
	}
	return mnt, stop, nil
}

// firstByte reads the first 4 KiB.
func (r *rig) firstByte(_ context.Context, f content.File, path string) (time.Duration, error) {
	buf := make([]byte, pageSize)
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.ReadAt(buf, 0); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, f.Check(buf, 0)
}

// hop reads here and there.
func (r *rig) hop(ctx context.Context, f content.File, path string) (time.Duration, error) {
	rnd := rand.New(rand.NewPCG(r.o.Seed, uint64(f.Size)))
	offs := make([]int64, r.o.Sizes.RcloneReads)
	for i := range offs {
		offs[i] = rnd.Int64N(f.Size - randomSize)
	}
	part := func(i int) []byte { return r.buf[i*randomSize : (i+1)*randomSize] }
	began := time.Now()
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for i, off := range offs {
		if _, err := file.ReadAt(part(i), off); err != nil {
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	took := time.Since(began)
	for i, off := range offs {
		if err := f.Check(part(i), off); err != nil {
			return 0, err
		}
	}
	return took, nil
}
