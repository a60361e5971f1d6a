package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

func getLease(m *schedulerpb.SchedulerMessage) *schedulerpb.Lease       { return m.GetLease() }
func getHolders(m *schedulerpb.SchedulerMessage) *schedulerpb.Holders   { return m.GetHolders() }
func getParents(m *schedulerpb.SchedulerMessage) *schedulerpb.Parents   { return m.GetParents() }
func getDigests(m *schedulerpb.SchedulerMessage) *schedulerpb.Digests   { return m.GetDigests() }
func getRejected(m *schedulerpb.SchedulerMessage) *schedulerpb.Rejected { return m.GetRejected() }
func getOriginError(m *schedulerpb.SchedulerMessage) *schedulerpb.OriginError {
	return m.GetOriginError()
}

const quick = 50 * time.Millisecond // heartbeat of fast tests

func TestOneReadsTheFactsForAll(t *testing.T) {
	s := startServer(t, Options{})
	a, b := newDaemon(t, s.addr), newDaemon(t, s.addr)
	c := newContent(t, "http://example.com/a", 4)
	r, err := a.stat(c)
	require.NoError(t, err)
	require.NotZero(t, r.LeaseId)
	waited := make(chan *schedulerpb.StatTaskReply, 1)
	go func() {
		r, err := b.stat(c)
		if err == nil {
			waited <- r
		}
		close(waited)
	}()
	require.Never(t, func() bool { return len(waited) > 0 }, 100*time.Millisecond, 20*time.Millisecond, "somebody else reads the facts")
	_, err = a.rpc.StatTask(a.ctx(), &schedulerpb.StatTaskRequest{
		HostId: string(a.host.ID), Task: wire.TaskTo(c.task), LeaseId: r.LeaseId, Facts: wire.FactsTo(c.facts),
	})
	require.NoError(t, err)
	got := <-waited
	require.NotNil(t, got)
	require.Equal(t, c.facts.Size, got.Facts.Size)
	require.Zero(t, got.LeaseId)
}

func TestFactsErrorsKeepTheirKind(t *testing.T) {
	s := startServer(t, Options{})
	a, b := newDaemon(t, s.addr), newDaemon(t, s.addr)
	c := newContent(t, "http://example.com/missing", 4)
	r, err := a.stat(c)
	require.NoError(t, err)
	_, err = a.rpc.StatTask(a.ctx(), &schedulerpb.StatTaskRequest{
		HostId: string(a.host.ID), Task: wire.TaskTo(c.task), LeaseId: r.LeaseId,
		Error: wire.ErrorTo(pieces.Errorf(pieces.NotFound, "404")),
	})
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	_, err = b.stat(c)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), "asked once, not per host")
}

func TestTinyContentComesWithTheRegistration(t *testing.T) {
	s := startServer(t, Options{})
	a, b := newDaemon(t, s.addr), newDaemon(t, s.addr)
	c := newContent(t, "http://example.com/tiny", 0)
	c.facts.Size = 5
	r, err := a.stat(c)
	require.NoError(t, err)
	_, err = a.rpc.StatTask(a.ctx(), &schedulerpb.StatTaskRequest{
		HostId: string(a.host.ID), Task: wire.TaskTo(c.task), LeaseId: r.LeaseId, Facts: wire.FactsTo(c.facts), Tiny: []byte("hello"),
	})
	require.NoError(t, err)
	got := b.register(c)
	require.Equal(t, schedulerpb.SizeScope_TINY, got.Scope)
	require.Equal(t, "hello", string(got.Tiny))
	sum := pieces.SumOf([]byte("hello"))
	require.Equal(t, sum[:], got.Sums.Sums)
}

// TestAColdFileThroughASeed plays one download: the seed is woken, gets the
// leases, and what it reads reaches the peers.
func TestAColdFileThroughASeed(t *testing.T) {
	s := startServer(t, Options{})
	seedService := &fakeSeed{}
	at := servePeer(t, seedService)
	seed := newDaemon(t, s.addr, func(h *pieces.Host) { h.Type, h.PeerPort = pieces.SeedHost, at.Port }).open(quick)
	a := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/cold", 8)
	known := make(chan error, 1)
	go func() {
		_, err := a.stat(c)
		known <- err
	}()
	require.Empty(t, (<-seedService.woken).Version, "only the facts are wanted yet")
	seed.learn(c)
	require.NoError(t, <-known)
	reg := a.register(c)
	require.Equal(t, schedulerpb.SizeScope_NORMAL, reg.Scope)
	require.Empty(t, reg.Parents)
	a.want(c, 0, 8)

	woken := <-seedService.woken
	require.Equal(t, string(c.task.ID), woken.Task.Id)
	require.Equal(t, c.version(), woken.Version)
	require.Equal(t, s.addr, woken.Scheduler)
	seed.register(c)
	lease := next(seed, getLease)
	require.Equal(t, uint32(8), lease.Extent.End)
	require.Equal(t, string(seed.host.ID), next(a, getHolders).Holders[0].Host.Id)
	require.Equal(t, string(seed.host.ID), next(a, getParents).Parents[0].Host.Id)

	seed.held(c, pieces.Extent{First: 0, End: 8}, lease.Id)
	require.Len(t, next(a, getDigests).Sums[0].Sums, 8*32)
	require.Equal(t, uint32(8), next(a, getHolders).Holders[0].Held[0].End)

	b := newDaemon(t, s.addr).open(quick)
	require.True(t, b.register(c).Parents[0].Complete)
	require.Equal(t, uint32(1), s.leasesGranted(t, c))
}

