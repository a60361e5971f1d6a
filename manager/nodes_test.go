package manager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/pieces"
)

// fakeBeats remembers the batches it was given, and fails while fail is set.
type fakeBeats struct {
	batches [][]store.Scheduler
	// news and times are the hosts of each batch.
	news, times [][]store.Host
	fail        error
	// hold, if set, is what Beat waits for; begun tells that it does.
	hold, begun chan struct{}
}

func (f *fakeBeats) Beat(_ context.Context, schedulers []store.Scheduler, changed, same []store.Host) error {
	if f.hold != nil {
		f.begun <- struct{}{}
		<-f.hold
	}
	if f.fail != nil {
		return f.fail
	}
	f.batches = append(f.batches, schedulers)
	f.news, f.times = append(f.news, changed), append(f.times, same)
	return nil
}

func host(i byte) node {
	return node{host: &store.Host{Cluster: DefaultCluster, Host: pieces.Host{ID: pieces.NewHostID([16]byte{i}), IP: "10.0.0.1"}}}
}

// A thousand hosts that register while a batch is being written share the next
// one.
func TestRegistrationsAreWrittenTogether(t *testing.T) {
	f := &fakeBeats{hold: make(chan struct{}), begun: make(chan struct{}, 10)}
	ns := testNodes(f, newClock())
	const n = 200
	errs := make(chan error, n)
	register := func(i int) { go func() { errs <- ns.keepAlive(context.Background(), host(byte(i))) }() }
	register(0)
	<-f.begun
	for i := 1; i < n; i++ {
		register(i)
	}
	require.Eventually(t, func() bool {
		ns.mu.Lock()
		defer ns.mu.Unlock()
		return ns.next != nil && len(ns.next.beats) == n-1
	}, 30*time.Second, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, pieces.Canceled, pieces.KindOf(ns.keepAlive(ctx, host(250))), "who gives up does not wait")
	close(f.hold)
	for range n {
		require.NoError(t, <-errs)
	}
	require.Len(t, f.news, 2)
	require.Len(t, f.news[1], n)
	require.True(t, slices.IsSortedFunc(f.news[1], func(a, b store.Host) int { return cmp.Compare(a.Host.ID, b.Host.ID) }))

	// From now on only their times are written.
	for i := range n {
		require.NoError(t, ns.keepAlive(t.Context(), host(byte(i))))
	}
	require.Len(t, f.news, 2)
	f.hold = nil
	ns.flush(t.Context())
	require.Empty(t, f.news[2])
	require.Len(t, f.times[2], n)
}

// clock stands still until it is told to advance.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.UnixMilli(1_800_000_000_000)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func testNodes(f *fakeBeats, c *clock) *nodes {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return newNodes(f, 15*time.Second, c.now, time.Time{}, logrus.NewEntry(l), nil)
}

func scheduler(i int) node {
	return node{scheduler: &store.Scheduler{Cluster: DefaultCluster, Address: fmt.Sprintf("s%d:8002", i)}}
}

func TestKeepAlivesAreWrittenInOneBatch(t *testing.T) {
	f, c := &fakeBeats{}, newClock()
	ns := testNodes(f, c)
	const n = 50
	for i := range n {
		require.NoError(t, ns.keepAlive(t.Context(), scheduler(i)))
	}
	require.Len(t, f.batches, n, "each is written as it registers")
	f.batches = nil
	for range 10 {
		c.advance(100 * time.Millisecond)
		for i := range n {
			require.NoError(t, ns.keepAlive(t.Context(), scheduler(i)))
		}
	}
	require.Empty(t, f.batches)
	ns.flush(t.Context())
	require.Len(t, f.batches, 1)
	require.Len(t, f.batches[0], n)
	require.Equal(t, c.now(), f.batches[0][0].Seen)
	ns.flush(t.Context())
	require.Len(t, f.batches, 1, "nothing new, nothing written")
}

func TestANodeThatChangedIsWrittenAtOnce(t *testing.T) {
	f, c := &fakeBeats{}, newClock()
	ns := testNodes(f, c)
	n := scheduler(1)
	require.NoError(t, ns.keepAlive(t.Context(), n))
	n = scheduler(1)
	n.scheduler.Version = "v2"
	require.NoError(t, ns.keepAlive(t.Context(), n))
	require.Len(t, f.batches, 2)
}

func TestABatchThatFailsIsWrittenLater(t *testing.T) {
	f, c := &fakeBeats{}, newClock()
	ns := testNodes(f, c)
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(1)))
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(2)))
	c.advance(time.Second)
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(1)))
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(2)))

	f.fail = errors.New("disk on fire")
	f.batches = nil
	ns.flush(t.Context())
	require.Error(t, ns.keepAlive(t.Context(), scheduler(3)), "a new node must be told")
	require.NoError(t, ns.leave(scheduler(2).key(), func() error { return nil }))
	f.fail = nil
	ns.flush(t.Context())
	require.Equal(t, [][]store.Scheduler{{{Cluster: DefaultCluster, Address: "s1:8002", Seen: c.now()}}}, f.batches,
		"who left meanwhile does not come back")
}

func TestSilentNodesAreDroppedFromMemory(t *testing.T) {
	f, c := &fakeBeats{}, newClock()
	ns := testNodes(f, c)
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(1)))
	c.advance(15*time.Second - 1)
	ns.flush(t.Context())
	require.Len(t, ns.beats, 1)
	c.advance(1)
	ns.flush(t.Context())
	require.Empty(t, ns.beats)
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(1)))
	require.Len(t, f.batches, 2, "back again: written at once")
}

func TestNodesAreBounded(t *testing.T) {
	ns := testNodes(&fakeBeats{}, newClock())
	for i := range maxNodes {
		ns.beats[scheduler(i).key()] = beat{node: scheduler(i)}
	}
	require.NoError(t, ns.keepAlive(t.Context(), scheduler(0)))
	require.Equal(t, pieces.Full, pieces.KindOf(ns.keepAlive(t.Context(), scheduler(maxNodes))))
}

func TestActiveSince(t *testing.T) {
	start := newClock().now()
	since := func(before time.Time, after time.Duration) time.Time {
		c := newClock()
		ns := newNodes(&fakeBeats{}, 15*time.Second, c.now, before, nil, nil)
		c.advance(after)
		return ns.activeSince()
	}
	limit := 15*time.Second - time.Millisecond
	require.Equal(t, start.Add(10*time.Second-limit), since(time.Time{}, 10*time.Second), "nobody was there before")
	hourAgo := start.Add(-time.Hour)
	require.Equal(t, hourAgo.Add(-limit), since(hourAgo, 10*time.Second), "who lived when the last manager went")
	require.Equal(t, start.Add(15*time.Second-limit), since(hourAgo, 15*time.Second), "but everyone had the time now")
	require.Equal(t, start.Add(-limit), since(start.Add(time.Hour), 0), "a clock that was ahead")
}
