package fusefs

import "os"

// Mode is how the handles of an inode are open. The kernel allows one at a
// time: it answers an open in the other mode with EIO.
type Mode uint8

// The modes.
const (
	ModeNone        Mode = iota // no handle is open
	ModeCached                  // READs come to us, pages are kept by the kernel
	ModePassthrough             // the kernel reads the content file
)

func (m Mode) String() string {
	return [...]string{"none", "cached", "passthrough"}[m]
}

// modes counts the open handles of one inode. Its counts fall no sooner than
// the kernel's: a handle is counted before the kernel hears of it, and RELEASE
// comes when the kernel is done with it. The zero value is an inode that
// nobody has open. Callers hold the inode's lock.
type modes struct {
	// Invariant: one of the two is 0.
	cached, passthrough int
	// backing is the content file; nil unless passthrough > 0.
	backing *os.File
}

func (m *modes) mode() Mode {
	switch {
	case m.passthrough > 0:
		return ModePassthrough
	case m.cached > 0:
		return ModeCached
	}
	return ModeNone
}

// openCached counts a handle in cached mode; not in ModePassthrough.
func (m *modes) openCached() {
	if m.passthrough > 0 {
		panic("fusefs: cached open of an inode in passthrough")
	}
	m.cached++
}

// openPassthrough counts a handle in passthrough; not in ModeCached. The first
// brings the content file, which is ours from then on; later ones share it and
// bring nil.
func (m *modes) openPassthrough(backing *os.File) {
	if m.cached > 0 || (m.passthrough == 0) != (backing != nil) {
		panic("fusefs: passthrough open of an inode in cached mode, or with a second content file")
	}
	if backing != nil {
		m.backing = backing
	}
	m.passthrough++
}

// release uncounts a handle, of the given mode. The last one in passthrough
// closes the content file.
func (m *modes) release(mode Mode) {
	switch {
	case mode == ModeCached && m.cached > 0:
		m.cached--
	case mode == ModePassthrough && m.passthrough > 0:
		if m.passthrough--; m.passthrough == 0 {
			m.backing.Close()
			m.backing = nil
		}
	default:
		panic("fusefs: release of a handle that is not open")
	}
}
