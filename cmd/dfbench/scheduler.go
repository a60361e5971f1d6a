package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/load"
	"damselfly/pieces"
)

// schedulerOptions are those of dfbench scheduler.
type schedulerOptions struct {
	load.Options
	json, check, verbose bool
}

// newSchedulerCommand loads one scheduler process.
func newSchedulerCommand() *cobra.Command {
	o := schedulerOptions{Options: load.DefaultOptions()}
	names := make([]string, len(load.Scenarios))
	var what strings.Builder
	for i, s := range load.Scenarios {
		names[i] = s.Name
		fmt.Fprintf(&what, "  %-8s %s\n", s.Name, s.What)
	}
	cmd := &cobra.Command{
		Use:   "scheduler [SCENARIO…]",
		Short: "Load one scheduler as thousands of hosts would, and measure rate, latency, cost and memory",
		Long: `Load one scheduler as thousands of hosts would, open-loop: calls begin at times drawn beforehand, and latency
counts from these. Each scenario starts its own dfscheduler with GOMAXPROCS=1, on a processor of its own if there are two.

` + what.String(),
		Example: `  dfbench scheduler                    # all scenarios, with the goals
  dfbench scheduler rate --rate 10000  # latency and cost at one rate
  dfbench scheduler memory --size 4GiB --json`,
		ValidArgs: names,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = names
			}
			if o.verbose {
				o.Progress = cmd.ErrOrStderr()
			}
			return o.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *schedulerOptions) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.Scheduler, "scheduler", "", "measure the scheduler at HOST:PORT instead of starting one")
	fs.StringVar(&o.Metrics, "scheduler-metrics", "", "its metrics port, HOST:PORT, for processor time and memory")
	fs.StringVar(&o.Path, "dfscheduler", "", "the program to start (default: beside this one)")
	fs.StringArrayVar(&o.Args, "scheduler-arg", nil, "one more argument for it, as --scheduler-arg=--policy=classic")
	fs.IntVar(&o.Hosts, "hosts", o.Hosts, "simulated hosts")
	fs.IntVar(&o.Conns, "conns", o.Conns, "connections that they share; 0 = one each, as in reality")
	fs.IntVar(&o.Tasks, "tasks", o.Tasks, "tasks with standing peers, in rate and memory")
	fs.IntVar(&o.Peers, "peers", o.Peers, "standing peers, over all tasks")
	fs.Var((*boot.Bytes)(&o.Size), "size", "size of a task's content")
	fs.IntVar(&o.HotPeers, "hot-peers", o.HotPeers, "peers of the hot task")
	fs.IntVar(&o.Few, "few", o.Few, "tasks, in the comparison of few")
	fs.IntVar(&o.Many, "many", o.Many, "… with many")
	fs.Float64Var(&o.Rate, "rate", o.Rate, "registrations per second; 0 = search for the highest")
	fs.Float64Var(&o.FixedRate, "compare-rate", o.FixedRate, "registrations per second of the comparisons")
	fs.DurationVar(&o.Duration, "duration", o.Duration, "of each measurement")
	fs.DurationVar(&o.P99, "p99", o.P99, "limit of the 99th percentile of latency")
	fs.IntVar(&o.Crowd, "crowd", o.Crowd, "hosts whose traffic is counted")
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "of all that is drawn")
	fs.StringVar(&o.Profiles, "profiles", "", "write profiles of the scheduler to this folder")
	fs.BoolVar(&o.json, "json", false, "print one JSON object per scenario")
	fs.BoolVar(&o.check, "check", false, "fail if a goal is missed")
	fs.BoolVarP(&o.verbose, "verbose", "v", false, "tell each step on stderr")
}

func (o *schedulerOptions) run(ctx context.Context, names []string, out io.Writer) error {
	if o.Path == "" {
		dir, err := programs("")
		if err != nil {
			return err
		}
		o.Path = filepath.Join(dir, "dfscheduler")
	}
	bench, err := load.New(o.Options)
	if err != nil {
		return err
	}
	// The generator's own collections would be counted as latency.
	debug.SetGCPercent(400)
	missed := 0
	for _, s := range load.Scenarios {
		for _, name := range names {
			if name != s.Name {
				continue
			}
			r, err := s.Run(bench, ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if o.json {
				err = json.NewEncoder(out).Encode(r)
			} else {
				err = r.Print(out)
			}
			if err != nil {
				return err
			}
			for _, g := range r.Goals {
				if !g.Met() {
					missed++
				}
			}
		}
	}
	if o.check && missed > 0 {
		return pieces.Errorf(pieces.Unavailable, "%d goals were missed", missed)
	}
	return nil
}
