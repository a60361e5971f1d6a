package announce

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

func TestRegisterReportAndLeave(t *testing.T) {
	f := newFakeScheduler(t)
	f.register = func(r *schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		m := registered(bigFacts)
		m.Parents = []*schedulerpb.Parent{{Host: wire.HostTo(pieces.Host{ID: other, IP: "10.0.0.1", PeerPort: 1, UploadPort: 2}), Complete: true}}
		m.AccessOrder = wire.ExtentsTo(span(3, 9))
		return m, nil
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	task, h := newTask(t, "x"), newHeard()
	p, reg, err := c.Register(context.Background(), RegisterRequest{Task: task, CanFetch: true, Facts: &bigFacts}, h, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, reg.Facts)
	require.Equal(t, bigFacts.VersionID(), reg.Version)
	require.Equal(t, pieces.ScopeNormal, reg.Scope)
	require.Equal(t, other, reg.Parents[0].Host.ID)
	require.True(t, reg.Parents[0].Complete)
	require.Equal(t, span(3, 9), reg.AccessOrder)
	require.Equal(t, f.addr, p.Scheduler())

	m := wait(t, f.registers)
	require.Equal(t, string(task.ID), m.Task.Id)
	require.Equal(t, string(self), m.HostId)
	require.True(t, m.CanFetch)
	require.False(t, m.Resumed || m.OwnerTried)
	s := wait(t, f.sessions)
	require.Equal(t, string(self), s.host)

	p.Want(span(0, 4), pieces.Demand, []pieces.HostID{other})
	got, want := next(t, s, (*schedulerpb.PeerMessage).GetWant)
	require.Equal(t, string(p.Key().Version), got.Version)
	require.Equal(t, wire.ExtentsTo(span(0, 4))[0].End, want.Extents[0].End)
	require.Equal(t, []string{string(other)}, want.FailedHosts)

	p.Failed(other, span(1, 2), pieces.FailBadBytes)
	_, failed := next(t, s, (*schedulerpb.PeerMessage).GetFailed)
	require.Equal(t, schedulerpb.Failed_BAD_BYTES, failed.Reason)
	p.OriginError(7, pieces.Errorf(pieces.NotFound, "404"))
	_, oe := next(t, s, (*schedulerpb.PeerMessage).GetOriginError)
	require.EqualValues(t, 7, oe.LeaseId)
	require.EqualValues(t, pieces.NotFound, oe.Error.Kind)
	p.LeaseProgress(7, 99)
	_, lp := next(t, s, (*schedulerpb.PeerMessage).GetLeaseProgress)
	require.EqualValues(t, 99, lp.Bytes)
	p.Touched(span(5, 6))
	next(t, s, (*schedulerpb.PeerMessage).GetTouched)
	p.Cancel(span(5, 6))
	next(t, s, (*schedulerpb.PeerMessage).GetCancel)
	p.Lost(span(5, 6))
	next(t, s, (*schedulerpb.PeerMessage).GetLost)

	require.NoError(t, p.Result(context.Background(), PeerResult{Success: true, FromPeers: 5, Took: time.Second}))
	require.EqualValues(t, 1000, wait(t, f.results).DurationMs)
	p.Close(context.Background())
	require.Equal(t, string(p.Key().Version), wait(t, f.left).Version)
	p.Close(context.Background())
	nothing(t, f.left, 20*time.Millisecond)
}

func TestBatchedAndUrgentReportsOnTheWire(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}, BatchDelay: time.Hour})
	p := register(t, c, newTask(t, "x"), newHeard(), nil)
	s := wait(t, f.sessions)
	for i := range 63 {
		p.Held(HeldReport{Extents: span(i, i+1), Costs: []Cost{{other, 3}}, Rate: float64(i)})
	}
	nothing(t, s.in, 30*time.Millisecond)
	p.Held(HeldReport{Extents: span(63, 64)})
	_, h := next(t, s, (*schedulerpb.PeerMessage).GetHeld)
	require.Len(t, h.Extents, 1, "64 pieces are one extent in one message")
	require.EqualValues(t, 64, h.Extents[0].End)
	require.Len(t, h.Costs, 63)
	require.EqualValues(t, 62, h.Rate)

	p.Held(HeldReport{Extents: span(70, 71), Sums: []pieces.SumRun{sumRun(70, 1, self)}, Lease: 5})
	_, h = next(t, s, (*schedulerpb.PeerMessage).GetHeld)
	require.EqualValues(t, 5, h.LeaseId)
	require.Equal(t, string(self), h.Sums[0].Setter)
}

