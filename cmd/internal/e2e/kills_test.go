package e2e

import (
	"errors"
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	readDeadline = 4 * time.Second
	mute         = 2 * time.Second
	shortTimes   = "fuse: {read-deadline: 4s}\nsupervisor: {beat: 200ms, mute: 2s}\n"
	healTime     = 30 * time.Second
)

var throughDaemon = []string{buffered, direct, mapped}

// Sixty-four readers of four kinds, while their daemon is killed, stopped and
// restarted under them. Who reads through the daemon gets an error at once, or
// when the supervisor finds a stopped daemon mute; who reads a complete file
// notices nothing; no byte is ever wrong; everything is right again when the
// daemon is.
func TestDaemonDiesUnderSixtyFourReaders(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	d := w.configured("h1", shortTimes)
	part, partURL := w.serve("part.bin", giB)
	partPath := w.add(d, partURL)
	whole, wholeURL := w.serve("whole.bin", 8*miB+5)
	wholePath := w.add(d, wholeURL)
	w.check(whole, wholePath)
	w.complete(d, wholeURL)

	var all []*readerProc
	for range 16 {
		for _, mode := range throughDaemon {
			all = append(all, w.startReader(mode, partPath, part))
		}
		all = append(all, w.startReader(passthrough, wholePath, whole))
	}
	rs := w.watch(all)
	rs.begun()
	rs.healed(healTime, rs.marks(), 1, buffered, direct, mapped, passthrough)

	// Killed.
	m := rs.marks()
	killed := time.Now()
	w.ok(d.Kill())
	rs.failed(time.Second, m, throughDaemon...)
	t.Logf("killed: every reader had its error after %s", time.Since(killed).Round(time.Millisecond))
	w.unmounted(d)
	rs.unharmed(m)
	m = rs.marks()
	w.ok(d.Start(w.ctx))
	t.Logf("killed: all read again %s after the start", rs.healed(healTime, m, 1, throughDaemon...).Round(time.Millisecond))

	// Stopped for longer than the supervisor waits.
	m = rs.marks()
	extra := w.startReader(direct, partPath, part)
	w.ok(lab.Until(w.ctx, healTime, "the extra reader", func() error {
		if oks, _ := extra.count(); oks == 0 {
			return errors.New("it has not read")
		}
		return nil
	}))
	w.ok(d.Stop())
	stopped := time.Now()
	time.Sleep(2 * readPause) // it is in a read that nobody answers
	w.ok(extra.cmd.Process.Kill())
	took := rs.failed(mute+2*time.Second, m, throughDaemon...)
	require.Greater(t, took, mute/2, "a stopped daemon answers nobody, and the supervisor takes its time")
	<-extra.done
	t.Logf("stopped: a reader killed meanwhile was gone after %s", time.Since(stopped).Round(time.Millisecond))
	require.Less(t, time.Since(stopped), mute+time.Second, "a reader killed while the daemon was stopped")
	w.unmounted(d)
	rs.unharmed(m)
	t.Logf("stopped: every reader had its error after %s", took.Round(time.Millisecond))
	m = rs.marks()
	w.ok(d.Continue())
	t.Logf("stopped: all read again %s after it went on", rs.healed(healTime, m, 1, throughDaemon...).Round(time.Millisecond))

	// Restarted.
	m = rs.marks()
	w.ok(d.Terminate(15 * time.Second))
	rs.failed(time.Second, m, throughDaemon...)
	w.unmounted(d)
	rs.unharmed(m)
	m = rs.marks()
	w.ok(d.Start(w.ctx))
	t.Logf("restarted: all read again %s after the start", rs.healed(healTime, m, 1, throughDaemon...).Round(time.Millisecond))

	errs := rs.check(readDeadline + time.Second)
	require.Empty(t, errs[passthrough])
	require.Positive(t, rs.deepest, "nobody was ever seen in state D")
	t.Logf("killed: 64 readers were gone after %s", rs.kill(2*time.Second).Round(time.Millisecond))
}

// unharmed wants the passthrough readers to read on as if nothing was.
func (rs *readers) unharmed(before map[*readerProc]mark) {
	rs.w.Helper()
	rs.healed(5*time.Second, rs.marks(), 2, passthrough)
	for _, r := range rs.all {
		if _, errs := r.count(); r.mode == passthrough && errs > before[r].errs {
			rs.w.Fatalf("a passthrough reader got an error: %v", r.errs)
		}
	}
}

