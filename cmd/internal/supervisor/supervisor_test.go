package supervisor

import (
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func alive(pid int) bool {
	s, err := (&target{pid: pid}).state()
	return err == nil && s != 'Z'
}

func TestSilence(t *testing.T) {
	now := time.Unix(0, 0)
	s := newSilence(time.Second, now)
	for i := range 3 {
		now = now.Add(time.Second)
		require.Equal(t, time.Duration(i+1)*time.Second, s.tick(now))
	}
	now = now.Add(time.Hour) // we did not run
	require.Equal(t, 5*time.Second, s.tick(now))
	s.heard()
	now = now.Add(time.Second)
	require.Equal(t, time.Second, s.tick(now))
}

// The daemon and all of its process group are killed: whoever waited in the
// mount gets an error, and the mount goes. The child was alive all the time.
func TestKilledDaemonLeavesNoMount(t *testing.T) {
	d := startDaemon(t)
	child := d.child()
	freed := d.reader()
	killed := time.Now()
	require.NoError(t, unix.Kill(-d.cmd.Process.Pid, unix.SIGKILL))
	requireFreed(t, freed, killed, time.Second)
	d.within(2*time.Second, func() bool { return !d.mounted() })
	d.within(2*time.Second, func() bool { return !alive(child) })
	require.Contains(t, d.logged(), "the daemon is gone without a clean stop")
}

// What frees the readers of a killed daemon is the kernel: the child holds no
// descriptor of the connection, and need not run.
func TestKilledDaemonWithAStoppedChild(t *testing.T) {
	d := startDaemon(t)
	child := d.child()
	freed := d.reader()
	require.NoError(t, unix.Kill(child, unix.SIGSTOP))
	d.within(2*time.Second, (&target{pid: child}).stopped)
	killed := time.Now()
	d.signal(syscall.SIGKILL)
	requireFreed(t, freed, killed, time.Second)
	require.True(t, d.mounted(), "who takes it off is stopped")
	require.NoError(t, unix.Kill(child, unix.SIGCONT))
	d.within(2*time.Second, func() bool { return !d.mounted() })
}

// A stopped daemon's readers are freed after Mute; continued, it learns why.
func TestStoppedDaemonIsCutOff(t *testing.T) {
	d := startDaemon(t)
	d.child()
	freed := d.reader()
	stopped := time.Now()
	d.signal(syscall.SIGSTOP)
	requireFreed(t, freed, stopped, testMute+time.Second)
	require.Greater(t, time.Since(stopped), testMute/2, "it was stopped")
	d.within(2*time.Second, func() bool { return !d.mounted() })
	d.signal(syscall.SIGCONT)
	require.Equal(t, "true", d.ask("remove"))
	require.Contains(t, d.logged(), "the daemon is stopped")
	require.Contains(t, d.logged(), "the daemon answers again")
}

// One that is stopped for a shorter time keeps its mount.
func TestShortStop(t *testing.T) {
	d := startDaemon(t)
	d.child()
	d.signal(syscall.SIGSTOP)
	time.Sleep(testMute / 4)
	d.signal(syscall.SIGCONT)
	time.Sleep(testMute)
	require.True(t, d.mounted())
	require.NotContains(t, d.logged(), "the daemon is stopped")
}

// Who wakes up with the daemon does not blame it.
func TestPauseOfBoth(t *testing.T) {
	d := startDaemon(t)
	child := d.child()
	require.NoError(t, unix.Kill(child, unix.SIGSTOP))
	d.signal(syscall.SIGSTOP)
	time.Sleep(testMute + testMute/4)
	require.NoError(t, unix.Kill(child, unix.SIGCONT))
	time.Sleep(testMute / 4) // the daemon takes a little longer
	d.signal(syscall.SIGCONT)
	require.Equal(t, child, d.child())
	require.True(t, d.mounted())
	require.NotContains(t, d.logged(), "the daemon is stopped")
}

// A daemon that runs but does not beat writes its stacks and ends.
func TestWedgedDaemonWritesItsStacks(t *testing.T) {
	d := startDaemon(t)
	d.child()
	freed := d.reader()
	require.Equal(t, "wedged", d.ask("wedge"))
	requireFreed(t, freed, time.Now(), testMute+time.Second)
	d.within(5*time.Second, func() bool { return !d.mounted() })
	<-d.ended
	log := d.logged()
	require.Contains(t, log, "it gets SIGQUIT")
	require.Contains(t, log, "SIGQUIT: quit")
	require.Contains(t, log, "supervisor.(*Guard).run", "the stacks tell where it hangs")
}

// A mount that nobody serves is cut off, though the daemon beats.
func TestDeafMountIsCutOff(t *testing.T) {
	d := startDaemon(t, "deaf")
	child := d.child()
	d.within(testMute+3*time.Second, func() bool { return !d.mounted() })
	require.Contains(t, d.logged(), "a mount of this daemon does not answer and is cut off; stacks follow")
	require.Contains(t, d.logged(), "goroutine ")
	require.Equal(t, "true", d.ask("remove"))
	require.Equal(t, child, d.child(), "both live on")
}

func TestCleanStop(t *testing.T) {
	d := startDaemon(t)
	child := d.child()
	require.Equal(t, "<nil> <nil>", d.ask("close"))
	require.False(t, alive(child), "Close waits for it")
	<-d.ended
	require.Empty(t, strings.TrimSpace(d.logged()), "a clean stop is nothing to talk about")
}

// A signal that ends daemons does not end the child before its daemon.
func TestChildOutlivesTheDaemonsSignals(t *testing.T) {
	d := startDaemon(t)
	child := d.child()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		d.within(2*time.Second, func() bool { // it may not yet be ready for them
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child))
			return err == nil && ignores(string(b), s)
		})
		require.NoError(t, unix.Kill(child, s))
	}
	time.Sleep(2 * testBeat)
	require.Equal(t, child, d.child())
	sid, err := unix.Getsid(child)
	require.NoError(t, err)
	require.Equal(t, child, sid, "a session of its own")
}

