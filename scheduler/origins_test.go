package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// table is origins with a clock and rules of its own.
type table struct {
	*origins
	now   time.Time
	rules swarm.Options
}

func newTable(most int) *table {
	return &table{newOrigins(func() int { return most }), time.Unix(1e9, 0), swarm.Defaults()}
}

func (o *table) entry(t *testing.T, url string) *entry {
	task := newContent(t, url, 1).task
	return &entry{id: task.ID, origin: originOf(task)}
}

func (o *table) fails(e *entry, retry time.Duration) {
	o.rests(e, &pieces.Error{Kind: pieces.Throttled, RetryAfter: retry}, o.now, &o.rules)
}

// left is for how long e must leave its origin alone; 0 = it finds out, or there
// is nothing to find out.
func (o *table) left(e *entry) time.Duration {
	r, trying := o.look(e, o.now, &o.rules)
	if trying {
		o.probes(e, o.now, &o.rules)
	}
	return max(0, r.Until.Sub(o.now))
}

func TestAnOriginRestsForAllItsTasks(t *testing.T) {
	o := newTable(10)
	a, b := o.entry(t, "http://example.com/a"), o.entry(t, "http://EXAMPLE.com:80/b?x")
	others := []*entry{o.entry(t, "https://example.com/a"), o.entry(t, "http://example.com:81/a"), o.entry(t, "http://www.example.com/a")}
	o.fails(a, 3*time.Second)
	require.Equal(t, 3*time.Second, o.left(b))
	for _, e := range others {
		require.Zero(t, o.left(e))
	}
	o.now = o.now.Add(time.Second)
	o.fails(b, time.Second) // it was asked before: nothing new
	require.Equal(t, 2*time.Second, o.left(a))
	o.answers(a) // so was this
	require.Equal(t, 2*time.Second, o.left(a))

	// One finds out.
	o.now = o.now.Add(2 * time.Second)
	_, trying := o.look(b, o.now, &o.rules)
	require.True(t, trying)
	require.Equal(t, o.rules.ProbeFor/tryShare, o.left(a), "maybe b asks nothing")
	o.probes(b, o.now, &o.rules)
	require.Equal(t, o.rules.ProbeFor, o.left(a))
	require.Zero(t, o.left(b))
	o.answers(a)
	require.Equal(t, o.rules.ProbeFor, o.left(a))
	o.untry(b)
	_, trying = o.look(a, o.now, &o.rules)
	require.True(t, trying, "it asked nothing after all")
	o.fails(a, 0)
	require.Equal(t, 2*o.rules.BackoffMin, o.left(b), "the second pause is longer")

	// Who is to find out and does not makes place for another.
	o.now = o.now.Add(2 * o.rules.BackoffMin)
	require.Zero(t, o.left(a))
	o.now = o.now.Add(o.rules.ProbeFor)
	require.Zero(t, o.left(b))
	require.Equal(t, o.rules.ProbeFor, o.left(a))
	o.answers(b)
	require.Zero(t, o.left(a))
	require.Zero(t, o.count.Load())
}

func TestNoOriginRestsForLong(t *testing.T) {
	o := newTable(10)
	a, b := o.entry(t, "http://example.com/a"), o.entry(t, "http://example.com/b")
	o.fails(a, 24*time.Hour)
	require.Equal(t, o.rules.RestMax, o.left(b))
	for range 30 {
		o.now = o.now.Add(o.left(b))
		require.Zero(t, o.left(a))
		o.fails(a, 0)
	}
	require.Equal(t, o.rules.BackoffMax, o.left(b))
}

func TestOriginsAreForgotten(t *testing.T) {
	o := newTable(3)
	for i := range 10 {
		o.fails(o.entry(t, fmt.Sprintf("http://example%d.com/", i)), time.Duration(i+1)*time.Second)
	}
	require.EqualValues(t, 3, o.count.Load())
	last := o.entry(t, "http://example9.com/")
	require.Equal(t, 10*time.Second, o.left(last), "the longest rests stay")
	o.collect(o.now.Add(10*time.Second+o.rules.BackoffMax), &o.rules)
	require.EqualValues(t, 1, o.count.Load())
	o.collect(o.now.Add(11*time.Second+o.rules.BackoffMax), &o.rules)
	require.Zero(t, o.count.Load())
	require.Empty(t, o.all)
}

