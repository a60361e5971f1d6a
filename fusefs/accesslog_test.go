package fusefs

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
)

func TestAccessRoundTrip(t *testing.T) {
	at := time.Date(2026, 11, 23, 0, 31, 2, 123456000, time.UTC)
	for _, a := range []Access{
		{At: at, Op: "readdir"},
		{At: at, Took: 842 * time.Microsecond, Op: "read", Task: taskID("a"), Off: 1 << 40, Size: 131072, Hit: pieces.HitOrigin, PID: 4711},
		{At: at, Took: time.Hour, Op: "open", Task: taskID("b"), Errno: syscall.ESTALE},
		{At: at, Op: "read", Task: taskID("b"), Errno: syscall.Errno(3999)},
	} {
		line, err := a.AppendText(nil)
		require.NoError(t, err)
		require.Equal(t, byte('\n'), line[len(line)-1])
		got, dropped, err := ParseAccess(string(line))
		require.NoError(t, err)
		require.Zero(t, dropped)
		require.Equal(t, a, got)
		_, _, err = ParseAccess(strings.TrimSpace(string(line)) + " more")
		require.NoError(t, err, "a later version may say more")
	}
	_, dropped, err := ParseAccess("# dropped 12\n")
	require.NoError(t, err)
	require.EqualValues(t, 12, dropped)
}

func FuzzParseAccess(f *testing.F) {
	for _, s := range []string{"", "# dropped 0", "# dropped 7", "# dropped x", "2026-11-23T00:31:02.123456Z read - 0 0 0 none OK 0", "x read - 0 0 0 none OK 0",
		"2026-11-23T00:31:02.123456Z read zz 0 0 0 none OK 0", "2026-11-23T00:31:02.123456Z read - 0 0 0 far OK 0", "2026-11-23T00:31:02.123456Z read - a 0 0 none OK 0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, dropped, err := ParseAccess(s)
		if err != nil || dropped > 0 {
			require.Zero(t, a)
			return
		}
		line, err := a.AppendText(nil)
		require.NoError(t, err)
		again, _, err := ParseAccess(string(line))
		require.NoError(t, err, "%q", line)
		require.Equal(t, a, again)
	})
}

// openLog opens .df/accesslog for reading without waiting.
func openLog(t *testing.T, m *Mount) (lines func() []Access) {
	t.Helper()
	fd, err := unix.Open(m.Dir()+"/.df/accesslog", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return func() (list []Access) {
		var text []byte
		buf := make([]byte, 256<<10)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.EAGAIN {
				break
			}
			require.NoError(t, err)
			text = append(text, buf[:n]...)
		}
		for line := range strings.Lines(string(text)) {
			a, dropped, err := ParseAccess(line)
			require.NoError(t, err)
			require.Zero(t, dropped)
			list = append(list, a)
		}
		return list
	}
}

