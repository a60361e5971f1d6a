package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const stopWait = 10 * time.Second

// tearDown ends every process, last started first, and removes the directory.
func (s *stage) tearDown() {
	for _, p := range slices.Backward(s.procs) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // may have ended
		select {
		case <-p.done:
		case <-time.After(stopWait):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
	for _, h := range s.hosts {
		detach(h.mount)
	}
	_ = os.RemoveAll(s.dir)
	_ = os.Remove(parent()) // unless another demo is there
}

// detach unmounts what a daemon that was killed left.
func detach(mount string) {
	if mount == "" {
		return
	}
	var st, up unix.Stat_t
	err := unix.Stat(mount, &st)
	if err == nil && unix.Stat(filepath.Dir(mount), &up) == nil && st.Dev == up.Dev {
		return // not mounted
	}
	if unix.Unmount(mount, unix.MNT_DETACH) != nil {
		_ = exec.Command("fusermount3", "-u", "-z", mount).Run() // nothing more to try
	}
}

// explain adds to err the end of the logs of processes that ended by
// themselves.
func (s *stage) explain(err error) error {
	for _, p := range s.procs {
		if !p.ended() {
			continue
		}
		b, rerr := os.ReadFile(p.log)
		if rerr != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		err = fmt.Errorf("%w\n%s (%v) said:\n  %s", err, p.name, p.cmd.ProcessState, strings.Join(lines[max(0, len(lines)-10):], "\n  "))
	}
	return err
}

// leave writes down what runs, for stopKept, and says how to go on.
func (s *stage) leave(out io.Writer) error {
	var pids strings.Builder
	for _, p := range slices.Backward(s.procs) {
		start, err := startTime(p.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("%s has ended: %w", p.name, err)
		}
		fmt.Fprintf(&pids, "%d %s\n", p.cmd.Process.Pid, start)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "pids"), []byte(pids.String()), 0o600); err != nil {
		return err
	}
	h := s.hosts[len(s.hosts)-1]
	fmt.Fprintf(out, "\nLeft running. Try on %s:\n", h.name)
	fmt.Fprintf(out, "  export DAMSELFLY_SOCKET=%s\n  %s/dfmount status\n  %s/dfmount ls\n", h.socket, s.bin, s.bin)
	if h.mount != "" {
		fmt.Fprintf(out, "  ls -l %s\n", h.mount)
	}
	fmt.Fprintf(out, "End it with: make demo STOP=1\n")
	return nil
}

// startTime tells a process from a later one with the same id.
func startTime(pid int) (string, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name, in parentheses, may hold anything.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return "", errors.New("process " + strconv.Itoa(pid) + " is gone")
	}
	return fields[19], nil
}

// stopKept ends all demos of this user that were left running.
func stopKept(out io.Writer) error {
	lists, err := filepath.Glob(filepath.Join(parent(), "*", "pids"))
	if err != nil {
		return err
	}
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			pid, start, _ := strings.Cut(strings.TrimSpace(line), " ")
			if n, err := strconv.Atoi(pid); err == nil {
				stopProcess(n, start)
			}
		}
		dir := filepath.Dir(list)
		mounts, _ := filepath.Glob(filepath.Join(dir, "*", "mnt"))
		for _, m := range mounts {
			detach(m)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		fmt.Fprintln(out, "ended the demo in", dir)
	}
	if len(lists) == 0 {
		fmt.Fprintln(out, "no demo was left running")
	}
	_ = os.Remove(parent()) // unless another demo is there
	return nil
}

// stopProcess ends a process that began at start: gently, then by force.
func stopProcess(pid int, start string) {
	alive := func() bool { now, err := startTime(pid); return err == nil && now == start }
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !alive() {
			return
		}
		_ = syscall.Kill(pid, s) // it may end just now
		for end := time.Now().Add(stopWait); alive() && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
	}
}
