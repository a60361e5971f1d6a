package store

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxOrphans bounds the descriptors that are kept for looking; more are not
// told of.
const maxOrphans = 64

// orphans are content files that were removed while somebody has them open: a
// passthrough descriptor outlives the daemon that gave it, and the disk gives
// the space back when its program closes it. Safe for concurrent use.
type orphans struct {
	mu    sync.Mutex
	files []*os.File // guarded by mu
}

// add takes f, whose name is gone, and keeps it while others have it open.
func (o *orphans) add(f *os.File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.files) >= maxOrphans || !openElsewhere(f) {
		f.Close()
		return
	}
	o.files = append(o.files, f)
}

// look lets go of those that nobody else has open any more.
func (o *orphans) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	kept := o.files[:0]
	for _, f := range o.files {
		if openElsewhere(f) {
			kept = append(kept, f)
			continue
		}
		f.Close()
	}
	clear(o.files[len(kept):])
	o.files = kept
}

// usage returns how many there are and the disk space that they take.
func (o *orphans) usage() (n int, bytes int64) {
	o.look()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.files {
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) == nil {
			bytes += st.Blocks * 512
		}
	}
	return len(o.files), bytes
}

func (o *orphans) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.files {
		f.Close()
	}
	o.files = nil
}

// openElsewhere reports whether f is open by another descriptor, of whatever
// process, or of the kernel: it grants a lease for writing to the only one that
// has a file open (fcntl(2)). Where it grants none at all, it can't be told:
// false.
func openElsewhere(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		return false
	}
	return err == unix.EAGAIN
}
