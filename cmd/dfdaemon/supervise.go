package main

import (
	"os"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/hostcfg"
	"damselfly/cmd/internal/supervisor"
)

// superviseCommand is the command by which a daemon starts its supervisor.
const superviseCommand = "supervise"

// newGuard has the daemon's mounts looked after by a child that is this binary
// again.
func newGuard(o hostcfg.Options, log *logrus.Entry) *supervisor.Guard {
	s := o.Supervisor
	command := []string{os.Args[0], superviseCommand, "--beat", s.Beat.String(), "--mute", s.Mute.String()}
	if o.Log.Level != "" {
		command = append(command, "--log-level", o.Log.Level)
	}
	if o.Log.Format != "" {
		command = append(command, "--log-format", o.Log.Format)
	}
	if o.Restart {
		dir, err := os.Getwd()
		if err != nil {
			dir = "/"
		}
		command = append(command, "--restart-in", dir, "--restart-every", s.RestartEvery.String(), "--")
		command = append(command, os.Args...)
	}
	return supervisor.New(supervisor.Options{Beat: s.Beat, Command: command, Log: log.WithField("part", "supervisor")})
}

// newSuperviseCommand is the child of newGuard.
func newSuperviseCommand() *cobra.Command {
	var o supervisor.RunOptions
	var lo boot.LogOptions
	cmd := &cobra.Command{
		Use:    superviseCommand + " [-- COMMAND LINE]",
		Short:  "Look after the mounts of the daemon that starts this",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			log, err := lo.Logger(cmd.ErrOrStderr(), "dfdaemon")
			if err != nil {
				return err
			}
			o.Restart, o.Log = args, log.WithField("part", "supervisor")
			return supervisor.Run(o)
		},
	}
	cmd.Flags().DurationVar(&o.Beat, "beat", 0, "how often the daemon beats (0 = default)")
	cmd.Flags().DurationVar(&o.Mute, "mute", 0, "after how long without a beat its mounts are ended (0 = default)")
	cmd.Flags().StringVar(&o.Dir, "restart-in", "/", "directory in which COMMAND LINE is run")
	cmd.Flags().DurationVar(&o.RestartEvery, "restart-every", 0, "how much time lies between two starts, at least (0 = default)")
	lo.Flags(cmd.Flags())
	return cmd
}
