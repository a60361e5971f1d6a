package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// app is what all sub-commands share.
type app struct {
	daemon client.Flags
	json   bool
	out    io.Writer
	err    io.Writer
}

func newCommand() *cobra.Command {
	a := &app{}
	root := newMountCommand(a)
	root.Use = "dfmount [SOURCE] MOUNTPOINT"
	root.Long = `Dfmount mounts Damselfly on a directory and looks after what is in it. Each URL
that was added is a file there, named by its task id, and by-name/NAME if it got
a name. Reading the file fetches what is touched, from this host's cache, from
other hosts, or from the origin.

If no daemon runs, one is started with --config and -o; it leaves after its last
umount. SOURCE is only a label, so that this works from fstab as type
fuse.dfmount. Of the options, allow_other, private, uid=N, gid=N and umask=OCTAL
say who may read, fill=auto, always or never when a file that is read is fetched
whole behind its readers; those of mount(8) and systemd mean nothing here.

Exit codes: 1 other failures, 2 usage, 3 access denied, 4 origin, 5 integrity,
6 timeout.`
	root.Example = `  dfmount /mnt/df
  dfmount /mnt/df -o manager=10.0.0.1:65003
  dfmount add https://example.org/model.bin --name model
  sha256sum /mnt/df/by-name/model
  dfmount status
  dfmount umount /mnt/df

  # in /etc/fstab
  damselfly /mnt/df fuse.dfmount manager=10.0.0.1:65003,_netdev 0 0`
	root.SuggestionsMinimumDistance = 2
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		a.out, a.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
		return nil
	}
	fs := root.PersistentFlags()
	a.daemon.Bind(fs)
	fs.BoolVar(&a.json, "json", false, "print JSON for scripts")

	mount := newMountCommand(a)
	mount.Use = "mount [SOURCE] MOUNTPOINT"
	root.AddCommand(mount, newUmountCommand(a), newAddCommand(a), newLsCommand(a), newStatCommand(a),
		newWarmCommand(a), newOrderCommand(a), newRenameCommand(a), newEvictCommand(a), newRmCommand(a), newStatusCommand(a), newProfileCommand(a), newDoctorCommand(a))
	return root
}

// startedArgs are for a daemon that dfmount starts: it leaves after its last
// umount, or when it never got a mount and has nothing to do.
var startedArgs = []string{"--until-unmount", "--idle-timeout", "5m"}

// connect returns a client of the daemon, which is started if none runs.
func (a *app) connect(ctx context.Context) (*control.Client, error) {
	target, err := a.daemon.Target(boot.ProcessEnv())
	if err != nil {
		return nil, err
	}
	c, started, err := target.Connect(ctx, startedArgs...)
	if err == nil && target.Chosen && !started {
		a.note("a daemon runs already, so what -o says of it has no effect")
	}
	return c, err
}

// find returns a client of the daemon that runs.
func (a *app) find(ctx context.Context) (*control.Client, error) {
	target, err := a.daemon.Target(boot.ProcessEnv())
	if err != nil {
		return nil, err
	}
	return target.Find(ctx)
}

func (a *app) note(text string) { io.WriteString(a.err, "dfmount: "+text+"\n") }

// printJSON writes v as one line.
func (a *app) printJSON(v any) error {
	return pieces.WithKind(pieces.Internal, json.NewEncoder(a.out).Encode(v), "printing JSON")
}

// want is cobra.ExactArgs or so with a message that says what is missing.
func want(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return pieces.Errorf(pieces.Invalid, "want %s (see '%s --help')", what, cmd.CommandPath())
		}
		return nil
	}
}
