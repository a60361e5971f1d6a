package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A host that was given no scheduler and no manager serves its mount from the
// origin.
func TestHostAloneReadsTheOrigin(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	s, err := d.Status(w.ctx)
	w.ok(err)
	require.Empty(t, s.Managers)
	require.Empty(t, s.Schedulers)

	f, url := w.serve("alone.bin", 30*miB+1)
	named, err := d.Add(w.ctx, url, "--name", "alone")
	w.ok(err)
	require.Equal(t, filepath.Join(d.Mount, "by-name", "alone"), named)
	w.check(f, named)
	w.check(f, w.add(d, url))
	w.sentOnce(f)
	rs, err := w.origin.Requests(f.Name)
	w.ok(err)
	for _, r := range rs {
		require.Equal(t, d.Host.IP, r.Remote)
	}
	info, err := d.Stat(w.ctx, "alone")
	w.ok(err)
	require.Equal(t, f.Size, info.Traffic.Origin)
	require.Zero(t, info.Traffic.Peers+info.Traffic.Seeds)
}

// Origins of other manners are read through the mount all the same.
func TestOriginsOfOtherManners(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, _ := w.serve("manner.bin", 3*miB+77)
	for _, manner := range []string{"norange", "novalidator", "moved"} {
		t.Run(manner, func(t *testing.T) {
			require.NoError(t, checkFile(f, w.add(d, w.origin.URL(manner, f.Name))))
		})
	}
	_, url := w.serve("empty.bin", 0)
	b, err := os.ReadFile(w.add(d, url))
	w.ok(err)
	require.Empty(t, b)
	one, url := w.serve("one.bin", 1)
	w.check(one, w.add(d, url))
}

// dfmount starts a daemon where none runs, which leaves after its last umount.
func TestDfmountStartsAndEndsADaemon(t *testing.T) {
	w := newWorld(t, time.Minute)
	h := w.host("h1")
	d := &lab.Daemon{Host: h, Socket: filepath.Join(h.Dir, "df.sock"), Mount: filepath.Join(h.Dir, "mnt"), DataDir: filepath.Join(h.Dir, "data")}
	w.ok(os.Mkdir(d.Mount, 0o755))
	r, err := d.Dfmount(w.ctx, "-o", "data-dir="+d.DataDir, d.Mount)
	w.ok(err)
	w.ok(r.Err())
	require.True(t, lab.Mounted(d.Mount))
	s, err := d.Status(w.ctx)
	w.ok(err)
	require.NoError(t, unix.Kill(s.PID, 0), "the daemon runs on its own")

	f, url := w.serve("started.bin", 2*miB)
	w.check(f, w.add(d, url))
	r, err = d.Dfmount(w.ctx, "umount", d.Mount)
	w.ok(err)
	w.ok(r.Err())
	require.False(t, lab.Mounted(d.Mount))
	w.ok(lab.Until(w.ctx, 15*time.Second, "the daemon to leave", func() error {
		if err := unix.Kill(s.PID, 0); !errors.Is(err, unix.ESRCH) {
			return errors.New("it still runs")
		}
		return nil
	}))
}
