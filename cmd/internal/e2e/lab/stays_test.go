package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeThread writes what /proc says of the only thread of a process.
func fakeThread(t *testing.T, proc string, pid, parent int, state string, started, switches int) {
	t.Helper()
	dir := filepath.Join(proc, strconv.Itoa(pid))
	stat := fmt.Sprintf("%d (a) b (c) %s %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0\n", pid, state, parent, started)
	for _, d := range []string{dir, filepath.Join(dir, "task", strconv.Itoa(pid))} {
		require.NoError(t, os.MkdirAll(d, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(d, "stat"), []byte(stat), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(d, "status"), fmt.Appendf(nil, "Name:\ta\nvoluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t9\n", switches), 0o644))
	}
}

func TestStays(t *testing.T) {
	proc := t.TempDir()
	s := newStays(proc, 10)
	at := time.Unix(1000, 0)
	look := func() { at = at.Add(time.Second); s.look(at) }
	fakeThread(t, proc, 1, 0, "S", 1, 1)
	fakeThread(t, proc, 10, 1, "S", 5, 1)
	fakeThread(t, proc, 11, 10, "D", 6, 1) // ours
	fakeThread(t, proc, 12, 11, "D", 7, 1) // ours, by way of 11
	fakeThread(t, proc, 20, 1, "D", 8, 1)  // somebody else's
	for range 4 {
		look()
	}
	require.Equal(t, 3*time.Second, s.Longest(time.Time{}).For)

	// Who has run in between waits anew; who lost its parent is still watched.
	require.NoError(t, os.RemoveAll(filepath.Join(proc, "11")))
	fakeThread(t, proc, 12, 1, "D", 7, 2)
	look()
	mid := at
	look()
	require.Equal(t, 3*time.Second, s.Longest(time.Time{}).For, "the one that ended is remembered")
	now := s.Longest(mid)
	require.Equal(t, time.Second, now.For, "… but not as one of now")
	require.Equal(t, 12, now.PID)
	require.Contains(t, now.String(), "a) b (c (process 12, thread 12) was in state D for 1s")

	// Its number is given to another.
	fakeThread(t, proc, 12, 1, "D", 30, 2)
	look()
	later := at
	look()
	require.Zero(t, s.Longest(later).For)
}

// The real thing is watched without a fault.
func TestStaysOfThisProcess(t *testing.T) {
	s := WatchStays()
	s.look(time.Now())
	s.mu.Lock()
	var found bool
	for p := range s.known {
		found = found || p.pid == os.Getpid()
	}
	s.mu.Unlock()
	s.Close()
	require.True(t, found)
}
