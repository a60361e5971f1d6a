package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Stay is how long a thread was in state D, uninterruptible sleep, without
// running in between: all that a program does while it waits for a mount that
// does not answer.
type Stay struct {
	PID, TID int
	Command  string
	For      time.Duration

	last time.Time // when it was still there
}

func (s Stay) String() string {
	return fmt.Sprintf("%s (process %d, thread %d) was in state D for %s", s.Command, s.PID, s.TID, s.For.Round(100*time.Millisecond))
}

// Stays watches the threads of a process and of all that it started, also of
// those whose parent has ended meanwhile. Safe for concurrent use.
type Stays struct {
	proc string // /proc
	root int

	quit, done chan struct{}

	mu    sync.Mutex
	known map[process]bool
	stays map[thread]*Stay // of the threads that are in state D
	ended []Stay           // those of at least noticed
}

const (
	lookEvery = 500 * time.Millisecond
	// noticed is how long a stay must be to be remembered, maxEnded how many are.
	noticed  = 2 * time.Second
	maxEnded = 1000
)

// process tells one from a later one with its number.
type process struct {
	pid     int
	started string
}

// thread is one that has not run since: then its count of switches had grown.
type thread struct {
	process
	tid      int
	switches string
}

// WatchStays begins to watch this process. Close it.
func WatchStays() *Stays {
	s := newStays("/proc", os.Getpid())
	go func() {
		defer close(s.done)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-s.quit:
				return
			case now := <-tick.C:
				s.look(now)
			}
		}
	}()
	return s
}

func newStays(proc string, root int) *Stays {
	return &Stays{
		proc: proc, root: root, quit: make(chan struct{}), done: make(chan struct{}),
		known: map[process]bool{}, stays: map[thread]*Stay{},
	}
}

// Close ends the watch.
func (s *Stays) Close() {
	close(s.quit)
	<-s.done
}

// Longest returns the longest stay of those that had not ended at since.
func (s *Stays) Longest(since time.Time) (longest Stay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	take := func(x Stay) {
		if !x.last.Before(since) && x.For > longest.For {
			longest = x
		}
	}
	for _, x := range s.stays {
		take(*x)
	}
	for _, x := range s.ended {
		take(x)
	}
	return longest
}

// look notes who is in state D now.
func (s *Stays) look(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[thread]bool{}
	for _, p := range s.family() {
		tasks, _ := os.ReadDir(filepath.Join(s.proc, strconv.Itoa(p.pid), "task")) // it may have ended
		for _, task := range tasks {
			dir := filepath.Join(s.proc, strconv.Itoa(p.pid), "task", task.Name())
			st, ok := readStat(dir)
			if !ok || st.state != "D" {
				continue
			}
			tid, _ := strconv.Atoi(task.Name())
			t := thread{p, tid, switches(dir)}
			seen[t] = true
			if s.stays[t] == nil {
				s.stays[t] = &Stay{PID: p.pid, TID: tid, Command: st.command, last: now}
			}
			x := s.stays[t]
			x.For += now.Sub(x.last)
			x.last = now
		}
	}
	for t, x := range s.stays {
		if seen[t] {
			continue
		}
		delete(s.stays, t)
		if x.For >= noticed && len(s.ended) < maxEnded {
			s.ended = append(s.ended, *x)
		}
	}
}

// family returns the processes that are watched. s.mu is held.
func (s *Stays) family() (list []process) {
	entries, _ := os.ReadDir(s.proc)
	parent, started := map[int]int{}, map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, ok := readStat(filepath.Join(s.proc, e.Name())); ok {
			parent[pid], started[pid] = st.parent, st.started
		}
	}
	known := map[process]bool{}
	for pid := range parent {
		p := process{pid, started[pid]}
		if !s.known[p] && !s.descends(parent, pid) {
			continue
		}
		known[p] = true
		list = append(list, p)
	}
	s.known = known
	return list
}

func (s *Stays) descends(parent map[int]int, pid int) bool {
	for range len(parent) {
		if pid == s.root {
			return true
		}
		up, ok := parent[pid]
		if !ok {
			return false
		}
		pid = up
	}
	return false
}

// stat is what we need of proc(5)'s stat.
type stat struct {
	command, state, started string
	parent                  int
}

func readStat(dir string) (st stat, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, "stat"))
	// The name, in parentheses, may hold anything.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || end < open {
		return st, false
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return st, false
	}
	st.command, st.state, st.started = string(b[open+1:end]), f[0], f[19]
	st.parent, err = strconv.Atoi(f[1])
	return st, err == nil
}

// switches is how often a thread has given up the processor by itself; it
// changes whenever it has run and waits again.
func switches(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "status"))
	_, after, _ := strings.Cut(string(b), "\nvoluntary_ctxt_switches:")
	n, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(n)
}
