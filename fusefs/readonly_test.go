package fusefs

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// changes are the system calls that would change something.
func changes(m *Mount, a *fakeTask) map[string]func() error {
	dir, file := m.Dir(), m.path(a)
	fresh := dir + "/new"
	open := func(path string, flags int) func() error {
		return func() error {
			fd, err := unix.Open(path, flags, 0o644)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	return map[string]func() error{
		"open for writing":  open(file, unix.O_WRONLY),
		"open read-write":   open(file, unix.O_RDWR),
		"open to append":    open(file, unix.O_WRONLY|unix.O_APPEND),
		"open to truncate":  open(file, unix.O_RDONLY|unix.O_TRUNC),
		"open text":         open(dir+"/.df/status", unix.O_WRONLY),
		"create":            open(fresh, unix.O_CREAT|unix.O_WRONLY),
		"create read-only":  open(fresh, unix.O_CREAT|unix.O_RDONLY),
		"create in by-name": open(dir+"/by-name/new", unix.O_CREAT|unix.O_RDONLY),
		"tmpfile":           open(dir, unix.O_TMPFILE|unix.O_RDWR),
		"mkdir":             func() error { return unix.Mkdir(fresh, 0o755) },
		"mknod":             func() error { return unix.Mknod(fresh, unix.S_IFIFO|0o644, 0) },
		"symlink":           func() error { return unix.Symlink("x", fresh) },
		"symlink in names":  func() error { return unix.Symlink("x", dir+"/by-name/new") },
		"link":              func() error { return unix.Link(file, fresh) },
		"unlink":            func() error { return unix.Unlink(file) },
		"unlink a name":     func() error { return unix.Unlink(dir + "/by-name/n") },
		"rmdir":             func() error { return unix.Rmdir(dir + "/by-name") },
		"rename":            func() error { return unix.Rename(file, fresh) },
		"exchange":          func() error { return unix.Renameat2(-1, file, -1, dir+"/by-name/n", unix.RENAME_EXCHANGE) },
		"truncate":          func() error { return unix.Truncate(file, 0) },
		"chmod":             func() error { return unix.Chmod(file, 0o600) },
		"chmod root":        func() error { return unix.Chmod(dir, 0o700) },
		"chown":             func() error { return unix.Chown(file, 1, 1) },
		"utimes":            func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, file, nil, 0) },
		"setxattr":          func() error { return unix.Setxattr(file, "user.df.url", []byte("x"), 0) },
		"setxattr, foreign": func() error { return unix.Setxattr(file, "user.other", []byte("x"), 0) },
		"setxattr of root":  func() error { return unix.Setxattr(dir, "user.other", []byte("x"), 0) },
		"removexattr":       func() error { return unix.Removexattr(file, "user.df.url") },
	}
}

func TestReadOnly(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	b.names["n"] = a.Key.Task
	m := mount(t, b)
	check := func(t *testing.T) {
		for name, change := range changes(m, a) {
			require.ErrorIs(t, change(), unix.EROFS, name)
		}
		require.Equal(t, a.content, readAll(t, m.path(a)))
	}
	t.Run("mounted", check)
	t.Run("descriptor for reading", func(t *testing.T) {
		fd, err := unix.Open(m.path(a), unix.O_RDONLY, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		// These fail before the file system is asked.
		require.ErrorIs(t, unix.Fallocate(fd, 0, 0, 4096), unix.EBADF)
		require.ErrorIs(t, unix.Ftruncate(fd, 0), unix.EINVAL)
		_, err = unix.Write(fd, []byte("x"))
		require.ErrorIs(t, err, unix.EBADF)
		require.ErrorIs(t, unix.Fchmod(fd, 0o600), unix.EROFS)
		_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		require.ErrorIs(t, err, unix.EACCES)
	})
	// Somebody makes the mount writable: then it is us who refuse.
	require.NoError(t, unix.Mount("", m.Dir(), "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, ""))
	t.Run("remounted writable", check)
}
