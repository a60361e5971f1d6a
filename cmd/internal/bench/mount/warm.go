package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// complete is a file that a daemon holds whole, seen from both sides.
type complete struct {
	d    *lab.Daemon
	f    content.File
	path string // in the mount
	own  string // the content file
	// passthrough: programs must get it so.
	passthrough bool
}

// warmPairs: with cached pages a pair is quick, the difference small, and any
// other program disturbs it.
const warmPairs = 9

// warm reads complete files in the mount and beside it.
func warm(ctx context.Context, b *bench) error {
	r, err := newRig(ctx, b.o, 0, 0)
	if err != nil {
		return err
	}
	defer r.close()
	f, err := r.file(b.o.Sizes.Warm)
	if err != nil {
		return err
	}
	with, err := r.complete(ctx, "h1", "", f)
	if err != nil {
		return err
	}
	without, err := r.complete(ctx, "h2", "fuse: {no-passthrough: true}\n", f)
	if err != nil {
		return err
	}
	with.passthrough = true
	random := func(engine string) reading {
		return func(ctx context.Context, c *complete, path string) (float64, error) {
			return fio(ctx, c.d.Host, path, engine, b.o.Sizes.Fio)
		}
	}
	const mb, iops = " MB/s", " IOPS"
	rows := []struct {
		Row
		c    *complete
		read reading
		cold bool // without cached pages
	}{
		{Row{What: "reopened: dd, in order", Unit: mb, Goal: 0.95}, with, dd, false},
		{Row{What: "reopened: fio, 4 KiB at random, psync", Unit: iops, Goal: 0.95}, with, random("psync"), false},
		{Row{What: "reopened: fio, 4 KiB at random, io_uring", Unit: iops, Goal: 0.95}, with, random("io_uring"), false},
		{Row{What: "reopened: mmap, every page", Unit: mb, Goal: 0.95}, with, scan, false},
		{Row{What: "page cache dropped: dd, passthrough", Unit: mb, Goal: 0.9}, with, dd, true},
		{Row{What: "page cache dropped: fio, 4 KiB at random, passthrough", Unit: iops, Goal: 0.9}, with, random("psync"), true},
		{Row{What: "page cache dropped: dd, no passthrough", Unit: mb, Goal: 0.65}, without, dd, true},
	}
	for _, row := range rows {
		row.Theirs, row.AtLeast = "the content file", true
		pairs := warmPairs
		if b.o.Runs == 1 || row.cold {
			pairs = b.o.Runs
		}
		for i := range pairs {
			if err := row.c.compare(ctx, b, row.Row, i, row.read, row.cold); err != nil {
				return fmt.Errorf("%s: %w", row.What, err)
			}
		}
	}
	b.note("%d MiB; page caches are dropped by fadvise before each run that says so.", b.o.Sizes.Warm>>20)
	return errors.Join(with.check(), without.check())
}

// reading reads path, in the mount of c or beside it, and returns how fast.
type reading func(ctx context.Context, c *complete, path string) (float64, error)

// complete makes a daemon that holds f.
func (r *rig) complete(ctx context.Context, host, config string, f content.File) (*complete, error) {
	d, err := r.daemon(ctx, host, config, lab.DaemonOptions{})
	if err != nil {
		return nil, err
	}
	c := &complete{d: d, f: f}
	if c.path, err = r.add(ctx, d, f, false); err != nil {
		return nil, err
	}
	res, err := d.Dfmount(ctx, "warm", c.path)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, err
	}
	c.own, err = contentFile(d, f.Size)
	return c, err
}

// compare takes one pair and proves how it was read.
func (c *complete) compare(ctx context.Context, b *bench, row Row, i int, read reading, cold bool) error {
	var ours, theirs float64
	prepare := func() error { return nil }
	if cold {
		prepare = func() error { return errors.Join(drop(c.path), drop(c.own)) }
	}
	measure := func(path string, to *float64) func() error {
		return func() (err error) {
			if err := prepare(); err != nil {
				return err
			}
			*to, err = read(ctx, c, path)
			return err
		}
	}
	before, err := c.reads(ctx)
	if err != nil {
		return err
	}
	if err := c.opened(); err != nil {
		return err
	}
	if err := pair(i, measure(c.path, &ours), measure(c.own, &theirs)); err != nil {
		return err
	}
	after, err := c.reads(ctx)
	if err == nil && c.passthrough != (after == before) {
		err = fmt.Errorf("the daemon answered %d READs of %s; passthrough: %v", after-before, c.path, c.passthrough)
	}
	if err != nil {
		return err
	}
	b.add(row, ours, theirs, 0)
	return nil
}

// reads is how many READs the mount has answered.
func (c *complete) reads(ctx context.Context) (int64, error) {
	s, err := c.d.Status(ctx)
	return s.FuseReads, err
}

// opened opens the file and proves in which mode.
func (c *complete) opened() error {
	want := "cached"
	if c.passthrough {
		want = "passthrough"
	}
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := mode(c.path)
	if err == nil && got != want {
		err = fmt.Errorf("%s is open in mode %s, want %s", c.path, got, want)
	}
	return err
}

// check compares what the mount gives with what must stand there: the same
// pages that were read, as far as they are cached.
func (c *complete) check() error {
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.f.CheckReader(f, 0, c.f.Size)
}

// drop takes a file out of the page cache.
func drop(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil && !errors.Is(err, unix.EROFS) {
		return err
	}
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// scan looks at one word of every page of a mapping and returns MB/s. The words
// are what the check is made of.
func scan(_ context.Context, c *complete, path string) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	words := make([]byte, 0, c.f.Size/pageSize*8)
	began := time.Now()
	mem, err := unix.Mmap(int(f.Fd()), 0, int(c.f.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	for off := int64(0); off+8 <= c.f.Size; off += pageSize {
		words = append(words, mem[off:off+8]...)
	}
	err = unix.Munmap(mem)
	took := time.Since(began)
	return float64(c.f.Size) / 1e6 / took.Seconds(), errors.Join(err, checkWords(c.f, words))
}

const pageSize = 4096

// checkWords checks the first word of every page.
func checkWords(f content.File, words []byte) error {
	for i := 0; i < len(words); i += 8 {
		if err := f.Check(words[i:i+8], int64(i)/8*pageSize); err != nil {
			return err
		}
	}
	return nil
}