func (r *running) leasesGranted(t *testing.T, _ content) uint32 {
	t.Helper()
	return uint32(counterValue(t, r.metrics.counters[swarm.LeasesGranted]))
}

func TestASilentHostIsOutOfParents(t *testing.T) {
	s := startServer(t, Options{Heartbeat: quick})
	parent := newDaemon(t, s.addr).open(quick)
	other := newDaemon(t, s.addr).open(quick)
	child := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	parent.learn(c)
	for _, d := range []*fakeDaemon{parent, other} {
		d.register(c)
		d.want(c, 0, 2)
	}
	lease := next(parent, getLease)
	parent.held(c, pieces.Extent{First: 0, End: 2}, lease.Id)
	for held := false; !held; { // first it is named as fetching
		for _, h := range next(other, getHolders).Holders {
			held = held || len(h.Held) > 0
		}
	}
	require.Equal(t, string(parent.host.ID), child.register(c).Parents[0].Host.Id)

	parent.mute() // it goes on receiving, as a stopped process's kernel does
	for _, p := range next(child, getParents).Parents {
		require.NotEqual(t, string(parent.host.ID), p.Host.Id)
	}
	require.Equal(t, pieces.Unavailable, pieces.KindOf(parent.ended()))
}

func TestANewSessionEndsTheOlder(t *testing.T) {
	s := startServer(t, Options{})
	d := newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	d.learn(c)
	d.register(c)
	older := *d
	d.open(quick)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(older.ended()))
	d.want(c, 0, 2)
	require.Equal(t, uint32(1), next(d, getRejected).RetryAfterMs, "its peers spoke on the older one")
	d.register(c)
	d.want(c, 0, 2)
	next(d, getLease)
}

func TestRegisterBeforeTheSession(t *testing.T) {
	s := startServer(t, Options{})
	d := newDaemon(t, s.addr)
	c := newContent(t, "http://example.com/f", 2)
	d.learn(c)
	d.register(c)
	d.open(quick)
	d.want(c, 0, 2)
	next(d, getLease)
}

func TestUnknownPeersAreToldToRegister(t *testing.T) {
	s := startServer(t, Options{})
	d := newDaemon(t, s.addr).open(quick)
	d.want(newContent(t, "http://example.com/never", 2), 0, 1)
	require.Equal(t, uint32(1), next(d, getRejected).RetryAfterMs)
}

func TestOriginErrorsReachWhoWants(t *testing.T) {
	s := startServer(t, Options{})
	a, b := newDaemon(t, s.addr).open(quick), newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	a.learn(c)
	a.register(c)
	b.register(c)
	a.want(c, 0, 2)
	lease := next(a, getLease)
	b.want(c, 0, 2)
	next(b, getHolders)
	a.peerMessage(c, func(m *schedulerpb.PeerMessage) {
		m.Body = &schedulerpb.PeerMessage_OriginError{OriginError: &schedulerpb.OriginError{
			LeaseId: lease.Id, Error: wire.ErrorTo(pieces.Errorf(pieces.Denied, "403")),
		}}
	})
	for _, d := range []*fakeDaemon{a, b} {
		e := next(d, getOriginError)
		require.Equal(t, pieces.Denied, pieces.KindOf(wire.ErrorFrom(e.Error)))
		require.Equal(t, uint32(2), e.Extents[0].End)
	}
}

func TestLeavingMovesTheLease(t *testing.T) {
	s := startServer(t, Options{})
	a, b := newDaemon(t, s.addr).open(quick), newDaemon(t, s.addr).open(quick)
	c := newContent(t, "http://example.com/f", 2)
	a.learn(c)
	a.register(c)
	b.register(c)
	a.want(c, 0, 2)
	next(a, getLease)
	b.want(c, 0, 2)
	_, err := a.rpc.LeaveHost(a.ctx(), &schedulerpb.LeaveHostRequest{HostId: string(a.host.ID)})
	require.NoError(t, err)
	require.Equal(t, uint32(2), next(b, getLease).Extent.End)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(a.ended()))
	_, err = a.tryRegister(c)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err), "it must announce itself again")
}

