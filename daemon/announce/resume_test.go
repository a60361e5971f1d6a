package announce

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// pair is two schedulers and a Task that the first of them owns.
func pair(t *testing.T) (owner, stand *fakeScheduler, task *pieces.Task) {
	t.Helper()
	owner, stand = newFakeScheduler(t), newFakeScheduler(t)
	return owner, stand, tasksOwnedBy(t, 1, owner.addr, owner.addr, stand.addr)[0]
}

func inventory(held []pieces.Extent, sums []pieces.SumRun, leases map[pieces.LeaseID][]pieces.Extent) PeerInventory {
	return func() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) {
		return held, sums, leases
	}
}

func TestKilledSchedulerIsReplacedByTheNextOnTheRing(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	run := sumRun(2, 3, other)
	p := register(t, c, task, h, inventory(span(2, 5), []pieces.SumRun{run}, map[pieces.LeaseID][]pieces.Extent{7: span(5, 6)}))
	wait(t, owner.registers)
	wait(t, owner.sessions)
	require.Empty(t, stand.registers, "the owner is there")

	// The stand-in speaks before it has answered: that comes after SessionUp.
	stand.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		s := <-stand.sessions
		s.say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{Id: 7}}})
		time.Sleep(10 * time.Millisecond)
		stand.sessions <- s
		return registered(bigFacts), nil
	}
	owner.stop()

	down := wait(t, h).(SessionDown)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(down.Err))
	require.False(t, down.Final)
	require.Equal(t, stand.addr, wait(t, h).(SessionUp).Registration.Scheduler)
	require.Equal(t, LeaseEnd{ID: 7}, wait(t, h))
	require.Equal(t, stand.addr, p.Scheduler())

	m := wait(t, stand.registers)
	require.True(t, m.Resumed)
	require.True(t, m.OwnerTried)
	require.Equal(t, string(bigFacts.VersionID()), m.Version)
	f, err := wire.FactsFrom(m.Facts)
	require.NoError(t, err)
	require.Equal(t, bigFacts, f)
	require.EqualValues(t, 7, m.Leases[0].LeaseId)
	require.EqualValues(t, 2, m.Held[0].First)

	s := wait(t, stand.sessions)
	eventually(t, "inventory with sums", func() bool { // extents first, digests after
		_, held := next(t, s, (*schedulerpb.PeerMessage).GetHeld)
		if len(held.Sums) == 0 {
			return false
		}
		sums, err := wire.SumRunsFrom(held.Sums)
		require.NoError(t, err)
		require.Equal(t, []pieces.SumRun{run}, sums)
		return true
	})
	p.Want(span(8, 9), pieces.Demand, nil)
	next(t, s, (*schedulerpb.PeerMessage).GetWant)
}

func TestMuteSchedulerIsFoundByMissedHeartbeatsAndUsedAgainLater(t *testing.T) {
	owner, stand, task := pair(t)
	more := tasksOwnedBy(t, 3, owner.addr, owner.addr, stand.addr)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	p := register(t, c, task, h, nil)
	wait(t, owner.sessions)
	owner.mute()
	begin := time.Now()
	event[SessionDown](t, h)
	require.GreaterOrEqual(t, time.Since(begin), 2*beatEvery, "two beats may be late")
	event[SessionUp](t, h)
	require.Equal(t, stand.addr, p.Scheduler())

	state := func(addr string) bool {
		for _, s := range c.Schedulers() {
			if s.Address == addr {
				return s.Connected
			}
		}
		return false
	}
	require.False(t, state(owner.addr))
	require.True(t, state(stand.addr))
	// While it is down, nobody waits for it.
	begin = time.Now()
	q := register(t, c, more[1], newHeard(), nil)
	require.Less(t, time.Since(begin), 300*time.Millisecond)
	require.Equal(t, stand.addr, q.Scheduler())

	owner.unmute()
	eventually(t, "the owner answers", func() bool { return state(owner.addr) })
	eventually(t, "the owner is used again", c.links[owner.addr].usable)
	for len(owner.registers) > 0 {
		<-owner.registers
	}
	r := register(t, c, more[2], newHeard(), nil)
	require.Equal(t, owner.addr, r.Scheduler(), "new tasks go to it")
	require.False(t, wait(t, owner.registers).OwnerTried)
	require.Equal(t, stand.addr, p.Scheduler(), "old ones stay")
}

