package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/cmd/internal/boot/console"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// warmOptions are what the flags of warm say.
type warmOptions struct {
	fromFile, ranges   string
	order, check, wait bool
	options            pieces.Options
}

func newWarmCommand(a *app) *cobra.Command {
	var o warmOptions
	var flags client.TaskFlags
	cmd := &cobra.Command{
		Use:   "warm TASK...",
		Short: "Fetch tasks into this host's cache, or check what is there",
		Long: `Fetch tasks into this host's cache, or with --check say how much is there.

TASK is ` + refWords + `, or a pattern of names such as
'model-*' (quoted, so that the shell leaves it alone), here and at the manager.
For URLs, give the same options as to 'dfmount add'. --from-file reads one TASK
a line, also those of --range's form after a tab; '#' begins a comment line.

With --check nothing is fetched, and the exit code is 0 only if all is there.`,
		Example: `  dfmount warm model
  dfmount warm 'model-*' https://example.org/tokenizer.json
  dfmount warm https://example.org/model.bin --range 0-1048575
  dfmount warm model --order
  find /mnt/df/by-name -name '*.bin' | dfmount warm --from-file -
  dfmount warm --check model && echo all here`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) == 0 && o.fromFile == "" {
				return pieces.Errorf(pieces.Invalid, "want %s: dfmount warm TASK..., or --from-file (see '%s --help')", refWords, cmd.CommandPath())
			}
			if o.options, err = flags.Options(); err != nil {
				return err
			}
			return runWarm(cmd.Context(), a, args, o)
		},
		ValidArgsFunction: a.completeRefs,
	}
	flags.Bind(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.ranges, "range", "", "only these bytes, FIRST-LAST, both inclusive")
	f.StringVar(&o.fromFile, "from-file", "", "read tasks from FILE, or from standard input if it is -")
	f.BoolVar(&o.order, "order", false, "only what earlier readers read, in their order")
	f.BoolVar(&o.check, "check", false, "fetch nothing, say how much is there")
	f.BoolVar(&o.wait, "wait", true, "wait until all is there; --wait=false leaves it to the daemon")
	return cmd
}

// target is one thing to warm.
type target struct {
	ref     control.Ref
	portion control.Portion
	// from names the input for errors: what was typed, or the place in a list.
	from string
}

func runWarm(ctx context.Context, a *app, args []string, o warmOptions) error {
	wanted, err := readTargets(args, o)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ts, err := expand(ctx, c, wanted)
	if err != nil {
		return err
	}
	if o.check {
		return a.checkWarm(ctx, c, ts)
	}
	if len(ts) == 1 {
		return a.warmOne(ctx, c, ts[0])
	}
	return a.warmAll(ctx, c, ts)
}

func (a *app) warmOne(ctx context.Context, c *control.Client, t target) error {
	show := console.New(a.err, "dfmount", a.json)
	began := time.Now()
	last, err := c.WarmThe(ctx, t.ref, t.portion, show.Progress)
	show.Stop()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(last)
	}
	if t.portion.Background {
		a.note(fmt.Sprintf("%s: %s are fetched in the background; 'dfmount warm --check' says how far it is", t.from, boot.FormatBytes(last.Total)))
		return nil
	}
	show.Summary(t.from, last.Done, time.Since(began), last.Traffic)
	return nil
}

// warmAtOnce is how many tasks are warmed at the same time.
const warmAtOnce = 4

// warmed is what became of one target, as scripts read it.
type warmed struct {
	Task string `json:"task"`
	control.Progress
	Error string `json:"error,omitempty"`
}

// warmAll warms several targets. One that fails does not stop the others.
func (a *app) warmAll(ctx context.Context, c *control.Client, ts []target) error {
	show := console.New(a.err, "dfmount", a.json)
	began := time.Now()
	sum := tally{show: show, at: make([]control.Progress, len(ts))}
	errs := make([]error, len(ts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(warmAtOnce)
	for i, t := range ts {
		g.Go(func() error {
			last, err := c.WarmThe(ctx, t.ref, t.portion, func(p control.Progress) { sum.progress(i, p) })
			if errs[i] = err; err == nil {
				sum.progress(i, last)
			}
			return nil
		})
	}
	_ = g.Wait()
	show.Stop()
	var first error
	failed := 0
	for i, t := range ts {
		w := warmed{Task: t.from, Progress: sum.at[i]}
		if errs[i] != nil {
			failed++
			if first == nil {
				first = errs[i]
			}
			w.Error = errs[i].Error()
			a.note(t.from + ": " + w.Error)
		}
		if a.json {
			if err := a.printJSON(w); err != nil {
				return err
			}
		}
	}
	if first != nil {
		return pieces.Errorf(pieces.KindOf(first), "%d of %d were not warmed", failed, len(ts))
	}
	all := sum.all()
	show.Summary(fmt.Sprintf("%d files", len(ts)), all.Done, time.Since(began), all.Traffic)
	return nil
}

// tally adds up the progress of several transfers. Safe for concurrent use.
type tally struct {
	mu   sync.Mutex
	show console.Console    // guarded by mu
	at   []control.Progress // guarded by mu
}

func (t *tally) progress(i int, p control.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[i] = p
	t.show.Progress(t.all())
}

// all is the sum. The caller holds mu, or is the only one left.
func (t *tally) all() (sum control.Progress) {
	for _, p := range t.at {
		sum.Done, sum.Total = sum.Done+p.Done, sum.Total+p.Total
		sum.Traffic.Origin += p.Traffic.Origin
		sum.Traffic.Peers += p.Traffic.Peers
		sum.Traffic.Seeds += p.Traffic.Seeds
		sum.Traffic.Cache += p.Traffic.Cache
	}
	return sum
}

// checked is how much of one target is here, as scripts read it.
type checked struct {
	Task string `json:"task"`
	control.Cached
	Whole bool `json:"whole"`
}

// checkWarm says how much of each target is here; it fails unless that is all.
func (a *app) checkWarm(ctx context.Context, c *control.Client, ts []target) error {
	t := newTable(a.out)
	if !a.json {
		t.row("CACHED", "OF", "SHARE", "TASK")
	}
	missing := 0
	for _, target := range ts {
		got, err := c.Cached(ctx, target.ref, target.portion)
		if err != nil {
			return pieces.WithKind(pieces.KindOf(err), err, target.from)
		}
		if !got.Whole() {
			missing++
		}
		switch {
		case a.json:
			err = a.printJSON(checked{target.from, got, got.Whole()})
		case !got.Known:
			t.row("-", "-", "0%", target.from)
		default:
			t.row(boot.FormatBytes(got.Done), boot.FormatBytes(got.Total), percent(got.Done, got.Total), target.from)
		}
		if err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if missing > 0 {
		return pieces.Errorf(pieces.Unavailable, "%d of %d are not whole here; 'dfmount warm' fetches what is missing", missing, len(ts))
	}
	return nil
}

// percent is part of all, 100% only if nothing is missing.
func percent(part, all int64) string {
	if part == all {
		return "100%"
	}
	return fmt.Sprintf("%d%%", part*100/all)
}