// Two hundred and more readers wait for an origin that says nothing. Meanwhile
// a held file answers at once, any reader can be killed, and in the end all get
// an error, not later than the deadline.
func TestSilentOriginHoldsNobodyElse(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	d := w.configured("h1", shortTimes, "--memory", "256MiB")
	// The kernel is not to read it by itself: a handle of the other kind stays
	// open.
	held, heldURL := w.serve("held.bin", 8*miB)
	heldPath := w.add(d, heldURL)
	keep, err := os.Open(heldPath)
	w.ok(err)
	defer keep.Close()
	w.ok(held.CheckReader(keep, 0, held.Size))
	w.complete(d, heldURL)
	silent, silentURL := w.serve("silent.bin", 512*miB)
	silentPath := w.add(d, silentURL)
	_, err = os.Stat(silentPath) // its facts
	w.ok(err)

	w.ok(w.origin.Stop())
	stuck := w.stuckReads(silentPath, silent.Size, 200)
	var all []*readerProc
	for _, mode := range throughDaemon {
		for range 4 {
			all = append(all, w.startReader(mode, silentPath, silent))
		}
	}
	rs := w.watch(all)
	rs.begun()

	var slowest time.Duration
	buf := alignedBuffer(4 * kiB)
	for range 10 {
		forget(t, keep)
		reads := w.fuseReads(d)
		began := time.Now()
		f, err := os.Open(heldPath)
		w.ok(err)
		_, err = f.ReadAt(buf, 0)
		took := time.Since(began)
		w.ok(err)
		w.ok(held.Check(buf, 0))
		w.ok(f.Close())
		require.Greater(t, w.fuseReads(d), reads, "the daemon was asked")
		slowest = max(slowest, took)
	}
	require.Equal(t, "cached", xattr(t, heldPath, "mode"))
	require.Empty(t, stuck.ended(), "all 200 still wait")
	require.Less(t, slowest, 100*time.Millisecond, "the first 4 KiB of a held file")
	oks, errs := 0, 0
	for _, r := range all {
		o, e := r.count()
		oks, errs = oks+o, errs+e
	}
	require.Zero(t, oks, "nobody can have read")
	t.Logf("held file, 200 readers waiting: at most %s; %d errors so far", slowest.Round(100*time.Microsecond), errs)

	t.Logf("killed readers were gone after %s", rs.kill(2*time.Second).Round(time.Millisecond))
	stuck.wait(readDeadline + time.Second)
	w.ok(w.origin.Continue())
	w.ok(checkWithin(silent, silentPath, 4*miB, healTime))
}

// Go programs whose readers, in raw system calls, are signalled 100 times a
// second get their bytes and never EINTR, through the page cache and around it,
// though their reads wait through signals, however long. (A signal that meets
// one still pending is merged by the kernel.)
func TestSignalsDoNotReachReaders(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.configured("h1", shortTimes, "--origin-rate", "4MiB")
	f, url := w.serve("f.bin", 256*miB)
	path := w.add(d, url)
	modes := []string{direct, buffered, mapped}
	var all []*readerProc
	for _, mode := range modes {
		all = append(all, w.startReader(mode, path, f))
	}
	rs := w.watch(all)
	rs.begun()
	w.alarms(3*time.Second, all)
	w.ok(w.origin.Stop())
	w.alarms(5*time.Second/2, all)
	m := rs.marks()
	w.ok(w.origin.Continue())
	rs.healed(healTime, m, 1, modes...)
	require.Empty(t, rs.check(readDeadline+time.Second), "errors")
	for _, r := range all {
		t.Logf("%s: the longest read took %s, %d signals", r.mode, r.slowest(), r.signalled())
		require.GreaterOrEqual(t, r.signalled(), 20, "signals that arrived at the %s reader", r.mode)
		require.Greater(t, r.slowest(), 3*time.Second/2, "the %s reader waited through signals", r.mode)
	}
}

// alarms sends SIGALRM to the thread that reads, 100 times a second.
func (w *world) alarms(d time.Duration, all []*readerProc) {
	w.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, r := range all {
			w.ok(unix.Tgkill(r.cmd.Process.Pid, r.tid, unix.SIGALRM))
		}
	}
}
