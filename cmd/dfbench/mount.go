package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/bench/mount"
	"damselfly/cmd/internal/e2e/lab"
)

// newMountCommand measures the mount beside native reads, GETs, go-fuse and
// rclone.
func newMountCommand() *cobra.Command {
	o := mount.Defaults()
	o.Bin = ""
	rate := int64(o.Rate / lab.Mbit)
	var smoke bool
	names := make([]string, len(mount.Parts))
	var what strings.Builder
	for i, p := range mount.Parts {
		names[i] = p.Name
		fmt.Fprintf(&what, "  %-8s %s\n", p.Name, p.What)
	}
	cmd := &cobra.Command{
		Use:   "mount [PART…]",
		Short: "Measure the mount beside native reads, plain GETs, go-fuse's loopback and rclone (needs root)",
		Long: `Measure the mount beside native reads, plain GETs, go-fuse's loopback and rclone, in the same run.
All figures are ratios, with their goals; what is read is checked.

` + what.String(),
		Example: `  dfbench mount                    # everything: less than 20 minutes
  dfbench mount cold random --json
  dfbench mount --smoke            # the short form: it shows that the bench works`,
		ValidArgs: names,
		Args:      cobra.OnlyValidArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Rate = lab.Rate(rate) * lab.Mbit
			o.Out, o.Log = cmd.OutOrStdout(), cmd.ErrOrStderr()
			var err error
			if o.Bin, err = programs(o.Bin); err != nil {
				return err
			}
			if smoke {
				mount.Smoke(&o)
			}
			return mount.Run(cmd.Context(), o, args...)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bin, "bin", "", "folder of the programs (default: that of this one)")
	f.StringVar(&o.Dir, "dir", "", "where labs are made (default: the temporary folder)")
	f.Int64Var(&rate, "rate", rate, "Mbit/s of each shaped link, both ways")
	f.IntVar(&o.Runs, "runs", o.Runs, "pairs, of which the median counts")
	f.BoolVar(&o.Fill, "fill-memory", o.Fill, "on a virtual machine that returns free memory, fill it with cached files before each part")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "of contents and choices")
	f.BoolVar(&o.JSON, "json", false, "write rows as JSON")
	f.BoolVar(&smoke, "smoke", false, "the short form: small files, one pair")
	cmd.AddCommand(
		&cobra.Command{Use: mount.LoadCommand + " PATH SEED NAME SIZE RANK", Hidden: true, Args: cobra.ExactArgs(5),
			RunE: func(cmd *cobra.Command, args []string) error { return mount.Load(args, cmd.OutOrStdout()) }},
		&cobra.Command{Use: mount.LoopbackCommand + " DIR MOUNTPOINT", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error { return mount.Loopback(cmd.Context(), args) }},
	)
	return cmd
}