func TestSmallTasksNeedNoStreamUntilSomethingIsSaid(t *testing.T) {
	for _, facts := range []pieces.Facts{factsOf(0, "e"), tinyFacts, oneFacts} {
		f := newFakeScheduler(t)
		f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
			r := registered(facts)
			if facts == tinyFacts {
				r.Tiny = []byte("hello")
				sum := pieces.SumOf(r.Tiny)
				r.Sums = &commonpb.Sums{Sums: sum[:], Setter: string(other)}
			}
			return r, nil
		}
		c, stop := running(t, Options{Schedulers: []string{f.addr}})
		p, reg, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x"), Facts: &facts}, newHeard(), nil)
		require.NoError(t, err)
		p.Start()
		if facts == tinyFacts {
			require.Equal(t, "hello", string(reg.Tiny))
		}
		nothing(t, f.sessions, 20*time.Millisecond)
		p.Held(HeldReport{Extents: span(0, 1), Urgent: true})
		if facts != oneFacts { // the scheduler keeps no Peer
			nothing(t, f.sessions, 20*time.Millisecond)
		} else {
			_, h := next(t, wait(t, f.sessions), (*schedulerpb.PeerMessage).GetHeld)
			require.EqualValues(t, 1, h.Extents[0].End)
		}
		p.Close(context.Background())
		wait(t, f.left)
		stop()
	}
}

func TestTinyBytesThatDontMatchAreNotHandedOn(t *testing.T) {
	f := newFakeScheduler(t)
	f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		r := registered(tinyFacts)
		r.Tiny = []byte("hullo")
		sum := pieces.SumOf([]byte("hello"))
		r.Sums = &commonpb.Sums{Sums: sum[:], Setter: string(other)}
		return r, nil
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	_, reg, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.NoError(t, err)
	require.Nil(t, reg.Tiny)
}

func TestRegistrationThatContradictsItselfIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*schedulerpb.RegisterPeerTaskReply){
		"other version": func(r *schedulerpb.RegisterPeerTaskReply) { r.Version = string(oneFacts.VersionID()) },
		"no facts":      func(r *schedulerpb.RegisterPeerTaskReply) { r.Facts = nil },
		"order":         func(r *schedulerpb.RegisterPeerTaskReply) { r.AccessOrder = wire.ExtentsTo(span(0, 9999)) },
		"scope":         func(r *schedulerpb.RegisterPeerTaskReply) { r.Scope = 77 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeScheduler(t)
			f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
				r := registered(bigFacts)
				spoil(r)
				return r, nil
			}
			c, _ := running(t, Options{Schedulers: []string{f.addr}})
			_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
			require.Equal(t, pieces.Invalid, pieces.KindOf(err), "%v", err)
		})
	}
}

