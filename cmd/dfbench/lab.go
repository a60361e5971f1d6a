package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/bench"
	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/sim"
)

// newLabCommand measures real programs on shaped links.
func newLabCommand() *cobra.Command {
	o := bench.Defaults()
	size, rate := boot.Bytes(o.Size), int64(o.Rate/lab.Mbit)
	var smoke bool
	names := make([]string, len(bench.Scenarios))
	var what strings.Builder
	for i, s := range bench.Scenarios {
		names[i] = s.Name
		fmt.Fprintf(&what, "  %-10s %s\n", s.Name, s.What)
	}
	cmd := &cobra.Command{
		Use:   "lab [SCENARIO…]",
		Short: "Measure real programs on the shaped links of a lab, beside BitTorrent and direct download (needs root)",
		Long: `Measure real programs on the shaped links of a lab, beside BitTorrent (aria2), direct download and the
published Dragonfly rules, in the same run. All figures are ratios; T is one plain transfer over the same link.

` + what.String(),
		Example: `  dfbench lab                      # everything: most of an hour
  dfbench lab flash aria2 --hosts 8 --runs 1
  dfbench lab --smoke              # the short form`,
		ValidArgs: names,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Size, o.Rate = int64(size), lab.Rate(rate)*lab.Mbit
			o.Out, o.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
			var err error
			if o.Bin, err = programs(o.Bin); err != nil {
				return err
			}
			o.Predict = predict
			if smoke {
				args = bench.Smoke(&o, args)
			}
			return bench.Run(cmd.Context(), o, args...)
		},
	}
	o.Bin = ""
	f := cmd.Flags()
	f.StringVar(&o.Bin, "bin", "", "folder of the programs (default: that of this one)")
	f.StringVar(&o.Dir, "dir", "", "where labs are made (default: the temporary folder)")
	f.BoolVar(&o.Keep, "keep", false, "leave the labs' directories, with all logs")
	f.IntVar(&o.Hosts, "hosts", o.Hosts, "hosts beside the seed")
	f.Var(&size, "size", "size of the file")
	f.Int64Var(&rate, "rate", rate, "Mbit/s of each link, both ways")
	f.IntVar(&o.Runs, "runs", o.Runs, "runs, of which the median counts")
	f.BoolVar(&o.Fill, "fill-memory", o.Fill, "on a virtual machine that returns free memory, fill it with cached files before each run")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of the contents")
	f.StringVar(&o.Results, "results", "", "write a table (Markdown), JSON and plots of progress (SVG) of each scenario to this folder")
	f.BoolVar(&o.JSON, "json", false, "print one JSON object per scenario")
	f.BoolVar(&smoke, "smoke", false, "the short form: few hosts, a small file, one run; it shows that the bench works")
	return cmd
}

// predict is a flash crowd as dfbench swarm simulates it.
func predict(ctx context.Context, hosts int, size int64, rate float64) (float64, error) {
	s := sim.Defaults()
	s.Hosts, s.Size = hosts, size
	s.Up, s.Down, s.SeedRate, s.OriginRate = rate, rate, rate, rate
	r, err := sim.Run(ctx, s)
	if err != nil {
		return 0, err
	}
	return r.Ratio(), nil
}