// ignores reads the SigIgn mask of proc(5).
func ignores(status string, s syscall.Signal) bool {
	var mask uint64
	_, rest, _ := strings.Cut(status, "SigIgn:")
	_, err := fmt.Sscanf(strings.TrimSpace(rest), "%x", &mask)
	return err == nil && mask>>(uint(s)-1)&1 == 1
}

// A killed child does no harm, and the next one does its work.
func TestKilledChildIsReplaced(t *testing.T) {
	d := startDaemon(t)
	first := d.child()
	require.NoError(t, unix.Kill(first, unix.SIGKILL))
	d.within(5*time.Second, func() bool { return d.child() != first })
	require.True(t, d.mounted())
	require.False(t, alive(first))
	freed := d.reader()
	killed := time.Now()
	d.signal(syscall.SIGKILL)
	requireFreed(t, freed, killed, time.Second)
	d.within(2*time.Second, func() bool { return !d.mounted() })
}

// The child has nothing open of what the daemon has, but stderr; not even what
// the daemon inherited.
func TestChildHoldsNoDescriptors(t *testing.T) {
	d := startDaemon(t)
	its := descriptors(t, d.child())
	var shared []string
	own := map[string]bool{}
	for fd, to := range descriptors(t, d.cmd.Process.Pid) {
		own[to] = true
		// Anonymous ones have all the same name.
		if slices.Contains(slices.Collect(maps.Values(its)), to) && to != os.DevNull && !strings.HasPrefix(to, "anon_inode:") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			shared = append(shared, fd+" "+to)
		}
	}
	require.True(t, own["/dev/fuse"], "the daemon has the connection")
	require.True(t, own["/dev/zero"], "the daemon has what it inherited")
	require.Len(t, shared, 1, "%s", shared)
	require.Regexp(t, "^2 ", shared[0])
}