func TestEventsKeepTheirOrderAndWaitForStart(t *testing.T) {
	f := newFakeScheduler(t)
	task := newTask(t, "x")
	key := pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}
	lease := func(id uint64) *schedulerpb.SchedulerMessage {
		return &schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Lease{Lease: &schedulerpb.Lease{Id: id, Extent: &commonpb.Extent{End: 1}}}}
	}
	sess := make(chan *fakeSession, 1)
	f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		s := <-f.sessions
		s.say(key, lease(1)) // before the answer
		time.Sleep(20 * time.Millisecond)
		sess <- s
		return registered(bigFacts), nil
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	p, _, err := c.Register(context.Background(), RegisterRequest{Task: task, Facts: &bigFacts}, h, nil)
	require.NoError(t, err)
	s := wait(t, sess)
	for id := range uint64(50) {
		s.say(key, lease(id+2))
	}
	nothing(t, h, 30*time.Millisecond)
	p.Start()
	for id := range pieces.LeaseID(51) {
		require.Equal(t, Lease{ID: id + 1, Extent: pieces.Extent{End: 1}}, wait(t, h))
	}
}

func TestEveryEvent(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	p := register(t, c, newTask(t, "x"), h, nil)
	s := wait(t, f.sessions)
	peer := pieces.Host{ID: other, IP: "10.0.0.1", PeerPort: 1, UploadPort: 2}
	say := func(m *schedulerpb.SchedulerMessage) { s.say(p.Key(), m) }

	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Parents{Parents: &schedulerpb.Parents{Parents: []*schedulerpb.Parent{{Host: wire.HostTo(peer)}}}}})
	require.Equal(t, other, wait(t, h).(Parents).Parents[0].Host.ID)
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Holders{Holders: &schedulerpb.Holders{
		Holders: wire.HoldersTo([]pieces.Holder{{Host: peer, Held: span(1, 2), Fetching: span(3, 4)}})}}})
	require.Equal(t, span(3, 4), wait(t, h).(Holders).Holders[0].Fetching)
	run := sumRun(4, 3, other)
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_Digests{Digests: &schedulerpb.Digests{Sums: wire.SumRunsTo([]pieces.SumRun{run})}}})
	require.Equal(t, Digests{[]pieces.SumRun{run}}, wait(t, h))
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{Id: 4, Reason: "late"}}})
	require.Equal(t, LeaseEnd{4, "late"}, wait(t, h))
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_TaskFacts{TaskFacts: &schedulerpb.TaskFacts{Facts: wire.FactsTo(oneFacts)}}})
	require.Equal(t, FactsChanged{oneFacts}, wait(t, h))
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_OriginError{OriginError: &schedulerpb.OriginError{
		LeaseId: 3, Error: wire.ErrorTo(pieces.Errorf(pieces.Denied, "403")), Extents: wire.ExtentsTo(span(0, 2))}}})
	oe := wait(t, h).(OriginError)
	require.Equal(t, pieces.Denied, pieces.KindOf(oe.Err))

	// What makes no sense is ignored, and the session goes on.
	for _, m := range []*schedulerpb.SchedulerMessage{
		{Body: &schedulerpb.SchedulerMessage_Lease{Lease: &schedulerpb.Lease{Id: 1, Extent: &commonpb.Extent{First: 9, End: 3}}}},
		{Body: &schedulerpb.SchedulerMessage_Lease{Lease: &schedulerpb.Lease{Id: 1, Extent: &commonpb.Extent{First: 0, End: 9999}}}},
		{Body: &schedulerpb.SchedulerMessage_Lease{Lease: &schedulerpb.Lease{Extent: &commonpb.Extent{First: 0, End: 1}}}},
		{Body: &schedulerpb.SchedulerMessage_Digests{Digests: &schedulerpb.Digests{Sums: []*commonpb.Sums{{Sums: []byte("x")}}}}},
		{Body: &schedulerpb.SchedulerMessage_TaskFacts{}},
		{},
	} {
		say(m)
	}
	s.out <- &schedulerpb.SchedulerMessage{Task: "x", Version: "y", Body: &schedulerpb.SchedulerMessage_LeaseEnd{}}
	say(&schedulerpb.SchedulerMessage{Body: &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{Id: 5}}})
	require.Equal(t, LeaseEnd{ID: 5}, wait(t, h))
}

