package mount

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// LoopbackCommand is what dfbench calls the process that mounts a directory
// again.
const LoopbackCommand = "loopback"

// nameTimeout is how long the kernel trusts names and attributes of both.
const nameTimeout = 10 * time.Second

// small opens, reads and closes many small files that are here.
func small(ctx context.Context, b *bench) error {
	n := b.o.Sizes.Small
	r, err := newRig(ctx, b.o, 0, int64(n)*smallMost)
	if err != nil {
		return err
	}
	defer r.close()
	d, err := r.daemon(ctx, "h1", "", lab.DaemonOptions{})
	if err != nil {
		return err
	}
	files := make([]content.File, n)
	for i := range files {
		if files[i], err = r.file(smallMost / 4 * int64(1+i%4)); err != nil {
			return err
		}
	}
	paths, err := r.bring(ctx, d, files)
	if err != nil {
		return err
	}
	plain, stop, err := r.loopback(ctx, filepath.Join(r.origin.Host.Dir, "files"))
	if err != nil {
		return err
	}
	defer stop()
	same := make([]string, n)
	for i, f := range files {
		same[i] = filepath.Join(plain, f.Name)
	}
	for i := range b.o.Runs + 1 {
		var ours, theirs time.Duration
		if err := pair(i, func() (err error) {
			ours, err = r.each(files, paths)
			return err
		}, func() (err error) {
			theirs, err = r.each(files, same)
			return err
		}); err != nil {
			return err
		}
		if i == 0 && b.o.Runs > 1 {
			continue // the first has to look everything up
		}
		us := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
		b.add(Row{What: fmt.Sprintf("%d opens, reads and closes of small files", n), Theirs: "go-fuse's loopback", Unit: " µs", Goal: 1.5}, us(ours), us(theirs), 0)
	}
	b.note("files of %d-%d KiB, all here, one after the other; both sides trust names for %v.", smallMost>>12, smallMost>>10, nameTimeout)
	return nil
}

// smallMost is the largest small file.
const smallMost = 16 << 10

// bring makes files known to d and reads them once.
func (r *rig) bring(ctx context.Context, d *lab.Daemon, files []content.File) ([]string, error) {
	client, err := control.Dial(d.Socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	paths := make([]string, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, f := range files {
		g.Go(func() error {
			_, at, err := client.Add(ctx, r.url(f, false), pieces.Options{}, "")
			if err == nil && len(at) != 1 {
				err = fmt.Errorf("%s has %d paths", f.Name, len(at))
			}
			if err != nil {
				return err
			}
			paths[i] = at[0]
			file, err := os.Open(at[0])
			if err != nil {
				return err
			}
			defer file.Close()
			return f.CheckReader(file, 0, f.Size)
		})
	}
	return paths, g.Wait()
}

// each opens, reads and closes every file, and checks afterwards.
func (r *rig) each(files []content.File, paths []string) (time.Duration, error) {
	part := func(i int) []byte { return r.buf[i*smallMost:][:files[i].Size] }
	began := time.Now()
	for i, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		_, err = file.ReadAt(part(i), 0)
		if err = errors.Join(err, file.Close()); err != nil {
			return 0, err
		}
	}
	took := time.Since(began)
	for i, f := range files {
		if err := f.Check(part(i), 0); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// loopback mounts dir again by a process of its own.
func (r *rig) loopback(ctx context.Context, dir string) (mnt string, stop func(), err error) {
	h := r.origin.Host
	mnt = filepath.Join(h.Dir, "loopback")
	stop, err = mountBy(ctx, h, mnt, filepath.Join(r.bin(), "dfbench"), "mount", LoopbackCommand, dir, mnt)
	return mnt, stop, err
}

// Loopback mounts DIR at MOUNTPOINT with go-fuse's own loopback until ctx ends.
func Loopback(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return pieces.Errorf(pieces.Invalid, "want DIR MOUNTPOINT")
	}
	root, err := fs.NewLoopbackRoot(args[0])
	if err != nil {
		return err
	}
	timeout := nameTimeout
	server, err := fs.Mount(args[1], root, &fs.Options{
		EntryTimeout: &timeout, AttrTimeout: &timeout, NullPermissions: true,
		MountOptions: fuse.MountOptions{AllowOther: true, DirectMount: true, FsName: "loopback", Name: "loopback"},
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return server.Unmount()
}
