package announce

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

type statFunc = func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error)

// statting is a scheduler that answers StatTask by the given steps, the last of
// them for ever, and a Client that asks it.
func statting(t *testing.T, o Options, steps ...statFunc) (*Client, *fakeScheduler) {
	t.Helper()
	f := newFakeScheduler(t)
	var n atomic.Int64
	f.stat = func(ctx context.Context, r *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
		return steps[min(int(n.Add(1)), len(steps))-1](ctx, r)
	}
	o.Schedulers = append(o.Schedulers, f.addr)
	c, _ := running(t, o)
	return c, f
}

func reply(r *schedulerpb.StatTaskReply) statFunc {
	return func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) { return r, nil }
}

func replyFacts(f pieces.Facts) statFunc {
	return reply(&schedulerpb.StatTaskReply{Facts: wire.FactsTo(f)})
}

func fetched(f pieces.Facts, tiny string, err error) FetchFacts {
	return func(context.Context) (pieces.Facts, []byte, error) { return f, []byte(tiny), err }
}

func notFetched(context.Context) (pieces.Facts, []byte, error) { panic("fetched without a lease") }

func TestStatKnownFacts(t *testing.T) {
	c, f := statting(t, Options{}, replyFacts(bigFacts))
	task := newTask(t, "x")
	got, err := c.StatTask(context.Background(), task, true, notFetched, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
	m := wait(t, f.stats)
	require.Equal(t, string(task.ID), m.Task.Id)
	require.True(t, m.CanFetch)
	require.Zero(t, m.LeaseId)
}

func TestStatUnderLease(t *testing.T) {
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}), replyFacts(tinyFacts))
	got, err := c.StatTask(context.Background(), newTask(t, "x"), true, fetched(tinyFacts, "hello", nil), nil)
	require.NoError(t, err)
	require.Equal(t, tinyFacts, got)
	wait(t, f.stats)
	m := wait(t, f.stats)
	require.EqualValues(t, 9, m.LeaseId)
	require.Equal(t, "hello", string(m.Tiny))
	facts, err := wire.FactsFrom(m.Facts)
	require.NoError(t, err)
	require.Equal(t, tinyFacts, facts)
	require.Nil(t, m.Error)
}

func TestStatLeaseWhoseReportIsLostStillAnswers(t *testing.T) {
	c, _ := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}),
		func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
			return nil, pieces.Errorf(pieces.Internal, "oh")
		})
	got, err := c.StatTask(context.Background(), newTask(t, "x"), true, fetched(bigFacts, "", nil), nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
}

func TestStatErrorOfTheOriginIsReportedAndReturned(t *testing.T) {
	missing := pieces.Errorf(pieces.NotFound, "origin says 404")
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}), reply(&schedulerpb.StatTaskReply{}))
	_, err := c.StatTask(context.Background(), newTask(t, "x"), true, fetched(pieces.Facts{}, "", missing), nil)
	require.Equal(t, missing, err)
	wait(t, f.stats)
	m := wait(t, f.stats)
	require.EqualValues(t, pieces.NotFound, m.Error.Kind)
	require.Nil(t, m.Facts)
}

func TestStatSharedErrors(t *testing.T) {
	for _, kind := range []pieces.Kind{pieces.NotFound, pieces.Denied, pieces.Throttled, pieces.Timeout, pieces.Origin} {
		t.Run(kind.String(), func(t *testing.T) {
			c, f := statting(t, Options{}, func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
				return nil, &pieces.Error{Kind: kind, Msg: "origin", RetryAfter: time.Second}
			})
			_, err := c.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
			require.Equal(t, kind, pieces.KindOf(err))
			require.Equal(t, time.Second, pieces.RetryAfter(err))
			require.Len(t, f.stats, 1, "asked once")
			eventually(t, "connected", func() bool { return c.Schedulers()[0].Connected })
		})
	}
}

func TestStatWaitsForSomebodyElse(t *testing.T) {
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{WaitMs: 1}), reply(&schedulerpb.StatTaskReply{WaitMs: 1}), replyFacts(bigFacts))
	got, err := c.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
	require.Len(t, f.stats, 3)
}

func TestStatWaitsNoLongerThanItsCaller(t *testing.T) {
	c, _ := statting(t, Options{FactsTimeout: 150 * time.Millisecond}, reply(&schedulerpb.StatTaskReply{WaitMs: 1}))
	_, err := c.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
	require.Equal(t, pieces.Timeout, pieces.KindOf(err))
}

// A scheduler may keep a question until somebody's lease is answered. As long
// as it shows that it lives, it is not taken for dead.
func TestStatAnsweredLate(t *testing.T) {
	c, f := statting(t, Options{AttemptTimeout: 100 * time.Millisecond}, func(context.Context, *schedulerpb.StatTaskRequest) (*schedulerpb.StatTaskReply, error) {
		time.Sleep(500 * time.Millisecond)
		return &schedulerpb.StatTaskReply{Facts: wire.FactsTo(bigFacts)}, nil
	})
	got, err := c.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
	require.Greater(t, len(f.announced), 1, "it was probed")
}