func TestSchedulerThatComesBackHearsAnInventory(t *testing.T) {
	f := newFakeScheduler(t)
	task := newTask(t, "x")
	key := pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}
	c, _ := running(t, Options{Schedulers: []string{f.addr}, Inventory: func() []InventoryItem { return []InventoryItem{{key, 12}, {keyA, 0}} }})
	items := told(t, f)
	require.Len(t, items, 1)
	require.EqualValues(t, 12, items[0].Pieces)
	eventually(t, "connected", func() bool { return c.Schedulers()[0].Connected })
	f.stop()
	eventually(t, "down", func() bool { return !c.Schedulers()[0].Connected })
	f.start(t)
	require.Equal(t, string(task.ID), told(t, f)[0].Task)
}

func TestBrokenStreamOfALiveSchedulerStaysWithIt(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	p := register(t, c, task, h, nil)
	for range 3 {
		wait(t, owner.sessions).end()
		event[SessionDown](t, h)
		require.Equal(t, owner.addr, event[SessionUp](t, h).Registration.Scheduler)
	}
	require.Equal(t, owner.addr, p.Scheduler())
	require.Empty(t, stand.registers)
}

func TestFullQueueEndsTheSession(t *testing.T) {
	f := newFakeScheduler(t)
	f.deaf = true
	c, _ := running(t, Options{Schedulers: []string{f.addr}, QueueLimit: 3000})
	h := newHeard()
	p := register(t, c, newTask(t, "x"), h, nil)
	wait(t, f.sessions)
	f.set(func() { f.deaf = false })
	var es []pieces.Extent
	for i := range 90 {
		es = append(es, pieces.Extent{First: 2 * i, End: 2*i + 1})
	}
	begin := time.Now()
	for len(h) == 0 && time.Since(begin) < soon {
		p.Want(es, pieces.Fill, nil)
	}
	require.Equal(t, pieces.Full, pieces.KindOf(event[SessionDown](t, h).Err))
	event[SessionUp](t, h)
	require.True(t, c.Schedulers()[0].Connected, "that is not the scheduler's death")
	p.Touched(span(1, 2))
	next(t, wait(t, f.sessions), (*schedulerpb.PeerMessage).GetTouched)
}

func TestRejectedAndMoved(t *testing.T) {
	owner, stand, task := pair(t)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	h := newHeard()
	p := register(t, c, task, h, nil)
	wait(t, owner.registers)
	s := wait(t, owner.sessions)
	s.say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Rejected{
		Rejected: &schedulerpb.Rejected{Reason: "who?", RetryAfterMs: 1}}})
	require.ErrorContains(t, event[SessionDown](t, h).Err, "who?")
	event[SessionUp](t, h)
	require.True(t, wait(t, owner.registers).Resumed)
	require.Empty(t, owner.sessions, "the session goes on")

	s.say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Moved{Moved: &schedulerpb.Moved{Address: stand.addr}}})
	event[SessionDown](t, h)
	require.Equal(t, stand.addr, event[SessionUp](t, h).Registration.Scheduler)
	require.True(t, wait(t, stand.registers).OwnerTried)

	wait(t, stand.sessions).say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Rejected{
		Rejected: &schedulerpb.Rejected{Reason: "liar"}}})
	down := event[SessionDown](t, h)
	require.True(t, down.Final)
	require.Equal(t, pieces.Denied, pieces.KindOf(down.Err))
	nothing(t, stand.registers, 50*time.Millisecond)
	p.Want(span(0, 1), pieces.Demand, nil) // goes nowhere
	register(t, c, task, newHeard(), nil)
}

func TestRefusedResumeIsFinal(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	register(t, c, newTask(t, "x"), h, nil)
	f.set(func() {
		f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			return nil, pieces.Errorf(pieces.Denied, "contradicted")
		}
	})
	wait(t, f.sessions).end()
	require.False(t, event[SessionDown](t, h).Final)
	down := event[SessionDown](t, h)
	require.True(t, down.Final)
	require.ErrorContains(t, down.Err, "contradicted")
}