func TestHeartbeatsGoBothWays(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	register(t, c, newTask(t, "x"), h, nil)
	s := wait(t, f.sessions)
	eventually(t, "ten beats", func() bool { return s.beats.Load() >= 10 })
	nothing(t, h, 0)
}

func TestSamePeerTwiceIsRefused(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	task := newTask(t, "x")
	p := register(t, c, task, newHeard(), nil)
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: task}, newHeard(), nil)
	require.Equal(t, pieces.Exists, pieces.KindOf(err))
	p.Close(context.Background())
	register(t, c, task, newHeard(), nil)
}

func TestTasksWithAnAudienceStayHere(t *testing.T) {
	f, m := newFakeScheduler(t), newFakeManager(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}, Managers: []string{m.addr}})
	task, err := pieces.NewTask("http://user:pw@origin.test/x", pieces.Options{}, []byte("secret"))
	require.NoError(t, err)
	ctx := context.Background()
	_, err = c.StatTask(ctx, task, true, func(context.Context) (pieces.Facts, []byte, error) { panic("fetched") }, nil)
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	_, _, err = c.Register(ctx, RegisterRequest{Task: task}, newHeard(), nil)
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	require.Equal(t, pieces.Denied, pieces.KindOf(c.PutTask(ctx, task, "n")))
	require.Empty(t, f.stats)
	require.Empty(t, f.registers)
	require.Empty(t, m.tasks)
}

func TestErrorsOfTheSchedulerComeBackAsTheyAre(t *testing.T) {
	f := newFakeScheduler(t)
	f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		return nil, &pieces.Error{Kind: pieces.Throttled, Msg: "slow down", RetryAfter: 3 * time.Second}
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.Equal(t, pieces.Throttled, pieces.KindOf(err))
	require.Equal(t, 3*time.Second, pieces.RetryAfter(err))
	require.True(t, c.Schedulers()[0].Connected)
}

func TestSchedulerThatForgotThisHostIsTold(t *testing.T) {
	f := newFakeScheduler(t)
	var known atomic.Bool
	f.announce = func(*schedulerpb.AnnounceHostRequest) error { known.Store(true); return nil }
	f.register = func(*schedulerpb.RegisterPeerTaskRequest) (*schedulerpb.RegisterPeerTaskReply, error) {
		if !known.Load() {
			return nil, pieces.Errorf(pieces.Unavailable, "announce first")
		}
		return registered(bigFacts), nil
	}
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	wait(t, f.announced)
	eventually(t, "announced", func() bool { return c.Schedulers()[0].Connected })
	known.Store(false)
	register(t, c, newTask(t, "x"), newHeard(), nil)
}

func TestSessionWithoutPeersIsClosed(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}, SessionIdle: 40 * time.Millisecond})
	p := register(t, c, newTask(t, "x"), newHeard(), nil)
	s := wait(t, f.sessions)
	nothing(t, s.ended, 100*time.Millisecond)
	p.Close(context.Background())
	wait(t, s.ended)
	h := newHeard()
	register(t, c, newTask(t, "y"), h, nil)
	wait(t, f.sessions)
	nothing(t, h, 20*time.Millisecond)
	require.True(t, c.Schedulers()[0].Connected)
}

func TestAfterStopNothingWorksAndNothingHangs(t *testing.T) {
	f := newFakeScheduler(t)
	c, stop := running(t, Options{Schedulers: []string{f.addr}})
	h := newHeard()
	p := register(t, c, newTask(t, "x"), h, nil)
	stop()
	p.Held(HeldReport{Extents: span(0, 1)})
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "y")}, h, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	_, err = c.StatTask(context.Background(), newTask(t, "y"), true, nil, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	p.Close(context.Background())
	require.Empty(t, h)
}

func TestCallerThatGivesUp(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr}})
	wait(t, f.announced)
	f.mute()
	defer f.unmute()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := c.Register(ctx, RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.True(t, errors.Is(err, context.Canceled) || pieces.KindOf(err) == pieces.Unavailable, "%v", err)
}
