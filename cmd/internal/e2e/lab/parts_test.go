package lab_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

func TestSiteCountsWhatLeavesAndEnters(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	o, err := l.StartOrigin(ctx)
	require.NoError(t, err)
	f := content.New(1, "f", 1<<20)
	url, err := o.Add(f)
	require.NoError(t, err)
	_, err = l.AddSite(ctx, "a-name-too-long")
	require.Error(t, err)
	there, err := l.AddSite(ctx, "there")
	require.NoError(t, err)
	here, err := l.AddSite(ctx, "here")
	require.NoError(t, err)
	require.NoError(t, there.Move(ctx, o.Host))
	near, err := l.AddHost(ctx, "near")
	require.NoError(t, err)
	require.NoError(t, there.Move(ctx, near))
	far, err := l.AddHost(ctx, "far")
	require.NoError(t, err)
	require.NoError(t, here.Move(ctx, far))

	get := func(h *lab.Host) {
		resp, err := h.Client().Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.NoError(t, f.CheckReader(resp.Body, 0, f.Size))
	}
	const few = 64 << 10 // what the hosts say by themselves
	get(near)
	link, err := there.Link()
	require.NoError(t, err)
	require.Less(t, link.Sent+link.Received, int64(few), "it stayed inside")
	get(far)
	sent, err := there.Link()
	require.NoError(t, err)
	received, err := here.Link()
	require.NoError(t, err)
	require.Greater(t, sent.Sent, f.Size)
	require.Greater(t, received.Received, f.Size)
	require.Less(t, sent.Received, int64(few+f.Size/10), "acknowledgements")
	require.Less(t, received.Sent, int64(few+f.Size/10))

	require.NoError(t, o.Remove(f))
	resp, err := near.Client().Get(url)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}

// addDisk is Host.AddDisk. With cgroup v2 alone no machine can limit a disk, and
// nothing that could be installed would help.
func addDisk(t *testing.T, ctx context.Context, h *lab.Host, dir string, size, rate, dirty int64) *lab.Disk {
	t.Helper()
	d, err := h.AddDisk(ctx, dir, size, rate, dirty)
	if errors.Is(err, errors.ErrUnsupported) {
		require.NoDirExists(t, "/sys/fs/cgroup/blkio", "this machine can limit a disk")
		t.Skip(err)
	}
	require.NoError(t, err)
	return d
}

func TestDiskWritesNoFasterThanItsRate(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	h, err := l.AddHost(ctx, "h1")
	require.NoError(t, err)
	dir := filepath.Join(h.Dir, "slow")
	const rate, size, dirty = 8 << 20, 12 << 20, 1 << 20
	d := addDisk(t, ctx, h, dir, 64<<20, rate, dirty)
	write := func(name string) time.Duration {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		defer f.Close()
		began := time.Now()
		_, err = io.Copy(f, content.New(1, name, size).Reader())
		require.NoError(t, err)
		return time.Since(began)
	}
	require.Greater(t, write("x"), time.Duration(float64(size-4*dirty)/rate*float64(time.Second)), "the page cache hides little of it")
	written, err := d.Written()
	require.NoError(t, err)
	require.Greater(t, written, int64(size-4*dirty))
	require.NoError(t, d.Unlimit())
	require.NoError(t, d.Close())
	require.False(t, lab.Mounted(dir))
}

// A loop device that comes to somebody else is not left slow.
func TestDiskEndsWithItsLab(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	h, err := l.AddHost(ctx, "h1")
	require.NoError(t, err)
	limits := func() string {
		b, err := os.ReadFile("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
		require.NoError(t, err)
		return string(b)
	}
	addDisk(t, ctx, h, filepath.Join(h.Dir, "slow"), 8<<20, 8<<20, 1<<20)
	require.NotEmpty(t, limits())
	require.NoError(t, l.Close())
	require.Empty(t, limits())
}