func TestMovedRegistrationIsFollowed(t *testing.T) {
	owner, stand, task := pair(t)
	owner.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return &schedulerpb.RegisterPeerTaskReply{Moved: stand.addr}, nil
	}
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	p := register(t, c, task, newHeard(), nil)
	require.Equal(t, stand.addr, p.Scheduler())
	require.True(t, wait(t, stand.registers).OwnerTried)
}

func TestMovedToNobodyKnownIsAskedAgain(t *testing.T) {
	f := newFakeScheduler(t)
	f.register = func(r *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		if !r.OwnerTried {
			return &schedulerpb.RegisterPeerTaskReply{Moved: "192.0.2.1:8002"}, nil
		}
		return registered(bigFacts), nil
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	require.Equal(t, f.addr, register(t, c, newTask(t, "x"), newHeard(), nil).Scheduler())
}

func TestSchedulersThatPassTheBuckAreLeft(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	to := func(addr string) func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			return &schedulerpb.RegisterPeerTaskReply{Moved: addr}, nil
		}
	}
	a.register, b.register = to(b.addr), to(a.addr)
	c, _ := running(t, Options{Schedulers: []string{a.addr, b.addr}})
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.LessOrEqual(t, len(a.registers)+len(b.registers), 2+maxMoves)
}

func TestNobodyAnswersSoon(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{a.addr, b.addr}})
	wait(t, a.announced)
	wait(t, b.announced)
	a.mute()
	b.mute()
	defer a.unmute()
	defer b.unmute()
	begin := time.Now()
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.Less(t, time.Since(begin), 2*time.Second, "two attempts of 0.4 s")
	begin = time.Now()
	_, err = c.StatTask(context.Background(), newTask(t, "x"), true, nil, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.Less(t, time.Since(begin), 300*time.Millisecond, "both are known to be down")
}

func TestAllSchedulersGoneAndBack(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	p := register(t, c, newTask(t, "x"), h, nil)
	f.stop()
	event[SessionDown](t, h)
	require.Empty(t, p.Scheduler())
	require.Equal(t, pieces.Unavailable, pieces.KindOf(p.Result(context.Background(), PeerResult{})))
	alone := event[SessionDown](t, h)
	require.Less(t, time.Since(alone.Since), soon, "told again, as of when it was last heard")
	nothing(t, h, 100*time.Millisecond)
	f.start(t)
	event[SessionUp](t, h)
	require.Equal(t, f.addr, p.Scheduler())
}

func TestCloseWhileRegisteringAgain(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	p := register(t, c, newTask(t, "x"), h, nil)
	asked, goOn := make(chan struct{}), make(chan struct{})
	f.set(func() {
		f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			close(asked)
			<-goOn
			return registered(bigFacts), nil
		}
	})
	wait(t, f.sessions).end()
	<-asked
	p.Close(context.Background())
	close(goOn)
	event[SessionDown](t, h)
	nothing(t, h, 50*time.Millisecond)
}

func TestLostWhileTheInventoryIsMade(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	var p *Peer
	calls := 0
	inv := func() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) {
		if calls++; calls == 2 { // the second one is the inventory itself
			p.Lost(span(3, 5)) // just after the list was made
		}
		return span(0, 10), nil, nil
	}
	h := newHeard()
	p = register(t, c, newTask(t, "x"), h, inv)
	wait(t, f.sessions).end()
	event[SessionUp](t, h)
	_, m := next(t, wait(t, f.sessions), (*schedulerpb.PeerMessage).GetHeld)
	es, err := wire.ExtentsFrom(m.Extents)
	require.NoError(t, err)
	require.Equal(t, []pieces.Extent{{First: 0, End: 3}, {First: 5, End: 10}}, es)
}

