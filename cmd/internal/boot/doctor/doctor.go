// Package doctor looks at a host for what keeps Damselfly from working, or
// from working well, and says what to do about it. dfdaemon runs it for its
// own mounts and cluster, dfmount when no daemon answers.
package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"damselfly/daemon/control"
	"damselfly/fusefs"
)

// System is what the checks look at; the zero value is this machine.
type System struct {
	// Root is put before every path of the system ("" on a real one).
	Root string
	// UID is the effective user; Kernel the release, such as 6.9.1.
	UID    int
	Kernel string
	// Helper finds fusermount3.
	Helper func() (string, error)
}

// Machine is this machine.
func Machine() System {
	s := System{UID: os.Geteuid(), Helper: func() (string, error) { return exec.LookPath("fusermount3") }}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		s.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return s
}

func good(name, format string, args ...any) control.Check {
	return control.Check{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)}
}

func bad(name, detail, fix string) control.Check {
	return control.Check{Name: name, Detail: detail, Fix: fix}
}

// Host checks FUSE, the mounts that are there, and the file system of the data
// dir.
func (s System) Host(dataDir string, mounts []control.MountInfo) []control.Check {
	checks := []control.Check{s.device(), s.helper(), s.passthrough(mounts)}
	for _, m := range mounts {
		checks = append(checks, s.readAhead(m.Path))
	}
	return append(checks, cacheFS(dataDir), freeSpace(dataDir))
}

func (s System) device() control.Check {
	const name = "FUSE device"
	path := filepath.Join(s.Root, "/dev/fuse")
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return bad(name, "/dev/fuse is missing", "load it with 'modprobe fuse'; in a container pass --device /dev/fuse")
	case errors.Is(err, fs.ErrPermission):
		return bad(name, "/dev/fuse can't be opened: permission denied", "as root: 'chmod 0666 /dev/fuse'; in a container allow the device")
	case err != nil:
		return bad(name, err.Error(), "see the kernel's log with 'dmesg'")
	}
	f.Close()
	return good(name, "/dev/fuse can be opened")
}

func (s System) helper() control.Check {
	const name = "mount helper"
	if s.UID == 0 {
		return good(name, "not needed: root mounts without one")
	}
	path, err := s.Helper()
	if err != nil {
		return bad(name, "fusermount3 is not in PATH, and only root mounts without it", "install it: 'apt-get install fuse3' or 'dnf install fuse3'")
	}
	st, err := os.Stat(path)
	if err == nil && st.Mode()&os.ModeSetuid == 0 {
		return bad(name, path+" is not set-uid root", "as root: 'chmod u+s "+path+"', or install the package fuse3 again")
	}
	return good(name, "%s", path)
}

func (s System) passthrough(mounts []control.MountInfo) control.Check {
	const name = "passthrough"
	switch {
	case s.UID != 0:
		return good(name, "off: only root may register files with the kernel; reads go through the daemon")
	case !kernelAtLeast(s.Kernel, 6, 9):
		return bad(name, "off: Linux "+s.Kernel+" is older than 6.9; reads go through the daemon", "use a newer kernel for native speed of complete files")
	}
	for _, m := range mounts {
		if !m.Passthrough {
			return bad(name, "off for "+m.Path+": "+m.PassthroughReason+"; reads go through the daemon", fusefs.PassthroughFix(m.PassthroughReason))
		}
	}
	if len(mounts) == 0 {
		return good(name, "possible with Linux %s; a mount will tell", s.Kernel)
	}
	return good(name, "on: complete files are read at native speed")
}

// kernelAtLeast compares the first two numbers of a release.
func kernelAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a > major || a == major && b >= minor
}

// wantReadAhead is the kernel's readahead of a mount, in KiB.
const wantReadAhead = 1024

func (s System) readAhead(mount string) control.Check {
	const name = "read_ahead"
	dev, err := s.deviceOf(mount)
	if err != nil {
		return bad(name, mount+": "+err.Error(), "mount it again: 'dfmount umount "+mount+"' and 'dfmount "+mount+"'")
	}
	path := filepath.Join("/sys/class/bdi", dev, "read_ahead_kb")
	data, err := os.ReadFile(filepath.Join(s.Root, path))
	kib, aerr := strconv.Atoi(strings.TrimSpace(string(data)))
	switch {
	case err != nil || aerr != nil:
		return bad(name, mount+": "+path+" can't be read", "make /sys visible to the daemon")
	case kib >= wantReadAhead:
		return good(name, "%s: %d KiB", mount, kib)
	case s.UID != 0:
		return good(name, "%s: %d KiB; only root can raise it", mount, kib)
	}
	return bad(name, fmt.Sprintf("%s: %d KiB, so sequential reads are slower", mount, kib), fmt.Sprintf("echo %d > %s", wantReadAhead, path))
}

// deviceOf finds the device number of a mount without touching it.
func (s System) deviceOf(mount string) (string, error) {
	data, err := os.ReadFile(filepath.Join(s.Root, "/proc/self/mountinfo"))
	if err != nil {
		return "", err
	}
	dev := ""
	for line := range strings.Lines(string(data)) {
		// id parent major:minor root mount-point …
		f := strings.Fields(line)
		if len(f) > 4 && unescape(f[4]) == mount {
			dev = f[2] // the last one is on top
		}
	}
	if dev == "" {
		return "", errors.New("it is not mounted in the daemon's mount namespace")
	}
	return dev, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
