package scheduler

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/pieces/ring"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

func getResume(m *schedulerpb.SchedulerMessage) *schedulerpb.Resume { return m.GetResume() }
func getMoved(m *schedulerpb.SchedulerMessage) *schedulerpb.Moved   { return m.GetMoved() }

// ringOfTwo starts two schedulers, and a content that the first of them owns.
func ringOfTwo(t *testing.T, o Options) (owner, stand *running, c content) {
	t.Helper()
	var addrs []string
	for range 2 {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		addrs = append(addrs, lis.Addr().String())
		require.NoError(t, lis.Close())
	}
	var both [2]*running
	for i, addr := range addrs {
		o.Advertise, o.Peers = addr, addrs
		both[i] = startServerAt(t, addr, o)
	}
	r := ring.New(addrs)
	for i := 0; ; i++ {
		c = newContent(t, fmt.Sprintf("http://example.com/%d", i), 8)
		if r.Owner(string(c.task.ID)) == addrs[0] {
			return both[0], both[1], c
		}
	}
}

// grown makes a scheduler older than any YoungFor.
func (r *running) grown() { r.age.born.Store(-int64(time.Hour)) }

// inventory announces what d holds of c, on the page that begins it.
func (d *fakeDaemon) inventory(c content, n int) uint32 {
	d.t.Helper()
	r, err := d.rpc.AnnounceHost(d.ctx(), &schedulerpb.AnnounceHostRequest{
		Host: wire.HostTo(d.host), InventoryBegins: true,
		Inventory: []*schedulerpb.InventoryItem{{Task: string(c.task.ID), Version: c.version(), Pieces: uint32(n)}},
	})
	require.NoError(d.t, err)
	return r.Inventory
}

// resume registers d as one that took part before, with pieces and leases.
func (d *fakeDaemon) resume(c content, held pieces.Extent, leases ...*schedulerpb.RunningLease) {
	d.t.Helper()
	m := &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(d.host.ID), Task: wire.TaskTo(c.task), Version: c.version(), CanFetch: true, Facts: wire.FactsTo(c.facts),
		Resumed: true, OwnerTried: true, Stay: true, Leases: leases,
	}
	if !held.Empty() {
		m.Held = wire.ExtentsTo([]pieces.Extent{held})
	}
	_, err := d.rpc.RegisterPeerTask(d.ctx(), m)
	require.NoError(d.t, err)
	if !held.Empty() {
		d.held(c, held, 0)
	}
}

// A scheduler that restarted knows nothing. Eight hosts hold a piece each and
// take no part; a ninth opens the file: nothing is leased that is held.
func TestARestartedSchedulerLeasesNothingThatIsHeld(t *testing.T) {
	s := startServer(t, Options{})
	c := newContent(t, "http://example.com/f", 8)
	var holders []*fakeDaemon
	for range 8 {
		d := newDaemon(t, s.addr).open(quick)
		require.EqualValues(t, 1, d.inventory(c, 1))
		holders = append(holders, d)
	}
	come := make(chan struct{})
	go func() {
		defer close(come)
		for i, d := range holders {
			next(d, getResume)
			d.resume(c, pieces.Extent{First: i, End: i + 1})
		}
	}()
	fresh := newDaemon(t, s.addr).open(quick)
	r, err := fresh.stat(c)
	require.NoError(t, err)
	require.Equal(t, c.facts.Size, r.GetFacts().GetSize(), "the facts come from the holders")
	fresh.register(c)
	fresh.want(c, 0, 8)
	named := map[uint32]bool{}
	for len(named) < 8 {
		for _, h := range next(fresh, getHolders).Holders {
			for _, e := range h.Held {
				for i := e.First; i < e.End; i++ {
					named[i] = true
				}
			}
		}
	}
	<-come
	require.Zero(t, s.leasesGranted(t, c))
	require.EqualValues(t, 8, s.inventory.count())
}

// Those who don't come hold nobody up for longer than the grace.
func TestHoldersThatDontComeAreNotWaitedFor(t *testing.T) {
	rules := swarm.Defaults()
	rules.Grace = 200 * time.Millisecond
	s := startServer(t, Options{Swarm: &rules})
	c := newContent(t, "http://example.com/f", 8)
	gone := newDaemon(t, s.addr).open(quick)
	gone.inventory(c, 8)
	fresh := newDaemon(t, s.addr).open(quick)
	began := time.Now()
	fresh.learn(c)
	require.GreaterOrEqual(t, time.Since(began), rules.Grace)
	fresh.register(c)
	fresh.want(c, 0, 8)
	next(fresh, getLease)
	// One that holds nothing any more says so, and is not asked again.
	_, err := gone.rpc.LeaveTask(gone.ctx(), &schedulerpb.LeaveTaskRequest{
		HostId: string(gone.host.ID), Task: string(c.task.ID), Version: c.version()})
	require.NoError(t, err)
	require.Zero(t, s.inventory.count())
}