func TestHeldAtRegistrationIsFollowedByItsDigests(t *testing.T) {
	f := newFakeScheduler(t)
	huge := factsOf(40<<30, "huge")
	f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return registered(huge), nil
	}
	// More digests than the queue takes at once.
	c, _ := running(t, Options{Schedulers: []string{f.addr}, QueueLimit: inventoryPage + 10})
	run := sumRun(0, 10000, other)
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x"), Held: span(0, 10000)}, newHeard(),
		inventory(span(0, 10000), []pieces.SumRun{run}, nil))
	require.NoError(t, err)
	require.EqualValues(t, 10000, wait(t, f.registers).Held[0].End)
	s := wait(t, f.sessions)
	var sums []pieces.Sum
	for len(sums) < 10000 {
		_, m := next(t, s, (*schedulerpb.PeerMessage).GetHeld)
		rs, err := wire.SumRunsFrom(m.Sums)
		require.NoError(t, err)
		for _, r := range rs {
			require.Equal(t, len(sums), r.First)
			require.Equal(t, other, r.Setter)
			sums = append(sums, r.Sums...)
		}
	}
	require.Equal(t, run.Sums, sums)
}

func TestTooManyEventsForASleepingHandler(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}, EventLimit: 10})
	p, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.NoError(t, err)
	s := wait(t, f.sessions)
	for range 20 { // nobody called Start
		s.say(p.Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{}}})
	}
	wait(t, s.ended)
}

func TestSchedulerThatEndsEverySessionIsNotBesieged(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}, RetryEvery: 50 * time.Millisecond, RetryMost: time.Second})
	register(t, c, newTask(t, "x"), newHeard(), nil)
	n := 0
	for end := time.After(500 * time.Millisecond); ; n++ {
		select {
		case s := <-f.sessions:
			s.end()
			continue
		case <-end:
		}
		break
	}
	require.Greater(t, n, 2, "it was tried again")
	require.Less(t, n, 20, "each pause brings two sessions at most")
}

func TestManyAtAMuteSchedulerWaitNoLongerThanOne(t *testing.T) {
	f := newFakeScheduler(t)
	f.mute()
	defer f.unmute()
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	begin := time.Now()
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, fmt.Sprint(i))}, newHeard(), nil)
			if pieces.KindOf(err) != pieces.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	require.Less(t, time.Since(begin), 2*time.Second)
}

// TestManyPeersThroughFlappingSchedulers is for the race detector: everything
// at once, and in the end every Peer is heard.
func TestManyPeersThroughFlappingSchedulers(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	c, stop := running(t, Options{Schedulers: []string{a.addr, b.addr}})
	var wg sync.WaitGroup
	peers, handlers := make([]*Peer, 20), make([]*obedient, 20)
	for i := range peers {
		handlers[i] = &obedient{}
		peers[i] = register(t, c, newTask(t, fmt.Sprint(i)), handlers[i], inventory(span(0, 3), []pieces.SumRun{sumRun(0, 3, other)}, nil))
		handlers[i].set(peers[i])
	}
	end := time.Now().Add(700 * time.Millisecond)
	for i, p := range peers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for time.Now().Before(end) {
				n := r.IntN(300)
				p.Held(HeldReport{Extents: span(n, n+1)})
				p.Touched(span(n, n+1))
				p.Lost(span(n, n+1))
				time.Sleep(time.Duration(r.IntN(2)) * time.Millisecond)
			}
		})
	}
	wg.Go(func() {
		for i := 0; time.Now().Before(end); i++ {
			f := []*fakeScheduler{a, b}[i%2]
			select {
			case s := <-f.sessions:
				s.say(peers[i%20].Key(), &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Lease{
					Lease: &schedulerpb.Lease{Id: 1, Extent: &commonpb.Extent{End: 1}}}})
				time.Sleep(30 * time.Millisecond)
				s.end()
			case <-time.After(20 * time.Millisecond):
			}
			for len(f.registers) > 500 {
				<-f.registers
			}
		}
	})
	wg.Wait()
	for _, p := range peers {
		eventually(t, "registered again", func() bool { return p.Scheduler() != "" })
	}
	for _, p := range peers {
		p.Close(context.Background())
	}
	stop()
}

// obedient states a want after each SessionUp, as an engine does.
type obedient struct {
	mu sync.Mutex
	p  *Peer
}

func (o *obedient) set(p *Peer) { o.mu.Lock(); o.p = p; o.mu.Unlock() }

func (o *obedient) HandleEvent(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, up := e.(SessionUp); up && o.p != nil {
		o.p.Want(span(3, 9), pieces.Fill, nil)
	}
}
