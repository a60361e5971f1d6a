package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestErrorsOfTheMount(t *testing.T) {
	w := newWorld(t, time.Minute)
	c := w.cluster(1, 1, 0)
	_, url := w.serve("e.bin", miB)
	inCluster := w.add(c.Hosts[0], url)
	d := w.alone("solo")
	path := w.add(d, url)

	for name, mount := range map[string]string{"alone": d.Mount, "in a cluster": c.Hosts[0].Mount} {
		t.Run("unknown "+name, func(t *testing.T) {
			for _, name := range []string{strings.Repeat("0", 64), strings.Repeat("A", 64), "x", "by-name/x", ".df/tasks/x.json"} {
				_, err := os.Stat(filepath.Join(mount, name))
				require.ErrorIs(t, err, unix.ENOENT, name)
			}
		})
	}
	t.Run("read-only", func(t *testing.T) { requireReadOnly(t, d.Mount, path) })
	t.Run("read-only in a cluster", func(t *testing.T) { requireReadOnly(t, c.Hosts[0].Mount, inCluster) })
	t.Run("origin says no", func(t *testing.T) {
		for kind, errno := range map[string]unix.Errno{"files": unix.ENOENT, "denied": unix.EACCES, "login": unix.EACCES} {
			missing := w.origin.URL(kind, "missing.bin")
			for _, h := range append(c.Hosts, d) {
				_, err := os.Stat(w.add(h, missing))
				require.ErrorIs(t, err, errno, "%s on %s", missing, h.Host.Name)
			}
		}
		rs, err := w.origin.Requests("missing.bin")
		require.NoError(t, err)
		require.NotEmpty(t, rs, "the origin was asked")
	})
}

// requireReadOnly tries every way to change the mount.
func requireReadOnly(t *testing.T, mount, path string) {
	fresh := filepath.Join(mount, "new")
	for what, change := range map[string]func() error{
		"create":   func() error { return open(fresh, unix.O_CREAT|unix.O_WRONLY) },
		"write":    func() error { return open(path, unix.O_WRONLY) },
		"append":   func() error { return open(path, unix.O_RDWR|unix.O_APPEND) },
		"truncate": func() error { return unix.Truncate(path, 0) },
		"remove":   func() error { return unix.Unlink(path) },
		"rename":   func() error { return unix.Rename(path, fresh) },
		"link":     func() error { return unix.Link(path, fresh) },
		"symlink":  func() error { return unix.Symlink(path, fresh) },
		"mkdir":    func() error { return unix.Mkdir(fresh, 0o755) },
		"rmdir":    func() error { return unix.Rmdir(filepath.Join(mount, "by-name")) },
		"mknod":    func() error { return unix.Mknod(fresh, unix.S_IFREG|0o644, 0) },
		"chmod":    func() error { return unix.Chmod(path, 0o777) },
		"chown":    func() error { return unix.Chown(path, 1, 1) },
		"touch":    func() error { return unix.Utimes(path, make([]unix.Timeval, 2)) },
		"setxattr": func() error { return unix.Setxattr(path, "user.x", []byte("y"), 0) },
	} {
		require.ErrorIs(t, change(), unix.EROFS, what)
	}
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