func TestFullQueueDropsTheSession(t *testing.T) {
	s := startServer(t, Options{QueueLength: 4})
	slow, d := newDaemon(t, s.addr), newDaemon(t, s.addr).open(quick)
	slow.open(quick)
	c := newContent(t, "http://example.com/f", 2)
	d.learn(c)
	slow.register(c)
	ses := s.sessionOf(slow.host.ID)
	for range 10_000 { // more than the transport takes at once
		ses.queue(encode(c.task.ID, c.facts.VersionID(), swarm.Digests{Sums: []pieces.SumRun{{Sums: make([]pieces.Sum, 64)}}}))
	}
	require.Equal(t, pieces.Full, pieces.KindOf(slow.ended()))
}

func (r *running) sessionOf(id pieces.HostID) *session {
	r.hosts.mu.Lock()
	defer r.hosts.mu.Unlock()
	return r.hosts.all[id].session
}

func TestBadMessagesEndTheSessionAsInvalid(t *testing.T) {
	s := startServer(t, Options{})
	c := newContent(t, "http://example.com/f", 2)
	for name, body := range map[string]*schedulerpb.PeerMessage{
		"task":    {Task: "x", Version: c.version(), Body: &schedulerpb.PeerMessage_Lost{Lost: &schedulerpb.Lost{}}},
		"version": {Task: string(c.task.ID), Version: "x", Body: &schedulerpb.PeerMessage_Lost{Lost: &schedulerpb.Lost{}}},
		"extent": {Task: string(c.task.ID), Version: c.version(), Body: &schedulerpb.PeerMessage_Lost{
			Lost: &schedulerpb.Lost{Extents: []*commonpb.Extent{{First: 5, End: 2}}}}},
		"class": {Task: string(c.task.ID), Version: c.version(), Body: &schedulerpb.PeerMessage_Want{
			Want: &schedulerpb.Want{Class: 99}}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t, s.addr).open(quick)
			d.say(body)
			require.Equal(t, pieces.Invalid, pieces.KindOf(d.ended()))
		})
	}
	t.Run("no hello", func(t *testing.T) {
		d := newDaemon(t, s.addr)
		st, err := d.rpc.ReportPieceResult(d.ctx())
		require.NoError(t, err)
		require.NoError(t, st.Send(&schedulerpb.PeerMessage{}))
		_, err = st.Recv()
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	})
}

func TestATaskMustHashToItsID(t *testing.T) {
	s := startServer(t, Options{})
	d := newDaemon(t, s.addr)
	c := newContent(t, "http://example.com/f", 2)
	other := newContent(t, "http://example.com/g", 2)
	c.task.ID = other.task.ID
	_, err := d.stat(c)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

func TestMovedNamesTheOwner(t *testing.T) {
	s := startServer(t, Options{Peers: []string{"127.0.0.1:1", "127.0.0.1:2"}})
	d := newDaemon(t, s.addr)
	mine, theirs := 0, 0
	for i := range 20 {
		c := newContent(t, "http://example.com/"+string(rune('a'+i)), 2)
		r, err := d.stat(c)
		require.NoError(t, err)
		if r.Moved == "" {
			mine++
			continue
		}
		theirs++
		require.Contains(t, []string{"127.0.0.1:1", "127.0.0.1:2"}, r.Moved)
		r, err = d.rpc.StatTask(d.ctx(), &schedulerpb.StatTaskRequest{
			HostId: string(d.host.ID), Task: wire.TaskTo(c.task), CanFetch: true, OwnerTried: true})
		require.NoError(t, err)
		require.NotZero(t, r.LeaseId)
	}
	require.NotZero(t, mine)
	require.NotZero(t, theirs)
}

func TestAllLeftNothingStays(t *testing.T) {
	rules := swarm.Defaults()
	rules.TaskTTL = time.Millisecond
	s := startServer(t, Options{Swarm: &rules, HostTTL: time.Second})
	d := newDaemon(t, s.addr).open(quick)
	for _, url := range []string{"http://example.com/1", "http://example.com/2"} {
		c := newContent(t, url, 2)
		d.learn(c)
		d.register(c)
		d.want(c, 0, 2)
		next(d, getLease)
	}
	d.hangUp()
	require.Eventually(t, func() bool {
		hosts, sessions := s.hosts.counts()
		return hosts+sessions+s.tasks.count() == 0
	}, patience, 20*time.Millisecond)
}
