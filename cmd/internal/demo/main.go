// Demo shows Damselfly at work on one machine (make demo): an origin, a daemon
// with everything in one process, two more daemons, and one file read on all
// of them. It needs no root: an ordinary user's mounts go through fusermount3,
// and where there is no FUSE at all the same is shown with dfget.
//
//	go run ./cmd/internal/demo -bin bin [-url URL] [-size MiB] [-keep]
//	go run ./cmd/internal/demo -stop
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	bin  string
	url  string
	mib  int64
	keep bool
	stop bool
	// serve makes this process the demo's origin.
	serve string
}

func main() {
	o := options{}
	flag.StringVar(&o.bin, "bin", "bin", "directory of the programs")
	flag.StringVar(&o.url, "url", os.Getenv("URL"), "read this URL instead of a generated file")
	flag.Int64Var(&o.mib, "size", 256, "MiB of the generated file")
	flag.BoolVar(&o.keep, "keep", os.Getenv("KEEP") != "", "leave everything running")
	flag.BoolVar(&o.stop, "stop", os.Getenv("STOP") != "", "end what -keep left running")
	flag.StringVar(&o.serve, "serve", "", "internal: be the origin and write its URL to this file")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		cancel()
		os.Exit(1)
	}
}

// limit is the longest a demo may take; a slow URL of one's own included.
const limit = 15 * time.Minute

func run(ctx context.Context, o options, out io.Writer) (err error) {
	switch {
	case o.serve != "":
		return serveOrigin(ctx, o.serve, o.mib<<20)
	case o.stop:
		return stopKept(out)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := newStage(o)
	if err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			s.tearDown()
		}
	}()
	if err := play(ctx, s, o, out); err != nil {
		return s.explain(err)
	}
	if o.keep {
		kept = true
		return s.leave(out)
	}
	fmt.Fprintln(out, "\nAll ended and cleaned up. KEEP=1 make demo leaves it running.")
	return nil
}

// play is the demo itself.
func play(ctx context.Context, s *stage, o options, out io.Writer) error {
	what, err := s.startOrigin(ctx, o)
	if err != nil {
		return err
	}
	why := noFUSE()
	if why != "" {
		fmt.Fprintf(out, "No mounts here: %s. The same with dfget instead.\n\n", why)
	}
	if err := s.startHosts(ctx, why == ""); err != nil {
		return err
	}
	fmt.Fprintf(out, "Origin       %s, %s\n", what.url, mib(what.size))
	for _, h := range s.hosts {
		fmt.Fprintf(out, "%-12s %s\n", h.name, h.describe())
	}
	if err := s.add(ctx, what.url, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAll read the file at once, then the first host again:\n\n")
	rows, err := s.readAll(ctx, what)
	if err != nil {
		return err
	}
	printTable(out, rows)
	return s.reportOrigin(ctx, what, rows, out)
}

// parent is where the demos of this user have their directories.
func parent() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("damselfly-demo-%d", os.Getuid()))
}
