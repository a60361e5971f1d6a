package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// randomTenth lets every host read another tenth of the file's pieces, in random
// order: the origin is to send only what anyone touched.
func randomTenth(ctx context.Context, b *bench) error {
	r, err := b.rig(ctx, b.o.Hosts, b.o.Rate)
	if err != nil {
		return err
	}
	const (
		unit       = 256 << 10 // a piece of such a file, and no more of the kernel's readahead
		factsBytes = 64 << 10  // of the start come with the facts
	)
	for n := range b.o.Runs {
		f, url, err := r.file(b.o.Size)
		if err != nil {
			return err
		}
		path, err := r.daemons[0].Add(ctx, url)
		if err != nil {
			return err
		}
		units := func(i int) []int { return shuffled(b.o.Seed+uint64(n), i, int(f.Size/unit), 0.1) }
		run, err := r.crowd(ctx, r.hosts, nil, limitFactor*r.ideal(f.Size)+30*time.Second, func(ctx context.Context, i int) error {
			return readUnits(ctx, f, r.daemons[i].Path(path), units(i), unit)
		})
		if err != nil {
			return err
		}
		touched := map[int]bool{}
		for i := range r.hosts {
			for _, k := range units(i) {
				touched[k] = true
			}
		}
		sent, err := r.origin.Sent(ctx, f.Name)
		if err != nil {
			return err
		}
		rs, err := r.origin.Requests(f.Name)
		if err != nil {
			return err
		}
		twice, needless, err := excess(rs, f.Size, unit, func(k int) bool { return touched[k] || k == 0 })
		if err != nil {
			return err
		}
		want := int64(len(touched)) * unit
		if !touched[0] {
			want += factsBytes
		}
		b.table.add(Row{What: "origin's bytes / the touched pieces", Goal: 1.01, Unshaped: true}, float64(sent)/float64(want), run.traffic.busy)
		b.table.add(Row{What: "… sent again / the touched pieces", Unshaped: true}, float64(twice)/float64(want), run.traffic.busy)
		b.table.add(Row{What: "… of pieces that nobody touched / the touched pieces", Unshaped: true}, float64(needless)/float64(want), run.traffic.busy)
		b.table.add(Row{What: "last host / time of a plain transfer of the touched pieces"},
			run.last.Seconds()/r.ideal(want).Seconds(), run.traffic.busy)
		if err := r.forget(ctx, f, url); err != nil {
			return err
		}
	}
	b.circumstances(r)
	return nil
}

// excess tells what the origin sent for nothing, in bytes: what it had sent
// before, and what is of units that nobody touched.
func excess(rs []lab.Request, size, unit int64, touched func(k int) bool) (twice, needless int64, err error) {
	sent := make([]int64, (size+unit-1)/unit)
	for _, r := range rs {
		var from, to int64
		if n, err := fmt.Sscanf(r.Range, "bytes=%d-%d", &from, &to); n != 2 {
			return 0, 0, fmt.Errorf("range %.40q of a request to the origin: %w", r.Range, err)
		}
		for left := r.Sent; left > 0 && from < size; {
			n := min(left, unit-from%unit)
			sent[from/unit] += n
			from, left = from+n, left-n
		}
	}
	for k, n := range sent {
		all := min(unit, size-int64(k)*unit)
		twice += max(0, n-all)
		if !touched(k) {
			needless += min(n, all)
		}
	}
	return twice, needless, nil
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

// openRandom opens a file whose readers jump about.
func openRandom(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
