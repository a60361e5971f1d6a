package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"damselfly/cmd/internal/e2e/lab"
)

// slowness is what the scenario disk is made of.
type slowness struct {
	link          lab.Rate
	write         int64 // bytes per second
	budget, dirty int64 // bytes
	steady        time.Duration
}

// slowDisk makes the seed a host with a slow disk. A program on it and one on
// another host, which has all its bytes from there, read a cold file in order:
// as fast as the link until the seed's memory is full, then as fast as its disk.
func slowDisk(ctx context.Context, b *bench) error {
	s := slowness{lab.Gbit, 20e6, 512 << 20, 16 << 20, 10 * time.Second}
	if b.o.tiny {
		s = slowness{200 * lab.Mbit, 5e6, 8 << 20, 2 << 20, time.Second}
	}
	r, err := b.rig(ctx, 1, s.link)
	if err != nil {
		return err
	}
	if r.eff < 2*float64(s.write) {
		return fmt.Errorf("the links carry %.1f MB/s: too little to fill a memory that a disk of %d MB/s empties", r.eff/1e6, s.write/1e6)
	}
	var disk *lab.Disk
	prepare := func(h *lab.Host) (err error) {
		disk, err = h.AddDisk(ctx, filepath.Join(h.Dir, "data"), 8<<30, s.write, s.dirty)
		return err
	}
	if err := r.cluster.Seed.Terminate(stopWait); err != nil {
		return err
	}
	slow, err := r.cluster.Join(ctx, "slowdisk", lab.DaemonOptions{Mount: true, Seed: true, Extra: []string{"--memory", fmt.Sprint(s.budget)}}, prepare)
	if errors.Is(err, errors.ErrUnsupported) {
		b.table.Rows = append(b.table.Rows, s.row("the slow host's own reader"), s.row("a reader on another host"))
		b.note("Not measured: %v.", err)
		return r.revive(ctx, []*lab.Daemon{r.cluster.Seed})
	}
	if err != nil {
		if disk != nil {
			err = errors.Join(err, disk.Close())
		}
		return err
	}
	err = func() error {
		if err := slow.Host.Shape(ctx, s.link, s.link); err != nil {
			return err
		}
		for range b.o.Runs {
			if err := b.slowDiskOnce(ctx, r, s, slow); err != nil {
				return err
			}
		}
		return nil
	}()
	// It writes what it still has in memory before it ends.
	err = errors.Join(err, disk.Unlimit(), slow.Terminate(stopWait), disk.Close())
	if err != nil {
		return err
	}
	b.note("Disk %d MB/s, at most %d MiB of it in the page cache, memory budget %d MiB, link %d Mbit/s, B_eff %.1f MB/s. "+
		"The memory is full after B_eff / (B_eff - disk) times the budget.",
		s.write/1e6, s.dirty>>20, s.budget>>20, s.link/lab.Mbit, r.eff/1e6)
	return r.revive(ctx, []*lab.Daemon{r.cluster.Seed})
}

// stopWait is how long a daemon may take to leave.
const stopWait = 20 * time.Second

func (s slowness) row(who string) Row {
	return Row{What: who + ": rate until the memory is full / B_eff", Goal: 0.95, AtLeast: true}
}

// point is how far a reader was after some time.
type point struct {
	at  time.Duration
	off int64
}

func (b *bench) slowDiskOnce(ctx context.Context, r *rig, s slowness, slow *lab.Daemon) error {
	full := int64(float64(s.budget+s.dirty) * r.eff / (r.eff - float64(s.write)))
	f, url, err := r.file(full + int64(s.steady.Seconds()*float64(s.write)))
	if err != nil {
		return err
	}
	path, err := slow.Add(ctx, url)
	if err != nil {
		return err
	}
	readers := []*lab.Daemon{slow, r.daemons[0]}
	var points [2][]point
	limit := r.ideal(full) + 5*s.steady + 30*time.Second
	run, err := r.crowd(ctx, []*lab.Host{slow.Host, r.hosts[0]}, nil, limit, func(ctx context.Context, i int) error {
		began := time.Now()
		return readInOrder(ctx, f, readers[i].Path(path), func(off int64) {
			points[i] = append(points[i], point{time.Since(began), off})
		})
	})
	if err != nil {
		return err
	}
	busy := run.traffic.busy
	for i, who := range []string{"the slow host's own reader", "a reader on another host"} {
		fast, slowly, pause := phases(points[i], full)
		b.table.add(s.row(who), fast/r.eff, busy)
		b.table.add(Row{What: who + ": rate afterwards / the disk's", Goal: 0.95, AtLeast: true}, slowly/float64(s.write), busy)
		b.table.add(Row{What: who + ": longest pause afterwards", Unit: " s"}, pause.Seconds(), busy)
	}
	if err := b.plot("disk", "a seed with a slow disk, and a host that reads from it", run, f.Size, r.ideal(f.Size)); err != nil {
		return err
	}
	return r.forget(ctx, f, url, slow)
}

// phases are the rates of a reader, bytes per second, up to nine tenths of full
// bytes and after eleven, and its longest pause after these.
func phases(ps []point, full int64) (before, after float64, pause time.Duration) {
	var from point
	for i, p := range ps {
		if p.off <= full/10*9 {
			before = float64(p.off) / p.at.Seconds()
		}
		if p.off < full/10*11 {
			from = p
			continue
		}
		pause = max(pause, p.at-ps[max(0, i-1)].at)
	}
	if last := ps[len(ps)-1]; last.at > from.at {
		after = float64(last.off-from.off) / (last.at - from.at).Seconds()
	}
	return before, after, pause
}