// A resumed Peer's lease goes on, under its old number, and is given to nobody
// else.
func TestRunningLeasesGoOn(t *testing.T) {
	s := startServer(t, Options{})
	c := newContent(t, "http://example.com/f", 8)
	a, b := newDaemon(t, s.addr).open(quick), newDaemon(t, s.addr).open(quick)
	a.resume(c, pieces.Extent{}, &schedulerpb.RunningLease{LeaseId: 77, Extents: []*commonpb.Extent{{First: 0, End: 8}}})
	b.register(c)
	b.want(c, 0, 8)
	require.Equal(t, string(a.host.ID), next(b, getHolders).Holders[0].Host.Id, "named as fetching")
	a.held(c, pieces.Extent{First: 0, End: 8}, 77)
	next(b, getDigests)
	require.Zero(t, s.leasesGranted(t, c))
}

// A young owner asks the stand-in, where the swarm went meanwhile.
func TestAYoungSchedulerAsksTheOthers(t *testing.T) {
	owner, stand, c := ringOfTwo(t, Options{})
	old := newDaemon(t, stand.addr).open(quick)
	old.resume(c, pieces.Extent{First: 0, End: 8})

	fresh := newDaemon(t, owner.addr).open(quick)
	r, err := fresh.stat(c)
	require.NoError(t, err)
	require.Equal(t, stand.addr, r.Moved)
	reg, err := fresh.tryRegister(c)
	require.NoError(t, err)
	require.Equal(t, stand.addr, reg.Moved)
	// Whoever can't reach the stand-in is served, and so are others then.
	fresh.resume(c, pieces.Extent{First: 0, End: 8})
	reg, err = newDaemon(t, owner.addr).tryRegister(c)
	require.NoError(t, err)
	require.Empty(t, reg.Moved)
}

func TestAnOldSchedulerAsksNobody(t *testing.T) {
	owner, stand, c := ringOfTwo(t, Options{})
	newDaemon(t, stand.addr).open(quick).resume(c, pieces.Extent{First: 0, End: 8})
	owner.grown()
	r, err := newDaemon(t, owner.addr).stat(c)
	require.NoError(t, err)
	require.Empty(t, r.Moved)
	require.NotZero(t, r.LeaseId)
}

// Of two young schedulers one is dead: nobody waits for it, nor twice for the
// same Task.
func TestADeadFellowCostsLittle(t *testing.T) {
	owner, stand, c := ringOfTwo(t, Options{})
	stand.stop()
	d := newDaemon(t, owner.addr).open(quick)
	began := time.Now()
	d.learn(c)
	d.register(c)
	require.Less(t, time.Since(began), patience)
	require.True(t, owner.settled(c.task.ID))
}

func TestAge(t *testing.T) {
	a := &age{start: time.Now()}
	at := func(d time.Duration) time.Time { return a.start.Add(d) }
	const gap, young = 3 * time.Second, 30 * time.Second
	for s := range 40 {
		require.False(t, a.tick(at(time.Duration(s)*time.Second), gap))
		require.Equal(t, s < 30, a.under(young, at(time.Duration(s)*time.Second), gap), "second %d", s)
	}
	require.True(t, a.under(young, at(43*time.Second), gap), "it stood still, and has not noticed yet")
	require.True(t, a.tick(at(43*time.Second), gap))
	require.True(t, a.under(young, at(44*time.Second), gap))
	require.False(t, a.tick(at(44*time.Second), gap))
	require.False(t, a.under(young, at(73*time.Second), time.Hour))
}

// A stand-in sends an idle swarm back to the owner that has answered for long
// enough, and not one at work.
func TestIdleSwarmsAreHandedBack(t *testing.T) {
	owner, stand, c := ringOfTwo(t, Options{HandBackAfter: 50 * time.Millisecond, HandBackEvery: 10 * time.Millisecond})
	d := newDaemon(t, stand.addr).open(quick)
	d.resume(c, pieces.Extent{First: 0, End: 4})
	d.want(c, 4, 8)
	lease := next(d, getLease)
	require.Eventually(t, func() bool { return stand.fellows.steady(owner.addr, time.Now()) > 100*time.Millisecond }, patience, time.Millisecond)
	for len(d.heard) > 0 {
		require.Nil(t, (<-d.heard).GetMoved(), "somebody wants something")
	}
	d.held(c, pieces.Extent{First: 4, End: 8}, lease.Id)
	require.Equal(t, owner.addr, next(d, getMoved).Address)
}

