package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
)

// profileOptions say how long to listen, and how many files to show.
type profileOptions struct {
	time time.Duration
	top  int
}

func newProfileCommand(a *app) *cobra.Command {
	o := profileOptions{time: 10 * time.Second, top: 10}
	cmd := &cobra.Command{
		Use:   "profile [MOUNTPOINT]",
		Short: "Listen to the requests of a mount and say what they cost",
		Long: `Listen to the requests of a mount for a while, or until Ctrl-C, and print them by
operation, by where the bytes of reads were, and by file, with their latencies.
What the kernel answers by itself, from its page cache or in passthrough, is not
seen. The mount point can be left out if there is only one. It needs the rights
of who mounted, since it tells of private files too.`,
		Args: want(0, 1, "at most a mount point"),
		RunE: func(cmd *cobra.Command, args []string) error { return runProfile(cmd.Context(), a, o, args) },
	}
	cmd.Flags().DurationVarP(&o.time, "time", "t", o.time, "how long to listen")
	cmd.Flags().IntVar(&o.top, "top", o.top, "how many files to show")
	return cmd
}

func runProfile(ctx context.Context, a *app, o profileOptions, args []string) error {
	if o.time <= 0 || o.top < 0 {
		return pieces.Errorf(pieces.Invalid, "want --time over 0 and --top 0 or more")
	}
	st, err := a.status(ctx)
	if err != nil {
		return err
	}
	dir, err := mountOf(st, args)
	if err != nil {
		return err
	}
	p := newProfile()
	if err := listen(ctx, filepath.Join(dir, ".df", "accesslog"), o.time, p); err != nil {
		return err
	}
	r := p.report(o.top, namesOf(st))
	if a.json {
		return a.printJSON(r)
	}
	return printProfile(a.out, r)
}

// mountOf returns the mount that args name, or the only one.
func mountOf(st control.Status, args []string) (string, error) {
	if len(args) == 1 {
		dir, err := filepath.Abs(args[0])
		return dir, pieces.WithKind(pieces.Invalid, err, "mount point")
	}
	if len(st.Mounts) != 1 {
		return "", pieces.Errorf(pieces.Invalid, "the daemon has %d mounts: say which one", len(st.Mounts))
	}
	return st.Mounts[0].Path, nil
}

// namesOf is what people call the files read last.
func namesOf(st control.Status) map[pieces.TaskID]string {
	names := map[pieces.TaskID]string{}
	for _, f := range st.Files {
		names[f.ID] = called(f, 60)
	}
	return names
}

// listenPoll is the pause between two looks at a log that had nothing to say.
const listenPoll = 20 * time.Millisecond

// listen adds to p what the access log at path says, for d or until ctx ends.
func listen(ctx context.Context, path string, d time.Duration, p *profile) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		kind := pieces.Invalid
		if err == unix.EACCES {
			kind = pieces.Denied
		}
		return pieces.WithKind(kind, &os.PathError{Op: "open", Path: path, Err: err}, "access log")
	}
	defer unix.Close(fd)
	began := time.Now()
	defer func() { p.took = time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	buf, rest := make([]byte, 256<<10), []byte(nil)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case n > 0:
			if rest, err = p.lines(append(rest, buf[:n]...)); err != nil {
				return err
			}
		case err == unix.EAGAIN || err == unix.EINTR:
			if sleep(ctx, listenPoll); ctx.Err() != nil {
				return nil
			}
		case err != nil:
			return pieces.WithKind(pieces.Unavailable, err, "reading the access log")
		default:
			return nil // the mount is gone
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil
		}
	}
}

// lines adds whole lines and returns what is left of the last one.
func (p *profile) lines(text []byte) (rest []byte, err error) {
	end := bytes.LastIndexByte(text, '\n') + 1
	for in := bufio.NewScanner(bytes.NewReader(text[:end])); in.Scan(); {
		a, dropped, err := fusefs.ParseAccess(in.Text())
		if err != nil {
			return nil, err
		}
		if dropped > 0 {
			p.dropped += dropped
			continue
		}
		p.add(a)
	}
	return append([]byte(nil), text[end:]...), nil
}
