package fusefs

import (
	"os"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// backings registers content files with the kernel. *fuse.Server is one.
type backings interface {
	RegisterBackingFd(*fuse.BackingMap) (int32, syscall.Errno)
	UnregisterBackingFd(id int32) syscall.Errno
}

// passthrough knows whether the kernel takes content files of ours. go-fuse
// gives up on passthrough for the whole mount after the first registration
// that fails, so each file is tried here first, where a failure costs only
// that file.
type passthrough struct {
	kernel backings

	mu  sync.Mutex
	off string // why not; empty means on
}

// probePassthrough finds out with a scratch file beside the content files. The
// server must have shaken hands.
func probePassthrough(server *fuse.Server, o Options) *passthrough {
	p := &passthrough{kernel: server}
	if p.off = unable(o, server.KernelSettings().Flags64()); p.off == "" {
		p.off = p.probe(o.ProbeDir)
	}
	return p
}

// unable returns why there is nothing to probe, or "". flags are those that the
// kernel answered.
func unable(o Options, flags uint64) string {
	switch {
	case o.NoPassthrough:
		return whySwitched
	case flags&fuse.CAP_PASSTHROUGH == 0:
		return whyKernel
	}
	return ""
}

// The usual reasons against passthrough.
const (
	whySwitched = "switched off"
	whyKernel   = "the kernel has none: it needs Linux 6.9"
	whyRights   = "the daemon lacks CAP_SYS_ADMIN"
	whyStacked  = "the cache is on a stacked file system (overlayfs or the like); put --data-dir on a plain one"
)

// PassthroughFix returns what to do about a reason that Mount.Passthrough gave.
func PassthroughFix(why string) string {
	switch why {
	case whySwitched:
		return "leave out no-passthrough in the daemon's configuration"
	case whyKernel:
		return "use Linux 6.9 or later for native speed of complete files"
	case whyRights:
		return "run the daemon as root with CAP_SYS_ADMIN, in a container too"
	case whyStacked:
		return "put --data-dir on a local, not stacked file system such as ext4 or xfs; in a container on a volume"
	}
	return "put --data-dir on a local file system such as ext4 or xfs, and see the daemon's log"
}

// probe returns why a file in dir can't be passed through, or "".
func (p *passthrough) probe(dir string) string {
	f, err := os.CreateTemp(dir, ".passthrough-probe-*")
	if err != nil {
		return "no scratch file for the probe: " + err.Error()
	}
	defer f.Close()
	defer os.Remove(f.Name())
	return why(p.try(f))
}

// try registers f and takes it back.
func (p *passthrough) try(f *os.File) syscall.Errno {
	id, errno := p.kernel.RegisterBackingFd(&fuse.BackingMap{Fd: int32(f.Fd())})
	if errno == 0 {
		errno = p.kernel.UnregisterBackingFd(id)
	}
	return errno
}

// why says in words what a refusal means.
func why(errno syscall.Errno) string {
	switch errno {
	case 0:
		return ""
	case syscall.EPERM:
		return whyRights
	case syscall.ELOOP:
		return whyStacked
	case syscall.EOPNOTSUPP, syscall.ENOTTY, syscall.EINVAL:
		return "the kernel or the cache's file system does not support it: " + errno.Error()
	}
	return errno.Error()
}

// state reports whether new handles may be passed through.
func (p *passthrough) state() (on bool, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.off == "", p.off
}

// giveUp switches passthrough off for new handles.
func (p *passthrough) giveUp(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.off == "" {
		p.off = why
	}
}