// descriptors are those of a process, and what they lead to.
func descriptors(t *testing.T, pid int) map[string]string {
	t.Helper()
	all := map[string]string{}
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if to, err := os.Readlink(dir + e.Name()); err == nil {
			all[e.Name()] = to
		}
	}
	return all
}

// Asked to, the child becomes the next daemon: of one that died, and of one
// that is stopped.
func TestRestart(t *testing.T) {
	for name, fault := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, "restart")
			child := d.child()
			t.Cleanup(func() { endFamily(d, child) })
			d.signal(fault)
			// The same process, with a supervisor of its own.
			d.within(20*time.Second, func() bool {
				b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
				return !strings.Contains(string(b), "\x00"+supervise+"\x00") && d.mounted() && len(children(child)) == 1
			})
			<-d.ended
			require.Contains(t, d.logged(), "a new daemon is started")
		})
	}
}

// endFamily ends a daemon that was started by a supervisor, and those it would
// be followed by.
func endFamily(d *daemon, pid int) {
	for alive(pid) {
		for _, c := range children(pid) {
			_ = unix.Kill(c, unix.SIGKILL)
		}
		_ = unix.Kill(pid, unix.SIGKILL)
		time.Sleep(20 * time.Millisecond)
	}
	_ = unix.Unmount(d.dir, unix.MNT_DETACH)
}

// children are those of all threads of a process.
func children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // only a bad pattern errs
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for f := range strings.FieldsSeq(string(b)) {
			if c, err := strconv.Atoi(f); err == nil {
				pids = append(pids, c)
			}
		}
	}
	return pids
}

// startUser starts a daemon as an ordinary user, in a mount namespace where the
// device is open to all, as it usually is; fusectl may be in /sys or not.
func startUser(t *testing.T, fusectl bool) *daemon {
	t.Helper()
	d := newDaemon(t)
	require.NoError(t, os.Chown(d.dir, 65534, 65534))
	top := filepath.Dir(d.dir)
	binary, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(top+"/test", binary, 0o755))
	script := "mknod $0/fuse c 10 229; chmod 0666 $0/fuse; mount --bind $0/fuse /dev/fuse; "
	if fusectl {
		script += "mount -t fusectl none /sys/fs/fuse/connections; "
	} else {
		script += "mount -t tmpfs none /sys/fs/fuse/connections; "
	}
	keeper := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-ec", script+"echo made; exec cat", top)
	in, err := keeper.StdinPipe()
	require.NoError(t, err)
	out, err := keeper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, keeper.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, keeper.Wait())
	})
	_, err = io.ReadFull(out, make([]byte, len("made\n")))
	require.NoError(t, err)
	proc := fmt.Sprintf("/proc/%d/", keeper.Process.Pid)
	d.mounts = proc + "mountinfo"
	d.enter = []string{"nsenter", "--mount=" + proc + "ns/mnt", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", top + "/test"}
	d.start()
	return d
}

// As an ordinary user: the helper takes the mount off, and the connection is
// aborted through its file in /sys. Without that, a stopped daemon is killed:
// nothing else frees its readers.
func TestOrdinaryUser(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   syscall.Signal
		fusectl bool
	}{
		{"killed", syscall.SIGKILL, true},
		{"stopped", syscall.SIGSTOP, true},
		{"stopped without fusectl", syscall.SIGSTOP, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startUser(t, c.fusectl)
			d.child()
			freed := d.reader()
			since := time.Now()
			d.signal(c.fault)
			requireFreed(t, freed, since, testMute+time.Second)
			d.within(5*time.Second, func() bool { return !d.mounted() })
			switch {
			case c.fault == syscall.SIGKILL:
			case c.fusectl:
				d.signal(syscall.SIGCONT)
				require.Equal(t, "true", d.ask("remove"))
			default:
				<-d.ended
				require.Contains(t, d.logged(), "the daemon is killed: abort the connection")
			}
		})
	}
}
