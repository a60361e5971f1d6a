// Package host is what makes a daemon a process: its mounts, remembered over
// unclean stops, and the adapter between the daemon and the file system.
package host

import (
	"context"

	"damselfly/daemon"
	"damselfly/daemon/readahead"
	"damselfly/fusefs"
	"damselfly/pieces"
)

// Backend shows a daemon's Tasks in a mount.
func Backend(d *daemon.Daemon) fusefs.Backend { return backend{d, readahead.FillAuto} }

// backend is that of one mount; fill says when its files are fetched whole, where
// that was not said as they were added.
type backend struct {
	d    *daemon.Daemon
	fill readahead.Fill
}

// filling returns the backend of a mount with option fill=VALUE.
func (b backend) filling(value string) (fusefs.Backend, error) {
	f, ok := readahead.ParseFill(value)
	if !ok {
		return nil, pieces.Errorf(pieces.Invalid, "mount option \"fill=%.40s\": want auto, always or never", value)
	}
	b.fill = f
	return b, nil
}

func (b backend) Lookup(ctx context.Context, id pieces.TaskID) (fusefs.Entry, error) {
	i, err := b.d.Lookup(ctx, id)
	return fusefs.Entry(i), err
}

func (b backend) Name(ctx context.Context, name string) (pieces.TaskID, error) {
	return b.d.LookupName(ctx, name)
}

func (b backend) Names(ctx context.Context) ([]string, error) { return b.d.Names(ctx) }

func (b backend) Here(_ context.Context, id pieces.TaskID) (fusefs.Entry, error) {
	i, err := b.d.Here(id)
	return fusefs.Entry(i), err
}

func (b backend) List(context.Context) ([]fusefs.Entry, error) {
	files, err := b.d.Files()
	if err != nil {
		return nil, err
	}
	entries := make([]fusefs.Entry, len(files))
	for i, f := range files {
		entries[i] = fusefs.Entry(f)
	}
	return entries, nil
}

// The deadline of a READ counts from the last verified byte.
var _ fusefs.Progresser = (*daemon.File)(nil)

func (b backend) Open(ctx context.Context, key pieces.Key) (fusefs.File, error) {
	f, err := b.d.OpenFilled(ctx, key, b.fill)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (b backend) Status() []byte { return b.d.StatusText() }

func (b backend) TaskJSON(id pieces.TaskID) ([]byte, error) { return b.d.TaskJSON(id) }
