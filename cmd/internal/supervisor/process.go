package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// target is the daemon's process, as its child sees it.
type target struct {
	pid  int
	proc *os.Process // a pidfd
}

// newTarget returns the process pid, our parent. It may be dead by now, and its
// number somebody else's: the parent tells.
func newTarget(pid int) (*target, error) {
	proc, err := os.FindProcess(pid)
	return &target{pid: pid, proc: proc}, err
}

// gone reports whether the process has ended.
func (t *target) gone() bool {
	s, err := t.state()
	return err != nil || s == 'Z' || s == 'X' || os.Getppid() != t.pid
}

// signal sends s, unless the process has ended: it never hits another.
func (t *target) signal(s os.Signal) error {
	if t.gone() {
		return os.ErrProcessDone
	}
	return t.proc.Signal(s)
}

// stopped reports whether somebody keeps the process from running.
func (t *target) stopped() bool {
	s, err := t.state()
	return err == nil && (s == 'T' || s == 't')
}

// state is the letter of proc(5).
func (t *target) state() (byte, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(t.pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 || i+2 >= len(b) {
		return 0, fmt.Errorf("process %d: unexpected state %.60q", t.pid, b)
	}
	return b[i+2], nil
}

// awaitEnd waits until the process has ended, at most for d.
func (t *target) awaitEnd(d time.Duration) bool {
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		if t.gone() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
