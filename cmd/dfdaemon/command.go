package main

import (
	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/hostcfg"
)

func newCommand() *cobra.Command {
	o := hostcfg.Defaults(boot.ProcessEnv())
	cmd := &cobra.Command{
		Use:   "dfdaemon",
		Short: "Daemon of a Damselfly host: cache, mounts, uploads",
		Long: `Dfdaemon runs on every host: it keeps the piece cache, serves the mounts, and
sends what it has to other hosts. dfmount and dfget start it when they need it,
so it is started by hand or by an init system only where it is to stay.

With --manager (or --scheduler) it takes part in a cluster; with neither it
reads origins alone. SIGTERM leaves the cluster, unmounts and exits 0; after an
unclean stop the next start makes the mounts again.`,
		Example: `  # a host of a cluster, with a mount
  dfdaemon --manager 10.0.0.1:65003 --mount /mnt/df

  # a seed, which reads from origins for the others
  dfdaemon --manager 10.0.0.1:65003 --seed-peer --cache-size 500GiB

  # everything in one process; other hosts join with --manager THIS-HOST:65003
  dfdaemon --all-in-one --mount /mnt/df`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := boot.LoadConfig(cmd, &o); err != nil {
				return err
			}
			return run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	boot.ConfigFlag(cmd.Flags(), "dfdaemon")
	o.Flags(cmd.Flags())
	cmd.CompletionOptions.DisableDefaultCmd = true // for the one, hidden, command
	cmd.AddCommand(newSuperviseCommand())
	return cmd
}
