package fusefs

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Open returns how many handles of files are open now, by mode.
func (m *Mount) Open() (cached, passthrough int) {
	m.open.each(func(h *handle) {
		if h.mode == ModePassthrough {
			passthrough++
		} else {
			cached++
		}
	})
	return cached, passthrough
}

// Unlinked returns how many content files are open in passthrough though they
// were removed from the cache, and the bytes they take on its disk: these are
// free when the programs that read them close them.
func (m *Mount) Unlinked() (files int, bytes int64) {
	seen := map[*file]bool{}
	m.open.each(func(h *handle) {
		if h.mode == ModePassthrough {
			seen[h.n] = true
		}
	})
	for n := range seen {
		if b, ok := n.unlinked(); ok {
			files++
			bytes += b
		}
	}
	return files, bytes
}

// unlinked returns what the content file takes on disk, if it has no name.
func (n *file) unlinked() (bytes int64, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var st unix.Stat_t
	if n.modes.backing == nil || unix.Fstat(int(n.modes.backing.Fd()), &st) != nil || st.Nlink > 0 {
		return 0, false
	}
	return st.Blocks * 512, true
}

// status is what the mount adds to the text of .df/status.
func (m *Mount) status() string {
	pass := "passthrough"
	if on, why := m.Passthrough(); !on {
		pass = "no passthrough: " + why
	}
	cached, passed := m.Open()
	s := fmt.Sprintf("mount %s: %s\nopen: %d handles through the daemon, %d in passthrough\n", m.Dir(), pass, cached, passed)
	if files, bytes := m.Unlinked(); files > 0 {
		s += fmt.Sprintf("removed but open: %d files still take %d bytes\n", files, bytes)
	}
	return s
}
