package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The device of FUSE, and the capability to mount, as the kernel numbers them.
const (
	fuseMajor, fuseMinor = 10, 229
	capSysAdmin          = 21
)

// noFUSE returns why this user can't mount here, or "".
func noFUSE() string {
	var st unix.Stat_t
	if err := unix.Stat("/dev/fuse", &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR ||
		unix.Major(st.Rdev) != fuseMajor || unix.Minor(st.Rdev) != fuseMinor {
		return "there is no FUSE device /dev/fuse (modprobe fuse, or docker run --device /dev/fuse)"
	}
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return fmt.Sprintf("/dev/fuse can't be opened by this user (%v)", err)
	}
	_ = f.Close()
	if mayMount() {
		return ""
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		return "this user may not mount, and fusermount3 is missing (apt-get install fuse3)"
	}
	return ""
}

// mayMount reports whether this process has CAP_SYS_ADMIN.
func mayMount() bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return err == nil && caps&(1<<capSysAdmin) != 0
		}
	}
	return false
}
