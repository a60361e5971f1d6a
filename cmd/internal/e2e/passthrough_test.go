package e2e

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A complete file is read by the kernel from the content file: the daemon sees
// no READ. While a handle of the other kind is open, an open still works.
func TestCompleteFileIsReadByPassthrough(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	s, err := d.Status(w.ctx)
	w.ok(err)
	require.Len(t, s.Mounts, 1)
	require.True(t, s.Mounts[0].Passthrough, "passthrough is off: %s", s.Mounts[0].PassthroughReason)

	f, url := w.serve("p.bin", 20*miB+3)
	path := w.add(d, url)
	held, err := os.Open(path)
	w.ok(err)
	defer held.Close()
	require.Equal(t, "cached", xattr(t, path, "mode"), "an incomplete file is opened in cached mode")
	w.ok(f.CheckReader(held, 0, f.Size))
	w.complete(d, url)

	// Complete, but the cached-mode handle is still open.
	before := w.fuseReads(d)
	second, err := os.Open(path)
	w.ok(err)
	require.Equal(t, "cached", xattr(t, path, "mode"))
	forget(t, second)
	w.ok(f.CheckReader(second, 0, f.Size))
	require.Greater(t, w.fuseReads(d), before, "cached mode without cached pages reads through the daemon")
	w.ok(second.Close())
	w.ok(held.Close())

	// Nobody has it open: from now on the kernel reads alone. RELEASE comes a
	// moment after close(2).
	var third *os.File
	w.ok(lab.Until(w.ctx, 10*time.Second, "a passthrough open", func() error {
		if third, err = os.Open(path); err != nil {
			return err
		}
		if mode := xattr(t, path, "mode"); mode != "passthrough" {
			return errors.Join(errors.New("mode "+mode), third.Close())
		}
		return nil
	}))
	defer third.Close()
	before = w.fuseReads(d)
	forget(t, third)
	w.ok(f.CheckReader(third, 0, f.Size))
	fourth, err := os.Open(path)
	w.ok(err)
	defer fourth.Close()
	w.ok(f.CheckReader(fourth, 0, f.Size))
	require.Equal(t, before, w.fuseReads(d), "READ requests while reading by passthrough")
	w.sentOnce(f)
}

// complete waits until the daemon holds all of url on its disk.
func (w *world) complete(d *lab.Daemon, url string) {
	w.Helper()
	w.ok(lab.Until(w.ctx, 20*time.Second, "all pieces on disk", func() error {
		info, err := d.Stat(w.ctx, url)
		if err == nil && (info.State != "complete" || info.Facts == nil || info.CachedBytes != info.Facts.Size) {
			err = fmt.Errorf("%s, %d bytes", info.State, info.CachedBytes)
		}
		return err
	}))
}

// fuseReads returns how many READ requests the daemon has answered.
func (w *world) fuseReads(d *lab.Daemon) int64 {
	w.Helper()
	s, err := d.Status(w.ctx)
	w.ok(err)
	return s.FuseReads
}

// forget drops the file's pages from the kernel's cache.
func forget(t *testing.T, f *os.File) {
	t.Helper()
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, "user.df."+name, buf)
	require.NoError(t, err, "xattr user.df.%s of %s", name, path)
	return string(buf[:n])
}
