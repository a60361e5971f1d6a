package fusefs

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

// blocked is a Task whose reads wait until let is closed; began gets a value
// for each that starts.
func blocked(b *fake, name string) (a *fakeTask, began chan struct{}, let chan struct{}) {
	a = b.add(name, 4096)
	began, let = make(chan struct{}, 64), make(chan struct{})
	a.read = func(ctx context.Context, p []byte, off int64) (int, error) {
		began <- struct{}{}
		select {
		case <-let:
			return copy(p, a.content[off:]), nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return a, began, let
}

// reader starts a child that is blocked in one read, and returns the thread
// that is.
func reader(t *testing.T, m *Mount, a *fakeTask, began chan struct{}, flags int) (*child, int) {
	t.Helper()
	c := startChild(t, "read", m.path(a), "4096", strconv.Itoa(flags))
	tid, err := strconv.Atoi(c.line(t))
	require.NoError(t, err)
	<-began
	return c, tid
}

// A fresh signal does not reach the program: the read ends with its bytes.
func TestYoungInterrupt(t *testing.T) {
	b := newFake()
	a, began, let := blocked(b, "a")
	m := mount(t, b)
	c, tid := reader(t, m, a, began, unix.O_DIRECT)
	for range 3 {
		require.NoError(t, signalThread(c.Process.Pid, tid, syscall.SIGUSR1))
		time.Sleep(100 * time.Millisecond)
	}
	close(let)
	require.Equal(t, fmt.Sprintf("4096 %x", sha256.Sum256(a.content)), c.line(t))
}

// Nor does an old one that asks for nothing, such as a timer's.
func TestOldTimer(t *testing.T) {
	b := newFake()
	a, began, let := blocked(b, "a")
	m := mount(t, b, func(o *Options) { o.InterruptGrace = 20 * time.Millisecond })
	c, tid := reader(t, m, a, began, unix.O_DIRECT)
	for range 10 {
		require.NoError(t, signalThread(c.Process.Pid, tid, syscall.SIGUSR1))
		time.Sleep(20 * time.Millisecond)
	}
	close(let)
	require.Equal(t, fmt.Sprintf("4096 %x", sha256.Sum256(a.content)), c.line(t))
}

// One that asks the program to end does when it has waited for InterruptGrace.
func TestOldInterrupt(t *testing.T) {
	b := newFake()
	a, began, _ := blocked(b, "a")
	m := mount(t, b, func(o *Options) { o.InterruptGrace = 200 * time.Millisecond })
	c, tid := reader(t, m, a, began, unix.O_DIRECT)
	sent := time.Now()
	require.NoError(t, signalThread(c.Process.Pid, tid, syscall.SIGINT))
	require.Equal(t, "EINTR", c.line(t))
	require.GreaterOrEqual(t, time.Since(sent), 200*time.Millisecond)
	require.Less(t, time.Since(sent), time.Second)
}

// A killed reader is gone within two seconds, whether it reads through the
// page cache, around it, or through a mapping; and others are not disturbed.
func TestKilledReader(t *testing.T) {
	b := newFake()
	a, began, _ := blocked(b, "a")
	good := b.add("good", 4096)
	m := mount(t, b)
	for name, start := range map[string]func() *child{
		"buffered": func() *child { c, _ := reader(t, m, a, began, 0); return c },
		"direct":   func() *child { c, _ := reader(t, m, a, began, unix.O_DIRECT); return c },
		"mmap":     func() *child { c := startChild(t, "mmap", m.path(a)); <-began; return c },
	} {
		t.Run(name, func(t *testing.T) {
			// Let the kernel forget what a killed reader left under way.
			b.change(func() { a.Key.Version = versionID(name) })
			c := start()
			killed := time.Now()
			require.NoError(t, c.Process.Kill())
			require.Error(t, c.Wait())
			require.Less(t, time.Since(killed), 2*time.Second)
			require.Equal(t, good.content, readAll(t, m.path(good)))
		})
	}
}

// A reader killed while it waits in open or stat is gone as fast.
func TestKilledInLookup(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	var in atomic.Bool
	m := mount(t, b)
	b.change(func() {
		b.lookup = func(ctx context.Context, _ pieces.TaskID) error {
			in.Store(true)
			<-ctx.Done()
			return ctx.Err()
		}
	})
	c := startChild(t, "read", m.path(a), "4096", "0")
	settled(t, in.Load)
	killed := time.Now()
	require.NoError(t, c.Process.Kill())
	require.Error(t, c.Wait())
	require.Less(t, time.Since(killed), 2*time.Second)
}