func TestStatAtAMuteSchedulerGoesOn(t *testing.T) {
	owner, stand, task := pair(t)
	stand.stat = replyFacts(bigFacts)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	eventually(t, "both up", func() bool { s := c.Schedulers(); return len(s) == 2 && s[0].Connected && s[1].Connected })
	owner.mute()
	defer owner.unmute()
	got, err := c.StatTask(context.Background(), task, true, notFetched, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
	require.True(t, wait(t, stand.stats).OwnerTried)
}

func TestStatMoved(t *testing.T) {
	owner, stand, task := pair(t)
	owner.stat = reply(&schedulerpb.StatTaskReply{Moved: stand.addr})
	stand.stat = replyFacts(bigFacts)
	c, _ := running(t, Options{Schedulers: []string{owner.addr, stand.addr}})
	got, err := c.StatTask(context.Background(), task, true, notFetched, nil)
	require.NoError(t, err)
	require.Equal(t, bigFacts, got)
	require.True(t, wait(t, stand.stats).OwnerTried)
}

func TestRevalidationRunsBeside(t *testing.T) {
	both := reply(&schedulerpb.StatTaskReply{Facts: wire.FactsTo(bigFacts), LeaseId: 4})
	for name, c := range map[string]struct {
		now     pieces.Facts
		changed bool
	}{"same": {bigFacts, false}, "changed": {factsOf(7, "new"), true}} {
		t.Run(name, func(t *testing.T) {
			cl, f := statting(t, Options{}, both, replyFacts(c.now))
			goOn, changed := make(chan struct{}), make(chan pieces.Facts, 1)
			got, err := cl.StatTask(context.Background(), newTask(t, "x"), true,
				func(context.Context) (pieces.Facts, []byte, error) { <-goOn; return c.now, nil, nil },
				func(f pieces.Facts) { changed <- f })
			require.NoError(t, err)
			require.Equal(t, bigFacts, got, "at once")
			close(goOn)
			wait(t, f.stats)
			require.EqualValues(t, 4, wait(t, f.stats).LeaseId)
			if c.changed {
				require.Equal(t, c.now, wait(t, changed))
			} else {
				nothing(t, changed, 30*time.Millisecond)
			}
		})
	}
}

func TestTooManyRevalidationsGiveTheirLeaseBack(t *testing.T) {
	both := reply(&schedulerpb.StatTaskReply{Facts: wire.FactsTo(bigFacts), LeaseId: 4})
	c, f := statting(t, Options{Revalidations: 1}, both)
	goOn, running := make(chan struct{}), make(chan struct{})
	slow := func(context.Context) (pieces.Facts, []byte, error) { close(running); <-goOn; return bigFacts, nil, nil }
	_, err := c.StatTask(context.Background(), newTask(t, "x"), true, slow, nil)
	require.NoError(t, err)
	<-running
	_, err = c.StatTask(context.Background(), newTask(t, "y"), true, notFetched, nil)
	require.NoError(t, err)
	for m := wait(t, f.stats); ; m = wait(t, f.stats) {
		if m.LeaseId != 0 {
			require.EqualValues(t, pieces.Full, m.Error.Kind, "kinds that blame no origin")
			break
		}
	}
	close(goOn)
}

func TestLeaseForWhoCannotFetchIsGivenBack(t *testing.T) {
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}))
	_, err := c.StatTask(context.Background(), newTask(t, "x"), false, notFetched, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	wait(t, f.stats)
	require.EqualValues(t, pieces.Canceled, wait(t, f.stats).Error.Kind)
}

func TestFactsAreReportedThoughTheCallerLeft(t *testing.T) {
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}), replyFacts(bigFacts))
	ctx, cancel := context.WithCancel(context.Background())
	goOn := make(chan struct{})
	_, err := c.StatTask(ctx, newTask(t, "x"), true, func(fctx context.Context) (pieces.Facts, []byte, error) {
		cancel()
		<-goOn
		return bigFacts, nil, fctx.Err()
	}, nil)
	require.Equal(t, pieces.Canceled, pieces.KindOf(err))
	close(goOn)
	wait(t, f.stats)
	require.NotNil(t, wait(t, f.stats).Facts)
}

func TestSlowOriginKeepsItsFactsLeaseAlive(t *testing.T) {
	c, f := statting(t, Options{}, reply(&schedulerpb.StatTaskReply{LeaseId: 9}), replyFacts(bigFacts))
	task := newTask(t, "x")
	goOn, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := c.StatTask(context.Background(), task, true, func(context.Context) (pieces.Facts, []byte, error) {
			<-goOn
			return bigFacts, nil, nil
		}, nil)
		done <- err
	}()
	s := wait(t, f.sessions)
	for range 3 {
		m, p := next(t, s, (*schedulerpb.PeerMessage).GetLeaseProgress)
		require.EqualValues(t, 9, p.LeaseId)
		require.Equal(t, string(task.ID), m.Task)
		require.Empty(t, m.Version)
	}
	close(goOn)
	require.NoError(t, wait(t, done))
}

func TestStopEndsAFetchOfFacts(t *testing.T) {
	f := newFakeScheduler(t)
	f.stat = reply(&schedulerpb.StatTaskReply{LeaseId: 9})
	c, stop := running(t, Options{Schedulers: []string{f.addr}})
	begun, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := c.StatTask(context.Background(), newTask(t, "x"), true, func(ctx context.Context) (pieces.Facts, []byte, error) {
			close(begun)
			<-ctx.Done()
			return pieces.Facts{}, nil, ctx.Err()
		}, nil)
		done <- err
	}()
	<-begun
	stop()
	require.Error(t, wait(t, done))
	require.Len(t, f.stats, 1, "the lease ends by itself")
}
