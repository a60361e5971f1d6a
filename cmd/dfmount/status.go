package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/cmd/internal/boot/doctor"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// statusOptions are how a status is shown.
type statusOptions struct {
	once bool
	step time.Duration
}

func newStatusCommand(a *app) *cobra.Command {
	o := statusOptions{step: time.Second}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show this host at a glance, and on a terminal what it does now",
		Long: `Show this host at a glance. On a terminal the view is live until q or Ctrl-C:
bytes by source, where the bytes that programs read were (inline and disk: here;
peer, seed, origin: fetched for them), stalls, what is under way, and the files
read most, with the share of their content file in the kernel's page cache. Reads
that the kernel answers by itself are not seen. Elsewhere, and with --once or
--json, it is printed once.`,
		Args: want(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a, o) },
	}
	cmd.Flags().BoolVar(&o.once, "once", o.once, "print once, also on a terminal")
	cmd.Flags().DurationVar(&o.step, "every", o.step, "time between two views")
	return cmd
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	if o.step < 100*time.Millisecond {
		return pieces.Errorf(pieces.Invalid, "--every %v: want at least 100ms", o.step)
	}
	st, err := a.status(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(st)
	}
	out, ok := terminal(a.out)
	if o.once || !ok {
		return printStatus(a.out, st)
	}
	s, err := openScreen(os.Stdin, out)
	if err != nil {
		return err
	}
	defer s.close()
	return live(ctx, s, o.step, a.status)
}

// statusTimeout bounds one question to the daemon.
const statusTimeout = 10 * time.Second

// status asks the daemon that runs now.
func (a *app) status(ctx context.Context) (control.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	c, err := a.find(ctx)
	if err != nil {
		return control.Status{}, err
	}
	defer c.Close()
	return c.Status(ctx)
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
