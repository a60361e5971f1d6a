package fusefs

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// endingSignals are those by which a program is ended, or ends itself: by a
// person at the terminal, by its parent, by its own fault. All others (timers,
// children, the preemption of Go's runtime) interrupt only for a moment: a
// local disk does not let them disturb a read, and neither do we.
const endingSignals = 1<<(syscall.SIGHUP-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGQUIT-1) | 1<<(syscall.SIGTERM-1) |
	1<<(syscall.SIGKILL-1) | 1<<(syscall.SIGILL-1) | 1<<(syscall.SIGABRT-1) | 1<<(syscall.SIGBUS-1) | 1<<(syscall.SIGFPE-1) |
	1<<(syscall.SIGSEGV-1) | 1<<(syscall.SIGTRAP-1) | 1<<(syscall.SIGSYS-1) | 1<<(syscall.SIGXCPU-1) | 1<<(syscall.SIGXFSZ-1)

// askedToEnd reports whether a signal of endingSignals waits for the thread
// tid, which waits in the kernel for our answer: signals stay pending until it
// returns. A signal that ends a program by default shows as SIGKILL. Of a
// thread that can't be looked at (in another pid namespace) it says yes.
func askedToEnd(tid uint32) bool {
	if tid == 0 {
		return true
	}
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return true
	}
	pending, ok := pendingSignals(status)
	return !ok || pending&endingSignals != 0
}

// pendingSignals reads from /proc/TID/status the signals that wait for the
// thread or its process and that the thread does not block. Bit n-1 is signal n.
func pendingSignals(status []byte) (pending uint64, ok bool) {
	var own, shared, blocked uint64
	fields := map[string]*uint64{"SigPnd": &own, "ShdPnd": &shared, "SigBlk": &blocked}
	for lines := bufio.NewScanner(bytes.NewReader(status)); len(fields) > 0 && lines.Scan(); {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		into := fields[string(name)]
		if into == nil {
			continue
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		if err != nil {
			return 0, false
		}
		*into = n
		delete(fields, string(name))
	}
	return (own | shared) &^ blocked, len(fields) == 0
}