// Tasks that need nothing of an origin keep it in nobody's memory.
func TestAnOriginThatNobodyAsksIsForgotten(t *testing.T) {
	o := newTable(3)
	e := o.entry(t, "http://example.com/")
	o.fails(e, time.Second)
	o.now = o.now.Add(time.Second)
	for end := o.now.Add(o.rules.BackoffMax); !o.now.After(end); o.now = o.now.Add(time.Second) {
		_, trying := o.look(e, o.now, &o.rules)
		require.True(t, trying)
		o.untry(e)
		o.collect(o.now, &o.rules)
		require.EqualValues(t, 1, o.count.Load())
	}
	o.collect(o.now, &o.rules)
	require.Zero(t, o.count.Load())
}

// What one Task's reader hears keeps all Tasks of that origin away, for facts and
// for bytes, until one of them finds out that it answers again.
func TestAThrottledOriginIsLeftAloneByAllTasks(t *testing.T) {
	rules := swarm.Defaults()
	rules.RestMax = 2 * time.Second
	s := startServer(t, Options{Swarm: &rules})
	d := newDaemon(t, s.addr).open(quick)
	busy, held := newContent(t, "http://example.com/busy", 2), newContent(t, "http://example.com/held", 2)
	unknown, elsewhere := newContent(t, "http://example.com/unknown", 2), newContent(t, "http://example.org/f", 2)
	d.register(held)
	r, err := d.stat(busy)
	require.NoError(t, err)
	began := time.Now()
	_, err = d.rpc.StatTask(d.ctx(), &schedulerpb.StatTaskRequest{
		HostId: string(d.host.ID), Task: wire.TaskTo(busy.task), CanFetch: true, LeaseId: r.LeaseId,
		Error: wire.ErrorTo(&pieces.Error{Kind: pieces.Throttled, Msg: "429", RetryAfter: time.Hour}),
	})
	require.Equal(t, pieces.Throttled, pieces.KindOf(err))

	_, err = d.stat(unknown)
	require.Equal(t, pieces.Throttled, pieces.KindOf(err), "%v", err)
	left := pieces.RetryAfter(err)
	require.Positive(t, left)
	require.LessOrEqual(t, left, rules.RestMax)
	r, err = d.stat(elsewhere)
	require.NoError(t, err)
	require.NotZero(t, r.LeaseId, "another origin is not concerned")
	d.want(held, 0, 2)
	lease := next(d, getLease) // the one that finds out
	require.GreaterOrEqual(t, time.Since(began), rules.RestMax)
	_, err = d.stat(unknown)
	require.Equal(t, pieces.Throttled, pieces.KindOf(err), "one finds out")
	d.held(held, pieces.Extent{First: 0, End: 2}, lease.Id)
	require.Eventually(t, func() bool {
		r, err := d.stat(unknown)
		return err == nil && r.LeaseId != 0
	}, patience, 10*time.Millisecond)
	require.Zero(t, s.origins.count.Load())
}

// A missing or forbidden file says nothing of others.
func TestAMissingFileConcernsNoOther(t *testing.T) {
	s := startServer(t, Options{})
	d := newDaemon(t, s.addr)
	for i, kind := range []pieces.Kind{pieces.NotFound, pieces.Denied, pieces.Origin} {
		c := newContent(t, fmt.Sprintf("http://example.com/%d", i), 2)
		r, err := d.stat(c)
		require.NoError(t, err)
		require.NotZero(t, r.LeaseId)
		_, err = d.rpc.StatTask(d.ctx(), &schedulerpb.StatTaskRequest{
			HostId: string(d.host.ID), Task: wire.TaskTo(c.task), CanFetch: true, LeaseId: r.LeaseId,
			Error: wire.ErrorTo(pieces.Errorf(kind, "no")),
		})
		require.Equal(t, kind, pieces.KindOf(err))
	}
	require.Zero(t, s.origins.count.Load())
}
