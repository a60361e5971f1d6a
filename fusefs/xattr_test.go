package fusefs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

func TestXattrs(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	m := mount(t, b)
	path := m.path(a)

	buf := make([]byte, 1024)
	n, err := unix.Listxattr(path, buf)
	require.NoError(t, err)
	require.Equal(t, []string{
		"user.df.url", "user.df.version", "user.df.size", "user.df.cached", "user.df.state", "user.df.sources", "user.df.reads", "user.df.mode",
	}, strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"))
	size, err := unix.Listxattr(path, nil)
	require.NoError(t, err)
	require.Equal(t, n, size)

	require.Equal(t, "value of url", xattr(t, path, "user.df.url"))
	require.Equal(t, "value of cached", xattr(t, path, "user.df.cached"))
	require.Empty(t, xattr(t, path, "user.df.sources"), "has no value just now")
	require.Equal(t, "4096", xattr(t, path, "user.df.size"))
	require.Equal(t, string(a.Key.Version), xattr(t, path, "user.df.version"))
	require.Equal(t, "none", xattr(t, path, "user.df.mode"))

	for _, name := range []string{"user.df.none", "user.other", "security.capability", "system.posix_acl_access"} {
		_, err := unix.Getxattr(path, name, buf)
		require.Error(t, err, name)
		require.True(t, err == unix.ENODATA || err == unix.EOPNOTSUPP, "%s: %v", name, err)
	}
	_, err = unix.Getxattr(path, "user.df.url", buf[:3])
	require.ErrorIs(t, err, unix.ERANGE)

	b.change(func() { a.openErr = pieces.Errorf(pieces.Denied, "no") })
	_, err = unix.Getxattr(path, "user.df.url", buf)
	require.ErrorIs(t, err, unix.EACCES)
	require.Zero(t, b.opened.Load())
}