// The log tells of each request with what it asked and how it went.
func TestAccessLog(t *testing.T) {
	b := newFake()
	a, bad := b.add("a", 8192), b.add("bad", 4096)
	a.from = pieces.HitSeed
	bad.read = fails(pieces.Errorf(pieces.Denied, "no"))
	reg := prometheus.NewRegistry()
	m := mount(t, b, func(o *Options) { o.Registry = reg })
	readAll(t, m.path(a)) // unheard
	settled(t, func() bool { return m.OpenHandles() == 0 })
	lines := openLog(t, m)
	began := time.Now()
	require.NoError(t, preadErr(m.path(a), 4096, unix.O_DIRECT))
	require.Equal(t, unix.EACCES, preadErr(m.path(bad), 4096, unix.O_DIRECT))
	_, err := os.Stat(m.Dir() + "/none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = os.ReadDir(m.Dir())
	require.NoError(t, err)
	settled(t, func() bool { return m.OpenHandles() == 0 })

	var list []Access
	settled(t, func() bool {
		list = append(list, lines()...)
		return len(ops(list, "release")) == 2
	})
	for _, l := range list {
		require.WithinRange(t, l.At, began.Add(-time.Second), time.Now().Add(time.Second))
		require.Less(t, l.Took, time.Minute)
	}
	reads := ops(list, "read")
	require.NotEmpty(t, reads)
	require.Equal(t, a.Key.Task, reads[0].Task)
	require.Equal(t, pieces.HitSeed, reads[0].Hit)
	require.EqualValues(t, 4096, reads[0].Size)
	require.Zero(t, reads[0].Off)
	require.Zero(t, reads[0].Errno)
	require.EqualValues(t, os.Getpid(), threadGroup(t, reads[0].PID))
	last := reads[len(reads)-1]
	require.Equal(t, bad.Key.Task, last.Task)
	require.Equal(t, unix.EACCES, last.Errno)
	require.Equal(t, pieces.HitNone, last.Hit)
	require.Len(t, ops(list, "open"), 2)
	require.Len(t, ops(list, "readdir"), 1)
	lookups := ops(list, "lookup")
	require.Contains(t, lookups[len(lookups)-1].Errno.Error(), "no such file")

	require.InDelta(t, 8192+4096, testutil.ToFloat64(m.metrics.readBytes[pieces.HitSeed]), 0)
	count, err := testutil.GatherAndCount(reg, "damselfly_fuse_first_byte_seconds")
	require.NoError(t, err)
	require.Equal(t, 1, count)
}

// Who goes by a name is seen with the Task that the name leads to.
func TestAccessLogByName(t *testing.T) {
	b := newFake()
	a := b.add("a", 8192)
	b.names["model.bin"] = a.Key.Task
	m := mount(t, b)
	lines := openLog(t, m)
	_, err := os.Stat(m.Dir() + "/by-name/none")
	require.ErrorIs(t, err, os.ErrNotExist)
	readAll(t, m.Dir()+"/by-name/model.bin")
	_, err = os.ReadDir(m.Dir() + "/by-name")
	require.NoError(t, err)

	list := lines()
	lookups := ops(list, "lookup")
	require.Len(t, lookups, 4, "by-name, the name that is none, the name, and the Task it leads to")
	require.Equal(t, syscall.ENOENT, lookups[1].Errno)
	require.Empty(t, lookups[1].Task)
	require.Zero(t, lookups[2].Errno)
	require.Equal(t, a.Key.Task, lookups[2].Task)
	links := ops(list, "readlink")
	require.Len(t, links, 1)
	require.Equal(t, a.Key.Task, links[0].Task)
	require.EqualValues(t, len("../")+64, links[0].Size)
	require.Len(t, ops(list, "readdir"), 1)
}

func ops(list []Access, op string) (out []Access) {
	for _, a := range list {
		if a.Op == op {
			out = append(out, a)
		}
	}
	return out
}

// threadGroup is the process of a thread.
func threadGroup(t *testing.T, tid uint32) int {
	t.Helper()
	if tid == uint32(os.Getpid()) {
		return int(tid)
	}
	_, err := os.Stat("/proc/self/task/" + strconv.Itoa(int(tid)))
	require.NoError(t, err, "pid %d is no thread of ours", tid)
	return os.Getpid()
}

// Only who mounted may read it: it tells of private files too.
func TestAccessLogIsPrivate(t *testing.T) {
	m := mount(t, newFake())
	st, err := os.Stat(m.Dir() + "/.df/accesslog")
	require.NoError(t, err)
	require.EqualValues(t, 0o400, st.Mode().Perm())
	_, err = unix.Open(m.Dir()+"/.df/accesslog", unix.O_RDWR, 0)
	require.Equal(t, unix.EROFS, err)
}

// A reader that waits gets what comes, and the end when the mount ends.
func TestAccessLogWaits(t *testing.T) {
	b := newFake()
	a := b.add("a", 4096)
	m := mount(t, b)
	fd, err := unix.Open(m.Dir()+"/.df/accesslog", unix.O_RDONLY, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer)
	go func() {
		for {
			buf := make([]byte, 64<<10)
			n, err := unix.Read(fd, buf)
			answers <- answer{string(buf[:max(n, 0)]), err}
			if n <= 0 {
				return
			}
		}
	}()
	readAll(t, m.path(a))
	require.Contains(t, (<-answers).text, string(a.Key.Task))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- m.Close(ctx) }()
	for got := range answers {
		if got.text == "" {
			break // the end, or the connection is gone
		}
	}
	require.NoError(t, <-closed)
}

// Who does not keep up loses lines, and is told how many, in their place.
func TestAccessLogDrops(t *testing.T) {
	l := &accessLog{}
	r := l.open()
	defer l.remove(r)
	ctx := context.Background()
	const n = 10_000
	for i := range n {
		l.write(ctx, Access{At: time.Unix(int64(i), 0), Op: "read", Task: taskID("a"), Off: int64(i)})
	}
	require.LessOrEqual(t, len(r.lines), maxAccessBytes)
	var text []byte
	buf := make([]byte, 100_000)
	for k := r.take(buf); k > 0; k = r.take(buf) {
		text = append(text, buf[:k]...)
	}
	l.write(ctx, Access{At: time.Unix(n, 0), Op: "open"})
	text = append(text, buf[:r.take(buf)]...)
	seen, lost := 0, int64(0)
	for line := range strings.Lines(string(text)) {
		a, dropped, err := ParseAccess(line)
		require.NoError(t, err)
		if lost += dropped; dropped == 0 {
			require.Equal(t, time.Unix(int64(seen)+lost, 0).UTC(), a.At.UTC())
			seen++
		}
	}
	require.Positive(t, lost)
	require.EqualValues(t, n+1, int64(seen)+lost)
}

// While nobody listens a request costs a load; it allocates nothing either way
// but the line.
func BenchmarkAccessLog(b *testing.B) {
	l, ctx := &accessLog{}, context.Background()
	a := Access{Op: "read", Task: taskID("a")}
	b.Run("off", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.tell(ctx, l.began(), a)
		}
	})
	b.Run("on", func(b *testing.B) {
		r := l.open()
		defer l.remove(r)
		b.ReportAllocs()
		buf := make([]byte, 4096)
		for b.Loop() {
			l.tell(ctx, l.began(), a)
			r.take(buf)
		}
	})
}
