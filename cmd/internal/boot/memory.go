package boot

import (
	"cmp"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory is what a process of ours may use. All fields are bytes.
type Memory struct {
	// Available is the memory of the machine, or of the tightest control group
	// around the process; 0 if that can't be learnt.
	Available int64
	// Buffers is the part for piece buffers, > 0.
	Buffers int64
	// Limit is where the garbage collector starts to work harder, > 0.
	Limit int64
}

const (
	// defaultBuffers of piece buffers where memory is no question, runtimeRoom
	// what everything else of a busy process may take beside its buffers and
	// their copies on the way to the kernel.
	defaultBuffers = 128 << 20
	runtimeRoom    = 512 << 20
	// minBuffers holds a few of the largest pieces.
	minBuffers = 32 << 20
)

// PlanMemory divides available bytes (0 = unknown) for a process whose piece
// buffers are to be buffers bytes; 0 is 128 MiB or a quarter of what there is.
func PlanMemory(available, buffers int64) Memory {
	m := Memory{Available: available, Buffers: buffers}
	if m.Buffers <= 0 {
		m.Buffers = defaultBuffers
		if available > 0 {
			m.Buffers = max(minBuffers, min(m.Buffers, available/4))
		}
	}
	m.Limit = 2*m.Buffers + runtimeRoom
	if available > 0 {
		m.Limit = min(m.Limit, available/4*3)
	}
	return m
}

// Scarce reports whether many requests in flight could fill the memory, so that
// each should be small.
func (m Memory) Scarce() bool { return m.Available > 0 && m.Available < 1<<30 }

// gcPercent is how much garbage may gather for what is in use. Buffers in use
// count too: with the usual 100, as much garbage as there are buffers, so that a
// busy daemon with buffers of 128 MiB took 300.
const gcPercent = 35

// Apply sets the limit and the pace of the garbage collector, unless the
// environment did.
func (m Memory) Apply() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(m.Limit)
	}
}

// AvailableMemory is the memory of this machine or, if less, of the control
// groups around this process; 0 if neither can be learnt.
func AvailableMemory() int64 {
	var si unix.Sysinfo_t
	var total int64
	if unix.Sysinfo(&si) == nil {
		total = int64(si.Totalram) * int64(si.Unit)
	}
	if g := groupMemory("/"); g > 0 && (total == 0 || g < total) {
		return g
	}
	return total
}

// groupMemory returns the tightest memory limit of the control groups around
// this process, of either version; 0 = none. root is "/" but for tests.
func groupMemory(root string) int64 {
	list, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	var least int64
	for line := range strings.Lines(string(list)) {
		// ID:CONTROLLERS:PATH; version 2 has ID 0 and no controllers.
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		mounts, file := []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}, "memory.max"
		if f[0] != "0" || f[1] != "" {
			if !hasWord(f[1], "memory") {
				continue
			}
			mounts, file = []string{"sys/fs/cgroup/memory"}, "memory.limit_in_bytes"
		}
		for _, m := range mounts {
			least = tighter(least, limitAlong(filepath.Join(root, m), f[2], file))
		}
	}
	return least
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// limitAlong returns the tightest limit from group up to the root of mount. In
// a container the group's own directory may be the mount itself.
func limitAlong(mount, group, file string) (least int64) {
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		least = tighter(least, limitIn(filepath.Join(mount, dir, file)))
		if dir == "/" {
			return least
		}
	}
}

// unlimited is more than version 1 writes for no limit on any machine.
const unlimited = 1 << 62

func limitIn(name string) int64 {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n >= unlimited { // "max"
		return 0
	}
	return n
}

// tighter is the smaller of two limits of which 0 is none.
func tighter(a, b int64) int64 {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}