// One Peer follows the owner's Resume: the others are sent after it.
func TestTheSwarmMovesAsOne(t *testing.T) {
	owner, stand, c := ringOfTwo(t, Options{})
	first, other := newDaemon(t, stand.addr).open(quick), newDaemon(t, stand.addr).open(quick)
	first.resume(c, pieces.Extent{First: 0, End: 8})
	other.resume(c, pieces.Extent{First: 0, End: 1})
	leave := func(d *fakeDaemon, to string) {
		_, err := d.rpc.LeaveTask(d.ctx(), &schedulerpb.LeaveTaskRequest{
			HostId: string(d.host.ID), Task: string(c.task.ID), Version: c.version(), Moved: to})
		require.NoError(t, err)
	}
	leave(newDaemon(t, stand.addr), "127.0.0.1:9") // who is not the owner says nothing
	leave(first, owner.addr)
	require.Equal(t, owner.addr, next(other, getMoved).Address)
	leave(other, owner.addr)
	require.False(t, stand.populated(c.task.ID))
}

// A mute fellow is not asked for a moment, and begins anew after it.
func TestFellowsThatDontAnswer(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0") // accepts, says nothing
	require.NoError(t, err)
	defer lis.Close()
	addr := lis.Addr().String()
	f := &fellows{self: "127.0.0.1:1", timeout: 50 * time.Millisecond}
	f.setRing([]string{"127.0.0.1:1", addr})
	defer f.close()
	id := newContent(t, "http://example.com/f", 1).task.ID
	now := time.Now()
	_, err = f.ask(context.Background(), addr, id, now)
	require.Error(t, err)
	began := time.Now()
	_, err = f.ask(context.Background(), addr, id, now.Add(fellowRest/2))
	require.Error(t, err)
	require.Less(t, time.Since(began), f.timeout, "not asked at all")
	require.Zero(t, f.steady(addr, now))
	require.Empty(t, f.where(context.Background(), id))
	f.setRing([]string{"127.0.0.1:1"})
	require.Empty(t, f.conns)
	require.False(t, f.others())
}

func TestTheRingComesFromTheManager(t *testing.T) {
	f := &fakeManager{}
	addr := serveManager(t, f)
	s := startServer(t, Options{Managers: []string{addr}})
	f.mu.Lock()
	f.ring = []string{s.addr, "127.0.0.1:9", "no address"}
	f.mu.Unlock()
	require.Eventually(t, s.fellows.others, patience, time.Millisecond)
	d := newDaemon(t, s.addr)
	theirs := 0
	for i := range 20 {
		r, err := d.stat(newContent(t, fmt.Sprintf("http://example.com/%d", i), 1))
		require.NoError(t, err)
		if r.Moved != "" {
			require.Equal(t, "127.0.0.1:9", r.Moved)
			theirs++
		}
	}
	require.NotZero(t, theirs)
}

func keyN(i int) pieces.Key {
	return pieces.Key{Task: pieces.TaskID(fmt.Sprintf("%064x", i)), Version: pieces.VersionID(fmt.Sprintf("%032x", i))}
}

func TestInventoryIndex(t *testing.T) {
	a, b := pieces.HostID(strings.Repeat("a", 32)), pieces.HostID(strings.Repeat("b", 32))
	n := newInventory(func() int { return 5 })
	n.page(a, true, []item{{keyN(1), 3}, {keyN(2), 1}})
	n.page(a, false, []item{{keyN(3), 1}, {keyN(1), 4}})
	n.page(b, true, []item{{keyN(1), 9}, {keyN(4), 1}, {keyN(5), 1}})
	require.Equal(t, 3, n.known(a))
	require.Equal(t, 2, n.known(b), "no more than 5 in all")
	now := time.Now()
	held, asked := n.holders(keyN(1).Task, now, time.Second)
	require.True(t, asked.IsZero())
	require.Equal(t, []pieces.HostID{b, a}, []pieces.HostID{held[0].host, held[1].host})
	require.EqualValues(t, 4, held[1].pieces)
	require.Equal(t, keyN(1).Version, held[0].version.id())
	held, asked = n.holders(keyN(1).Task, now.Add(time.Second/2), time.Second)
	require.Empty(t, held)
	require.Equal(t, now, asked)
	n.note(b, item{keyN(1), 0})
	held, _ = n.holders(keyN(1).Task, now.Add(2*time.Second), time.Second)
	require.Len(t, held, 1)
	n.page(a, true, nil)
	n.forget(b)
	require.Zero(t, n.count())
	require.Empty(t, n.tasks)
	require.Empty(t, n.hosts)
}

// What an inventory of many Tasks costs.
func BenchmarkInventory(b *testing.B) {
	host := pieces.HostID(strings.Repeat("a", 32))
	const items = 100_000
	page := make([]item, items)
	for i := range page {
		page[i] = item{keyN(i), 1}
	}
	b.ReportAllocs()
	for b.Loop() {
		newInventory(func() int { return items }).page(host, true, page)
	}
}
