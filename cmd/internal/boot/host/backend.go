// Package host is what makes a daemon a process: its mounts, remembered over
// unclean stops, and the adapter between the daemon and the file system.
package host

import (
	"context"

	"damselfly/daemon"
	"damselfly/fusefs"
	"damselfly/pieces"
)

// Backend shows a daemon's Tasks in a mount.
func Backend(d *daemon.Daemon) fusefs.Backend { return backend{d} }

type backend struct{ d *daemon.Daemon }

func (b backend) Lookup(ctx context.Context, id pieces.TaskID) (fusefs.Entry, error) {
	i, err := b.d.Lookup(ctx, id)
	return fusefs.Entry(i), err
}

func (b backend) Name(ctx context.Context, name string) (pieces.TaskID, error) {
	return b.d.LookupName(ctx, name)
}

func (b backend) Names(ctx context.Context) ([]string, error) { return b.d.Names(ctx) }

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
	f, err := b.d.OpenFile(ctx, key)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (b backend) Status() []byte { return b.d.StatusText() }

func (b backend) TaskJSON(id pieces.TaskID) ([]byte, error) { return b.d.TaskJSON(id) }
