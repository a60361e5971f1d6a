package announce

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/pieces/ring"
	"damselfly/proto/schedulerpb"
)

var (
	self      = pieces.HostID(strings.Repeat("1a", 16))
	other     = pieces.HostID(strings.Repeat("2b", 16))
	bigFacts  = factsOf(100<<20, "big")
	oneFacts  = factsOf(10_000, "small")
	tinyFacts = factsOf(5, "tiny")
)

func factsOf(size int64, tag string) pieces.Facts {
	return pieces.Facts{Size: size, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"` + tag + `"`}}
}

func newTask(t *testing.T, name string) *pieces.Task {
	t.Helper()
	task, err := pieces.NewTask("http://origin.test/"+name, pieces.Options{}, nil)
	require.NoError(t, err)
	return task
}

// tasksOwnedBy returns n Tasks whose owner among all is addr.
func tasksOwnedBy(t *testing.T, n int, addr string, all ...string) (out []*pieces.Task) {
	t.Helper()
	r := ring.New(all)
	for i := 0; len(out) < n && i < 10000; i++ {
		if task := newTask(t, fmt.Sprint(i)); r.Owner(string(task.ID)) == addr {
			out = append(out, task)
		}
	}
	require.Len(t, out, n)
	return out
}

// quickly returns options whose timings suit tests.
func quickly(o Options) Options {
	o.Host = pieces.Host{ID: self, Hostname: "me", IP: "127.0.0.1", PeerPort: 1, UploadPort: 2, Type: o.Host.Type}
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Heartbeat, beatEvery)
	set(&o.AnnounceEvery, time.Hour)
	set(&o.RefreshEvery, time.Hour)
	set(&o.RetryEvery, 10*time.Millisecond)
	set(&o.RetryMost, 50*time.Millisecond)
	set(&o.ReturnAfter, 20*time.Millisecond)
	set(&o.AttemptTimeout, 400*time.Millisecond)
	set(&o.CallTimeout, time.Second)
	if os.Getenv("ANNOUNCE_LOG") != "" {
		l := logrus.New()
		l.SetLevel(logrus.DebugLevel)
		o.Log = logrus.NewEntry(l)
	}
	return o
}

// running is a Client that runs until the test, or stop, ends it; then none of
// its goroutines may be left.
func running(t *testing.T, o Options) (c *Client, stop func()) {
	t.Helper()
	c, err := New(quickly(o))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(soon):
			t.Fatalf("Run does not end:\n%s", stacks())
		}
		requireNoGoroutines(t)
	}
	t.Cleanup(stop)
	return c, stop
}

// requireNoGoroutines fails if one of this package, tests aside, is left.
func requireNoGoroutines(t *testing.T) {
	t.Helper()
	for g := range strings.SplitSeq(stacks(), "\n\n") {
		for line := range strings.SplitSeq(g, "\n") {
			if strings.HasPrefix(line, "damselfly/daemon/announce.(*") && !strings.Contains(line, "(*fake") && !strings.Contains(line, "(*served)") {
				t.Fatalf("a goroutine outlived Run:\n%s", g)
			}
		}
	}
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// heard is a Handler that hands events to the test.
type heard chan Event

func (h heard) HandleEvent(e Event) { h <- e }

func newHeard() heard { return make(heard, 1000) }

func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(soon):
		t.Fatalf("nothing came:\n%s", stacks())
		panic("unreachable")
	}
}

// event waits for an event of type E and skips others.
func event[E Event](t *testing.T, h heard) E {
	t.Helper()
	for {
		if e, ok := wait(t, h).(E); ok {
			return e
		}
	}
}

func nothing[T any](t *testing.T, ch <-chan T, within time.Duration) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("unexpected %+v", v)
	case <-time.After(within):
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s\n%s", what, stacks())
		}
	}
}

func register(t *testing.T, c *Client, task *pieces.Task, h Handler, inv PeerInventory) *Peer {
	t.Helper()
	p, _, err := c.Register(context.Background(), RegisterRequest{Task: task, CanFetch: true}, h, inv)
	require.NoError(t, err)
	p.Start()
	return p
}

// told waits for an announcement that begins an inventory.
func told(t *testing.T, f *fakeScheduler) []*schedulerpb.InventoryItem {
	t.Helper()
	for {
		if m := wait(t, f.announced); m.InventoryBegins {
			return m.Inventory
		}
	}
}

func span(first, end int) []pieces.Extent { return []pieces.Extent{{First: first, End: end}} }

func sumRun(first, n int, setter pieces.HostID) pieces.SumRun {
	r := pieces.SumRun{First: first, Setter: setter}
	for i := range n {
		r.Sums = append(r.Sums, pieces.SumOf([]byte(fmt.Sprint(first+i))))
	}
	return r
}

// next waits for the next message of the given session that has a body of
// interest, as chosen by get.
func next[B any](t *testing.T, s *fakeSession, get func(*schedulerpb.PeerMessage) *B) (*schedulerpb.PeerMessage, *B) {
	t.Helper()
	for {
		m := wait(t, s.in)
		if b := get(m); b != nil {
			return m, b
		}
	}
}
