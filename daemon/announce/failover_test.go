package announce

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
)

func items(n int) []InventoryItem {
	out := make([]InventoryItem, n)
	for i := range out {
		out[i] = InventoryItem{pieces.Key{Task: pieces.TaskID(fmt.Sprintf("%064x", i)), Version: bigFacts.VersionID()}, 1 + i%7}
	}
	return out
}

func TestABigInventoryIsPaged(t *testing.T) {
	f := newFakeScheduler(t)
	const n, page = 100_000, 4096
	pages := 0
	all := items(n)
	running(t, Options{Schedulers: []string{f.addr}, Inventory: func() []InventoryItem { return all }, AttemptTimeout: soon})
	seen := map[string]bool{}
	for len(seen) < n {
		m := wait(t, f.announced)
		require.LessOrEqual(t, len(m.Inventory), page)
		if len(m.Inventory) == 0 {
			continue // that the host is there
		}
		require.Equal(t, pages == 0, m.InventoryBegins, "only the first page begins")
		pages++
		for _, it := range m.Inventory {
			seen[it.Task] = true
		}
	}
	require.Equal(t, (n+page-1)/page, pages)
	wait(t, f.sessions) // on which it can be asked for
}

func TestAnInventoryIsToldAgainWhenItChangedOrWasForgotten(t *testing.T) {
	f := newFakeScheduler(t)
	var all atomic.Pointer[[]InventoryItem]
	put := func(its []InventoryItem) { all.Store(&its) }
	put(items(3))
	f.set(func() { f.known = 3 })
	c, _ := running(t, Options{Schedulers: []string{f.addr}, Inventory: func() []InventoryItem { return *all.Load() },
		AnnounceEvery: 20 * time.Millisecond})
	require.Len(t, told(t, f), 3)
	again := func() {
		t.Helper()
		for range 3 {
			require.False(t, wait(t, f.announced).InventoryBegins, "it is known")
		}
	}
	again()
	c.ringChanged()
	again()
	put(items(2))
	c.ringChanged()
	require.Len(t, told(t, f), 2)
	f.set(func() { f.known = 0 })
	require.Len(t, told(t, f), 2, "forgotten")
	f.set(func() { f.known = 2 })
	put(nil)
	c.ringChanged()
	require.Empty(t, told(t, f), "an empty one is told too")
}

func TestAnIdleHostIsAsked(t *testing.T) {
	f := newFakeScheduler(t)
	task := newTask(t, "x")
	key := pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}
	var c *Client
	h := newHeard()
	asked, answered := make(chan pieces.Key, 10), make(chan error, 10)
	holds := atomic.Bool{}
	c, _ = running(t, Options{Schedulers: []string{f.addr},
		Inventory: func() []InventoryItem { return []InventoryItem{{key, 4}} },
		Resume: func(ctx context.Context, k pieces.Key) bool {
			asked <- k
			if holds.Load() {
				_, _, err := c.Register(ctx, RegisterRequest{Task: task, Version: k.Version, Facts: &bigFacts, Held: span(0, 4)}, h, nil)
				answered <- err
			}
			return holds.Load()
		}})
	s := wait(t, f.sessions)
	resume := func() {
		s.say(key, &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Resume{Resume: &schedulerpb.Resume{}}})
		require.Equal(t, key, wait(t, asked))
	}
	resume()
	left := wait(t, f.left)
	require.Equal(t, string(key.Version), left.Version, "nothing is held any more")
	require.Zero(t, left.Pieces)
	holds.Store(true)
	resume()
	m := wait(t, f.registers)
	require.True(t, m.Resumed)
	require.True(t, m.Stay, "it asked, so it must not send us on")
	require.EqualValues(t, 4, m.Held[0].End)
	require.NoError(t, wait(t, answered))
}

// An owner that is back asks for the Task: the Peer follows it and leaves the
// stand-in. The stand-in asking back is not followed.
func TestPeersMoveTowardsTheOwner(t *testing.T) {
	owner, stand, task := pair(t)
	key := pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}, ReturnAfter: time.Hour, ReturnMost: time.Hour,
		Inventory: func() []InventoryItem { return []InventoryItem{{key, 1}} }})
	h := newHeard()
	p := register(t, c, task, h, nil)
	owner.stop()
	event[SessionUp](t, h)
	require.Equal(t, stand.addr, p.Scheduler())
	eventually(t, "it is counted", func() bool { return c.Stats().Failovers == 1 })
	for len(owner.sessions) > 0 {
		<-owner.sessions
	}
	owner.start(t)
	s := wait(t, owner.sessions) // for the inventory; not trusted yet
	resume := &schedulerpb.SchedulerMessage_Resume{Resume: &schedulerpb.Resume{}}
	s.say(key, &schedulerpb.SchedulerMessage{Body: resume})
	require.Equal(t, owner.addr, event[SessionUp](t, h).Registration.Scheduler)
	left := wait(t, stand.left)
	require.Equal(t, owner.addr, left.Moved)
	eventually(t, "it is counted", func() bool { return c.Stats().Moved == 1 })
	wait(t, stand.sessions).say(key, &schedulerpb.SchedulerMessage{Body: resume})
	nothing(t, h, 50*time.Millisecond)
	require.Equal(t, owner.addr, p.Scheduler())
}

