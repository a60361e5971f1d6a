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
	pid int
	// proc holds a pidfd: a signal never hits another process of that number.
	proc *os.Process
}

// parent returns the process that started this one.
func parent() (*target, error) {
	t := &target{pid: os.Getppid()}
	var err error
	if t.proc, err = os.FindProcess(t.pid); err != nil {
		return nil, err
	}
	return t, nil
}

// gone reports whether the process has ended.
func (t *target) gone() bool {
	s, err := t.state()
	return err != nil || s == 'Z' || s == 'X' || os.Getppid() != t.pid
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
