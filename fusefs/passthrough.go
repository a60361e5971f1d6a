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
	switch {
	case o.NoPassthrough:
		p.off = "switched off"
	case server.KernelSettings().Flags64()&fuse.CAP_PASSTHROUGH == 0:
		p.off = "the kernel has none: it needs Linux 6.9"
	default:
		p.off = p.probe(o.ProbeDir)
	}
	return p
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
		return "the daemon lacks CAP_SYS_ADMIN"
	case syscall.ELOOP:
		return "the cache is on a stacked file system (overlayfs or the like); put --data-dir on a plain one"
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
