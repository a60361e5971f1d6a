package main

import (
	"net/url"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/cmd/internal/boot/console"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// options of one download.
type options struct {
	url    string
	task   client.TaskFlags
	daemon client.Flags
	output string
	ranges string
	direct bool
	quiet  bool
	trace  tracing.Options
}

func newCommand() *cobra.Command {
	// Who asks for a trace of one download wants it.
	o := options{trace: tracing.Options{Sample: 1}}
	cmd := &cobra.Command{
		Use:   "dfget URL -O FILE",
		Short: "Download a URL through this host's Damselfly daemon",
		Long: `Dfget downloads one URL to a file. The bytes come from this host's cache, from
other hosts, or from the origin, whichever has them. If no daemon runs, one is
started; it leaves again after five idle minutes. If none can be started, dfget
reads the origin itself.

The file appears under its name only when it is complete and, with --digest,
verified.

Exit codes: 1 other failures, 2 usage, 3 access denied, 4 origin, 5 integrity,
6 timeout, 130 interrupted.`,
		Example: `  dfget https://example.org/model.bin -O model.bin
  dfget https://example.org/model.bin -O model.bin --digest sha256:9f86d081884c7d65…
  dfget https://example.org/model.bin -O head --range 0-1023
  dfget https://example.org/private -O f -H 'Authorization: Bearer …'
  dfget https://bucket.example.org/x?sig=abc -O x --filter-query sig`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return pieces.Errorf(pieces.Invalid, "want one URL: dfget URL -O FILE (see 'dfget --help')")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.url = args[0]
			return runGet(cmd.Context(), o, console.New(cmd.ErrOrStderr(), "dfget", o.quiet))
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&o.output, "output", "O", "", "file to write (default: the last part of the URL's path); - is standard output")
	fs.StringVar(&o.ranges, "range", "", "only these bytes, FIRST-LAST, both inclusive, from 0; LAST may be left out")
	fs.BoolVar(&o.direct, "direct", false, "read from the origin, without a daemon")
	fs.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	o.trace.Flags(fs)
	o.task.Bind(fs)
	o.daemon.Bind(fs)
	return cmd
}

// request is what options mean, once checked.
type request struct {
	url    string
	task   pieces.Options
	rng    control.Range
	output string
	target client.Target
	// trace is that of the flags, else that of the daemon's config file.
	trace tracing.Options
}

// check returns an Invalid error naming what can't be.
func (o options) check() (request, error) {
	r := request{url: o.url, rng: control.Whole, output: o.output}
	var err error
	if r.task, err = o.task.Options(); err != nil {
		return r, err
	}
	if err := client.CheckURL(o.url, r.task); err != nil {
		return r, err
	}
	if o.ranges != "" {
		if o.task.Digest != "" {
			return r, pieces.Errorf(pieces.Invalid, "--digest pins the whole content and can't be checked with --range; leave one of them out")
		}
		if r.rng, err = client.ParseRange(o.ranges); err != nil {
			return r, err
		}
	}
	if r.output == "" {
		if r.output = nameFromURL(o.url); r.output == "" {
			return r, pieces.Errorf(pieces.Invalid, "the URL names no file; give one with -O FILE")
		}
	}
	if r.target, err = o.daemon.Target(boot.ProcessEnv()); err != nil {
		return r, err
	}
	if r.trace = o.trace; r.trace.Endpoint == "" {
		r.trace = r.target.Trace
	}
	return r, r.trace.Check()
}

// nameFromURL is the last element of the URL's path, "" if that names no file.
func nameFromURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || strings.HasSuffix(u.Path, "/") || u.Path == "" {
		return ""
	}
	name := path.Base(u.Path)
	if name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return ""
	}
	return name
}
