package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/boot/client"
	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
)

func newMountCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "mount [SOURCE] MOUNTPOINT",
		Short:   "Mount on a directory, starting a daemon if none runs",
		Example: "  dfmount mount /mnt/df\n  dfmount mount /mnt/df -o manager=10.0.0.1:65003,cache-size=100GiB",
		Args:    want(1, 2, "a directory to mount on: dfmount [SOURCE] MOUNTPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := ""
			if len(args) == 2 {
				source = args[0]
			}
			dir := args[len(args)-1]
			if err := notACommand(cmd.Root(), dir); err != nil {
				return err
			}
			return runMount(cmd.Context(), a, source, dir)
		},
	}
}

// notACommand returns an Invalid error for a word that is rather a mistyped
// command than a directory.
func notACommand(root *cobra.Command, word string) error {
	if strings.Contains(word, "/") {
		return nil
	}
	if _, err := os.Stat(word); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	hint := "see 'dfmount --help'"
	if near := root.SuggestionsFor(word); len(near) > 0 {
		hint = "did you mean 'dfmount " + near[0] + "'?"
	}
	return pieces.Errorf(pieces.Invalid, "%q is neither a command nor a directory; %s", word, hint)
}

// runMount has the daemon mount on dir.
func runMount(ctx context.Context, a *app, source, dir string) error {
	path, err := mountPoint(dir)
	if err != nil {
		return err
	}
	options, err := a.mountOptions(source)
	if err != nil {
		return err
	}
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mount(ctx, path, options); err != nil {
		return withDoctor(err)
	}
	if a.json {
		return a.printJSON(map[string]any{"path": path, "mounted": true})
	}
	return nil
}

// mountOptions are what the daemon is told of a mount: source, unless it is
// empty, and those of -o. They are tried here, before a daemon is started.
func (a *app) mountOptions(source string) ([]string, error) {
	m, err := client.ParseMountOptions(a.daemon.Mount)
	if err != nil {
		return nil, err
	}
	options := m.Mount
	if source != "" {
		options = append([]string{"source=" + source}, options...)
	}
	for _, option := range options {
		if err := new(fusefs.Options).Set(option); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// withDoctor says who knows more about a mount that failed, unless the request
// itself was wrong.
func withDoctor(err error) error {
	switch kind := pieces.KindOf(err); kind {
	case pieces.Invalid, pieces.Exists, pieces.Canceled:
		return err
	default:
		return pieces.Errorf(kind, "%w; 'dfmount doctor' says what is missing", err)
	}
}

// mountPoint returns dir as an absolute path and checks that one can mount
// there. A dead mount is fine: the daemon replaces it.
func mountPoint(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", pieces.WithKind(pieces.Invalid, err, "mount point "+dir)
	}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, unix.ENOTCONN):
		return path, nil
	case errors.Is(err, fs.ErrNotExist):
		return "", pieces.Errorf(pieces.Invalid, "mount point %s does not exist; make it with 'mkdir -p %s'", path, path)
	case err != nil:
		return "", pieces.WithKind(pieces.KindOf(err), err, "mount point")
	case !st.IsDir():
		return "", pieces.Errorf(pieces.Invalid, "mount point %s is not a directory", path)
	}
	return path, nil
}

// leaveTimeout is how long umount waits for a daemon that leaves.
const leaveTimeout = 10 * time.Second

func newUmountCommand(a *app) *cobra.Command {
	lazy := false
	cmd := &cobra.Command{
		Use:     "umount MOUNTPOINT",
		Aliases: []string{"unmount"},
		Short:   "Undo a mount; a daemon started by dfmount leaves after its last one",
		Example: "  dfmount umount /mnt/df\n  dfmount umount --lazy /mnt/df   # while files are still open",
		Args:    want(1, 1, "the directory to unmount: dfmount umount MOUNTPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUmount(cmd.Context(), a, args[0], lazy)
		},
	}
	cmd.Flags().BoolVarP(&lazy, "lazy", "l", false, "detach now, even if files are open")
	return cmd
}

// runUmount has the daemon unmount dir. A mount whose daemon is dead is taken
// off without one.
func runUmount(ctx context.Context, a *app, dir string, lazy bool) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return pieces.WithKind(pieces.Invalid, err, "mount point "+dir)
	}
	c, err := a.find(ctx)
	if pieces.KindOf(err) == pieces.Unavailable {
		if _, serr := os.Stat(path); errors.Is(serr, unix.ENOTCONN) {
			return a.umounted(path, fusefs.CleanStale(path))
		}
	}
	if err != nil {
		return err
	}
	defer c.Close()
	stopping, err := c.Unmount(ctx, path, lazy)
	if err == nil && stopping && !lazy {
		target, terr := a.daemon.Target(boot.ProcessEnv())
		if terr == nil {
			awaitLeave(ctx, target.Socket)
		}
	}
	return a.umounted(path, err)
}

func (a *app) umounted(path string, err error) error {
	if err != nil || !a.json {
		return err
	}
	return a.printJSON(map[string]any{"path": path, "mounted": false})
}

// awaitLeave waits until no daemon has the socket, so that the next command
// does not meet one that is leaving.
func awaitLeave(ctx context.Context, socket string) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for control.Served(socket) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
