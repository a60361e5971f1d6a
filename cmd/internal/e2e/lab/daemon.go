package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"damselfly/daemon/control"
)

// DaemonOptions say what a dfdaemon of the lab is to do.
type DaemonOptions struct {
	// Mount makes a FUSE mount on Daemon.Mount.
	Mount      bool
	Seed       bool
	Managers   []string
	Schedulers []string
	// Extra are further arguments.
	Extra []string
	// Wrap is a command that runs the daemon, given as its further arguments,
	// in its own place: env, nice, a shell that ends in exec "$@".
	Wrap []string
}

// Daemon is a dfdaemon with its directories. Its Proc changes with Start, so
// a Daemon is used by one goroutine at a time.
type Daemon struct {
	*Proc
	Host *Host
	// DataDir, Socket and Mount lie in the host's directory. Mount is a
	// directory even when nothing is mounted there.
	DataDir, Socket, Mount string

	opts DaemonOptions
}

// StartDaemon starts a dfdaemon on the host and waits until it answers and its
// mount is there.
func (h *Host) StartDaemon(ctx context.Context, o DaemonOptions) (*Daemon, error) {
	d := &Daemon{
		Host: h, opts: o,
		DataDir: filepath.Join(h.Dir, "data"),
		Socket:  filepath.Join(h.Dir, "df.sock"),
		Mount:   filepath.Join(h.Dir, "mnt"),
	}
	if err := os.MkdirAll(d.Mount, 0o755); err != nil {
		return nil, err
	}
	return d, d.Start(ctx)
}

// Args returns the arguments dfdaemon was started with.
func (d *Daemon) Args() []string {
	args := []string{
		"--data-dir", d.DataDir, "--socket", d.Socket,
		"--advertise-ip", d.Host.IP, "--metrics", metricsAddr,
	}
	if d.opts.Mount {
		args = append(args, "--mount", d.Mount)
	}
	if d.opts.Seed {
		args = append(args, "--seed-peer")
	}
	if len(d.opts.Managers) > 0 {
		args = append(args, "--manager", strings.Join(d.opts.Managers, ","))
	}
	if len(d.opts.Schedulers) > 0 {
		args = append(args, "--scheduler", strings.Join(d.opts.Schedulers, ","))
	}
	return append(args, d.opts.Extra...)
}

// Start starts the daemon again with the same arguments, after it ended.
func (d *Daemon) Start(ctx context.Context) error {
	argv := slices.Concat(d.opts.Wrap, []string{d.Host.lab.bin("dfdaemon")}, d.Args())
	p, err := d.Host.Start("dfdaemon", argv...)
	if err != nil {
		return err
	}
	d.Proc = p
	return Until(ctx, readyWait, p.Name+" to be ready", func() error {
		if err := p.Alive(); err != nil {
			return err
		}
		if err := dialUnix(ctx, d.Socket); err != nil {
			return err
		}
		s, err := d.Status(ctx)
		if err == nil && d.opts.Mount && (len(s.Mounts) == 0 || !Mounted(d.Mount)) {
			err = errors.New("not mounted yet")
		}
		return err
	})
}

// Dfmount runs dfmount against this daemon, with --socket set.
func (d *Daemon) Dfmount(ctx context.Context, args ...string) (Result, error) {
	return d.tool(ctx, "dfmount", args)
}

// Dfget runs dfget against this daemon.
func (d *Daemon) Dfget(ctx context.Context, args ...string) (Result, error) {
	return d.tool(ctx, "dfget", args)
}

func (d *Daemon) tool(ctx context.Context, program string, args []string) (Result, error) {
	return d.Host.RunEnv(ctx, []string{"DAMSELFLY_SOCKET=" + d.Socket},
		append([]string{d.Host.lab.bin(program)}, args...)...)
}

// dfmountJSON runs dfmount, wants exit code 0 and decodes what it printed.
func (d *Daemon) dfmountJSON(ctx context.Context, into any, args ...string) error {
	r, err := d.Dfmount(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("dfmount %s on %s: %w", strings.Join(args, " "), d.Host.Name, err)
	}
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		return fmt.Errorf("dfmount %s on %s: %w in %.400s", strings.Join(args, " "), d.Host.Name, err, r.Stdout)
	}
	return nil
}

// Status asks the daemon.
func (d *Daemon) Status(ctx context.Context) (control.Status, error) {
	var s control.Status
	return s, d.dfmountJSON(ctx, &s, "status")
}

// Stat returns what the daemon knows of a Task, by URL, id, name or path.
func (d *Daemon) Stat(ctx context.Context, ref string) (control.TaskInfo, error) {
	var info control.TaskInfo
	return info, d.dfmountJSON(ctx, &info, "stat", ref)
}

// Add puts a URL in the catalogue and returns its path in the mount.
func (d *Daemon) Add(ctx context.Context, url string, args ...string) (string, error) {
	r, err := d.Dfmount(ctx, append([]string{"add", url}, args...)...)
	if err != nil {
		return "", err
	}
	if err := r.Err(); err != nil {
		return "", fmt.Errorf("dfmount add %s on %s: %w", url, d.Host.Name, err)
	}
	path := strings.TrimSpace(r.Stdout)
	if strings.ContainsRune(path, '\n') || path == "" {
		return "", fmt.Errorf("dfmount add %s on %s: want one path, got %q", url, d.Host.Name, r.Stdout)
	}
	return path, nil
}

// Path returns where this daemon's mount shows what another's shows at path.
func (d *Daemon) Path(path string) string { return filepath.Join(d.Mount, filepath.Base(path)) }
