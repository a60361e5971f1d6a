package main

import (
	"context"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/cmd/internal/boot/doctor"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show this host at a glance",
		Args:  want(0, 0, "no arguments"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a) },
	}
}

func runStatus(ctx context.Context, a *app) error {
	c, err := a.find(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	st, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(st)
	}
	return printStatus(a.out, st)
}

func newDoctorCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this host and say how to fix what is wrong",
		Long: `Check the FUSE device, mount helper, passthrough, kernel readahead, cache file
system, free space, daemon, manager and schedulers, each with the fix. The exit
code is 1 if something is wrong.`,
		Args: want(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), a, doctor.Machine()) },
	}
}

// runDoctor asks the daemon, or looks itself if there is none.
func runDoctor(ctx context.Context, a *app, machine doctor.System) error {
	target, err := a.daemon.Target(boot.ProcessEnv())
	if err != nil {
		return err
	}
	checks := examine(ctx, target, machine)
	wrong := 0
	for _, c := range checks {
		if !c.OK {
			wrong++
		}
	}
	if a.json {
		err = a.printJSON(checks)
	} else {
		err = printChecks(a.out, checks)
	}
	if err == nil && wrong > 0 {
		err = pieces.Errorf(pieces.Unavailable, "%d of %d checks failed", wrong, len(checks))
	}
	return err
}

func examine(ctx context.Context, target client.Target, machine doctor.System) []control.Check {
	c, err := target.Find(ctx)
	var checks []control.Check
	if err == nil {
		defer c.Close()
		checks, err = c.Doctor(ctx)
	}
	if err != nil {
		return append(machine.Host(target.DataDir, nil), control.Check{
			Name: "daemon", Detail: err.Error(), Fix: "start it with 'dfmount MOUNTPOINT' or 'dfdaemon'; its log is " + target.LogFile,
		})
	}
	return append(checks, control.Check{Name: "daemon", OK: true, Detail: "answers at " + target.Socket})
}
