package fusefs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces/missing"
)

// Each fallback has its own words for people, and its own fix.
func TestFallbacksSayWhyAndWhatToDo(t *testing.T) {
	reasons := []string{
		unable(Options{NoPassthrough: true}, fuse.CAP_PASSTHROUGH), unable(Options{}, 0),
		why(unix.EPERM), why(unix.ELOOP), why(unix.ENOMEM),
	}
	require.Contains(t, reasons[1], "Linux 6.9")
	require.Contains(t, reasons[2], "CAP_SYS_ADMIN")
	require.Contains(t, reasons[3], "overlayfs")
	fixes := map[string]bool{}
	for _, r := range reasons {
		require.NotEmpty(t, r)
		fixes[PassthroughFix(r)] = true
	}
	require.Len(t, fixes, len(reasons))
	require.Empty(t, unable(Options{}, fuse.CAP_PASSTHROUGH))
}

// overlay mounts a writable overlayfs and returns where.
func overlay(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "merged"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	merged := filepath.Join(dir, "merged")
	// An overlay's own upper layer must not be one: a tmpfs never is.
	require.NoError(t, unix.Mount("tmpfs", filepath.Join(dir, "upper"), "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "upper"), unix.MNT_DETACH) })
	for _, d := range []string{"upper/u", "upper/w"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	err := unix.Mount("overlay", merged, "overlay", 0, "lowerdir="+dir+"/lower,upperdir="+dir+"/upper/u,workdir="+dir+"/upper/w")
	if err == unix.ENODEV || err == unix.EPERM {
		missing.Skip(t, "no overlayfs here: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
	return merged
}

// With the cache on overlayfs, as in a container without a volume, complete files
// are read through us, and .df/status says why.
func TestCacheOnOverlayfs(t *testing.T) {
	needFUSE(t)
	dir := overlay(t)
	b := newFake()
	a := b.add("a", 1<<20)
	a.complete = filepath.Join(dir, "content")
	require.NoError(t, os.WriteFile(a.complete, a.content, 0o600))
	m := mount(t, b, func(o *Options) { o.ProbeDir = dir })
	on, reason := m.Passthrough()
	require.False(t, on)
	require.Equal(t, whyStacked, reason)
	require.Equal(t, a.content, readAll(t, m.path(a)))
	require.Equal(t, "cached", openMode(t, m.path(a)))
	require.Contains(t, string(readAll(t, m.Dir()+"/.df/status")), "no passthrough: the cache is on a stacked file system")

	// A content file there is refused alone when the probe's directory is fine.
	other := mount(t, b)
	require.Equal(t, a.content, readAll(t, other.path(a)))
	require.Equal(t, "cached", openMode(t, other.path(a)))
	on, _ = other.Passthrough()
	require.True(t, on)
}