// What a scheduler that was stopped says when it runs again is dropped: its
// sessions are over.
func TestLateWordsOfAnOlderSession(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	p := register(t, c, task, h, nil)
	p.Want(span(0, 1), pieces.Demand, nil)
	old := wait(t, owner.sessions)
	p.mu.Lock()
	session := p.session
	p.mu.Unlock()
	owner.mute()
	old.say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{Id: 9}}})
	event[SessionUp](t, h)
	require.Equal(t, stand.addr, p.Scheduler())
	owner.unmute()
	// Even what had been read already.
	for _, e := range []Event{Lease{ID: 5, Extent: pieces.Extent{First: 0, End: 1}}, moved{owner.addr}, rejected{"late", 1}, rejected{"late", 0}} {
		p.receive(session, e)
	}
	nothing(t, h, 50*time.Millisecond)
	require.Equal(t, stand.addr, p.Scheduler())
}

// The answer to a registration that comes when the host has long gone to the
// next scheduler: the Peer is where the second answer came from.
func TestALateAnswerToARegistration(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}, AttemptTimeout: 100 * time.Millisecond})
	asked, goOn := make(chan struct{}), make(chan struct{})
	owner.set(func() {
		owner.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			close(asked)
			<-goOn
			return registered(bigFacts), nil
		}
	})
	p := register(t, c, task, newHeard(), nil)
	wait(t, asked)
	close(goOn)
	require.Equal(t, stand.addr, p.Scheduler())
	require.True(t, wait(t, stand.registers).OwnerTried)
}

// The ring changes while a registration is under way: it ends where it began,
// and the swarm moves when the scheduler says so.
func TestTheRingChangesDuringARegistration(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	m := newFakeManager(t, a.addr)
	task := tasksOwnedBy(t, 1, b.addr, a.addr, b.addr)[0]
	c, _ := running(t, Options{Managers: []string{m.addr}, RefreshEvery: 10 * time.Millisecond,
		AttemptTimeout: soon, CallTimeout: soon})
	a.set(func() {
		a.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			m.list(a.addr, b.addr)
			for end := time.Now().Add(soon / 2); len(addresses(c)) < 2 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			return registered(bigFacts), nil
		}
	})
	h := newHeard()
	p := register(t, c, task, h, nil)
	require.Equal(t, a.addr, p.Scheduler())
	p.Want(span(0, 1), pieces.Demand, nil)
	wait(t, a.sessions).say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Moved{Moved: &schedulerpb.Moved{Address: b.addr}}})
	require.Equal(t, b.addr, event[SessionUp](t, h).Registration.Scheduler)
	require.Equal(t, b.addr, wait(t, a.left).Moved)
}

// Two schedulers that name each other are asked no more often than maxMoves
// allows, and the one asked again is told to stay.
func TestMovedLoopsEnd(t *testing.T) {
	owner, stand, task := pair(t)
	var asked atomic.Int32
	names := func(f *fakeScheduler) func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return func(m *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			asked.Add(1)
			if m.Stay {
				return registered(bigFacts), nil
			}
			return &schedulerpb.RegisterPeerTaskReply{Moved: f.addr}, nil
		}
	}
	owner.set(func() { owner.register = names(stand) })
	stand.set(func() { stand.register = names(owner) })
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	p := register(t, c, task, newHeard(), nil)
	require.Equal(t, stand.addr, p.Scheduler())
	require.EqualValues(t, 3, asked.Load())
}

// Nobody is left: the handler learns since when, so that it need not wait anew.
func TestSinceWhenNobodyHears(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	p := register(t, c, task, h, nil)
	p.Want(span(0, 1), pieces.Demand, nil)
	wait(t, owner.sessions)
	stopped := time.Now()
	owner.mute()
	stand.mute()
	defer owner.unmute()
	defer stand.unmute()
	first := event[SessionDown](t, h)
	require.Greater(t, first.Since, stopped, "the stand-in may still be there")
	require.Less(t, event[SessionDown](t, h).Since.Sub(stopped), 2*beatEvery, "it is not")
}

func TestHysteresis(t *testing.T) {
	var h health
	now := time.Unix(1000, 0)
	const after, most, steady = time.Second, 8 * time.Second, time.Minute
	require.True(t, h.usable(now))
	require.False(t, h.rose(now, after, most))
	require.True(t, h.usable(now), "the first time at once")
	for _, wait := range []time.Duration{1, 2, 4, 8, 8} {
		require.True(t, h.fell(now, steady))
		require.False(t, h.fell(now, steady), "no news")
		require.False(t, h.usable(now))
		require.True(t, h.rose(now, after, most))
		require.False(t, h.usable(now.Add(wait*time.Second-1)))
		now = now.Add(wait * time.Second)
		require.True(t, h.usable(now))
		now = now.Add(steady / 2)
	}
	now = now.Add(steady)
	h.fell(now, steady)
	h.rose(now, after, most)
	require.True(t, h.usable(now.Add(after)), "forgiven")
}
