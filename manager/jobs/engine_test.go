package jobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store"
	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// soon is longer than anything takes.
const soon = 60 * time.Second

// fakeHosts does items as do says; nil succeeds at once.
type fakeHosts struct {
	mu    sync.Mutex
	do    func(ctx context.Context, h pieces.Host, progress func(done, total int64)) error
	calls map[pieces.HostID]int
	facts *pieces.Facts
}

func (f *fakeHosts) call(ctx context.Context, h pieces.Host, progress func(done, total int64)) (Outcome, error) {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[pieces.HostID]int{}
	}
	f.calls[h.ID]++
	do := f.do
	f.mu.Unlock()
	if do != nil {
		if err := do(ctx, h, progress); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{Done: 10, Total: 10, Facts: f.facts, Result: map[string]int{"x": 1}}, nil
}

func (f *fakeHosts) Preheat(ctx context.Context, h pieces.Host, _ *pieces.Task, progress func(done, total int64)) (Outcome, error) {
	return f.call(ctx, h, progress)
}
func (f *fakeHosts) Delete(ctx context.Context, h pieces.Host, _ pieces.TaskID) (Outcome, error) {
	return f.call(ctx, h, nil)
}
func (f *fakeHosts) Holding(ctx context.Context, h pieces.Host, _ pieces.TaskID) (Outcome, error) {
	return f.call(ctx, h, nil)
}
func (f *fakeHosts) Collect(ctx context.Context, h pieces.Host) (Outcome, error) {
	return f.call(ctx, h, nil)
}

// world is a database with hosts and one Task, and engines on it.
type world struct {
	t     *testing.T
	store *store.Store
	task  *pieces.Task
	hosts []store.Host
	since time.Time
}

func newWorld(t *testing.T, database string, hosts int) *world {
	s, err := store.Open(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	w := &world{t: t, store: s, since: time.Now().Add(-time.Hour)}
	w.task, err = pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	require.NoError(t, s.PutTask(t.Context(), store.Put{Task: w.task, Now: time.Now()}))
	for i := range hosts {
		h := pieces.Host{ID: pieces.NewHostID([16]byte{byte(i)}), Hostname: fmt.Sprintf("h%d", i), IP: "10.0.0.1", PeerPort: 1000 + i, UploadPort: 1}
		w.hosts = append(w.hosts, store.Host{Cluster: "default", Host: h, Seen: time.Now()})
	}
	require.NoError(t, s.Beat(t.Context(), nil, w.hosts, nil))
	return w
}

func sqlite(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "m.db") }

func onEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqlite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.New(t)) })
}

// engine runs on s until the returned function stops it. A job is its own for
// longer than a busy machine keeps it from renewing its lease.
func (w *world) engine(s Store, owner string, hosts Hosts) (stop func()) {
	return w.engineWith(time.Minute, s, owner, hosts)
}

func (w *world) engineWith(lease time.Duration, s Store, owner string, hosts Hosts) (stop func()) {
	e := New(Options{
		Store: s, Hosts: hosts, Owner: owner, Since: func() time.Time { return w.since },
		Lease: lease, Renew: 20 * time.Millisecond, Poll: 20 * time.Millisecond, RetryWait: time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) add(id string, kind Kind, target Target, timeout time.Duration) {
	spec := Spec{Target: target}
	if kind != Collect {
		spec.Tasks = []pieces.TaskID{w.task.ID}
	}
	require.NoError(w.t, spec.Check(kind))
	text, err := spec.Encode()
	require.NoError(w.t, err)
	require.NoError(w.t, w.store.AddJob(w.t.Context(), store.Job{ID: id, Kind: string(kind), Cluster: "default", Spec: text, Created: time.Now(), Timeout: timeout}))
}

func (w *world) until(id string, is func(store.Job) bool) store.Job {
	w.t.Helper()
	var j store.Job
	require.Eventually(w.t, func() (ok bool) {
		var err error
		j, err = w.store.Job(w.t.Context(), id)
		return err == nil && is(j)
	}, soon, 5*time.Millisecond)
	return j
}

func ended(j store.Job) bool { return j.State.Done() }

var everywhere = Target{Who: AllHosts}

func TestAPreheatGoesToAllHosts(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		w := newWorld(t, database, 5)
		f := &fakeHosts{facts: &pieces.Facts{Size: 10, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"x"`}}}
		progress := make(chan struct{})
		f.do = func(_ context.Context, _ pieces.Host, tell func(done, total int64)) error {
			tell(4, 10)
			<-progress
			return nil
		}
		w.engine(w.store, "m", f)
		w.add("a", Preheat, everywhere, time.Hour)
		j := w.until("a", func(j store.Job) bool { return j.Counts[store.Running] == 5 && j.Done == 20 })
		require.Equal(t, []any{store.Running, "m", int64(50)}, []any{j.State, j.Owner, j.Total})
		close(progress)
		j = w.until("a", ended)
		require.Equal(t, []any{store.Succeeded, "", int64(50), map[store.JobState]int{store.Succeeded: 5}}, []any{j.State, j.Error, j.Done, j.Counts})
		items, err := w.store.Items(t.Context(), "a", "", 0, 10)
		require.NoError(t, err)
		require.Len(t, items, 5)
		require.JSONEq(t, `{"x":1}`, items[0].Result)
		e, err := w.store.Task(t.Context(), w.task.ID, time.Now())
		require.NoError(t, err)
		require.Equal(t, f.facts, e.Facts, "the catalogue knows the version now")
	})
}

func TestFailuresAreTriedAgainIfTheyMayPass(t *testing.T) {
	w := newWorld(t, sqlite(t), 3)
	var fixed atomic.Bool
	var tries sync.Map
	f := &fakeHosts{do: func(_ context.Context, h pieces.Host, _ func(done, total int64)) error {
		n, _ := tries.LoadOrStore(h.Hostname, new(atomic.Int64))
		try := n.(*atomic.Int64).Add(1)
		switch {
		case h.Hostname == "h1" && try < 3:
			return pieces.Errorf(pieces.Unavailable, "not just now")
		case h.Hostname == "h2" && !fixed.Load():
			return pieces.Errorf(pieces.NotFound, "the origin says 404")
		}
		return nil
	}}
	w.engine(w.store, "m", f)
	w.add("a", Preheat, everywhere, time.Hour)
	j := w.until("a", ended)
	require.Equal(t, store.Failed, j.State)
	require.Equal(t, "1 of 3 failed; the first: h2: the origin says 404", j.Error)
	items, err := w.store.Items(t.Context(), "a", "", 0, 10)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 1}, []int{items[0].Attempts, items[1].Attempts, items[2].Attempts})
	require.Equal(t, []string{"", "", "the origin says 404"}, []string{items[0].Error, items[1].Error, items[2].Error})

	fixed.Store(true)
	require.NoError(t, w.store.RetryJob(t.Context(), "a", 0))
	require.Equal(t, store.Succeeded, w.until("a", ended).State)
	require.Equal(t, 1, f.calls[w.hosts[0].Host.ID], "what was done is not done again")
}

// A job is looked after as often however long its lease is: its progress is
// written and its cancellation noticed then.
func TestALongLeaseIsRenewedAsOften(t *testing.T) {
	require.Equal(t, time.Second, Options{}.withDefaults().Renew)
	require.Equal(t, time.Second, Options{Lease: time.Hour}.withDefaults().Renew)
	require.Equal(t, 200*time.Millisecond, Options{Lease: 1200 * time.Millisecond}.withDefaults().Renew)
}

// What a host has is not shown to shrink when it is asked again.
func TestProgressOutlivesAnAttempt(t *testing.T) {
	w := newWorld(t, sqlite(t), 1)
	tries, seen := 0, make(chan struct{})
	f := &fakeHosts{do: func(_ context.Context, _ pieces.Host, tell func(done, total int64)) error {
		if tries++; tries == 1 {
			tell(4, 10)
			return pieces.Errorf(pieces.Unavailable, "not just now")
		}
		tell(0, -1) // it looks what it has
		<-seen
		return nil
	}}
	w.engine(w.store, "m", f)
	w.add("a", Preheat, everywhere, time.Hour)
	var item store.JobItem
	require.Eventually(t, func() bool {
		items, err := w.store.Items(t.Context(), "a", "", 0, 10)
		if err != nil || len(items) == 0 {
			return false
		}
		item = items[0]
		require.True(t, item.Attempts < 2 || item.Done == 4, "%+v", item)
		return item.Attempts == 2 && item.State == store.Running
	}, soon, time.Millisecond)
	require.Equal(t, []int64{4, 10}, []int64{item.Done, item.Total})
	close(seen)
	require.Equal(t, store.Succeeded, w.until("a", ended).State)

	item = store.JobItem{Done: 7, Total: 10}
	came(&item, 3, 5)
	require.Equal(t, store.JobItem{Done: 5, Total: 5}, item, "another version, and smaller")
}

func TestAHostThatDiedFailsAlone(t *testing.T) {
	w := newWorld(t, sqlite(t), 2)
	w.add("a", Preheat, everywhere, time.Hour)
	j, ok, err := w.store.Claim(t.Context(), "planner", -time.Second, time.Now())
	require.NoError(t, err)
	require.True(t, ok)
	items, err := plan(Preheat, Spec{Tasks: []pieces.TaskID{w.task.ID}, Target: everywhere}, w.hosts)
	require.NoError(t, err)
	require.NoError(t, w.store.Plan(t.Context(), "a", j.Fence, items, time.Now()))
	require.NoError(t, w.store.RemoveHost(t.Context(), w.hosts[1].Host.ID))
	w.engine(w.store, "m", &fakeHosts{})
	j = w.until("a", ended)
	require.Equal(t, "1 of 2 failed; the first: h1: host h1 is not alive", j.Error)
}

// hang waits for its context.
func hang(ctx context.Context, _ pieces.Host, _ func(done, total int64)) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestJobsAreCanceledAndTimeOut(t *testing.T) {
	w := newWorld(t, sqlite(t), 2)
	w.engine(w.store, "m", &fakeHosts{do: hang})
	w.add("a", Preheat, everywhere, time.Hour)
	w.add("b", Preheat, everywhere, 200*time.Millisecond)
	w.until("a", func(j store.Job) bool { return j.Counts[store.Running] == 2 })
	require.NoError(t, w.store.CancelJob(t.Context(), "a", 0))
	j := w.until("a", ended)
	require.Equal(t, []any{store.Canceled, map[store.JobState]int{store.Canceled: 2}}, []any{j.State, j.Counts})
	j = w.until("b", ended)
	require.Equal(t, store.Failed, j.State)
	require.Zero(t, j.Counts[store.Waiting]+j.Counts[store.Running]+j.Counts[store.Canceled], "what was not done has failed")
	require.Contains(t, j.Error, "time was up after 200ms")
}

func TestAJobForNobodyFails(t *testing.T) {
	w := newWorld(t, sqlite(t), 2)
	w.engine(w.store, "m", &fakeHosts{})
	w.add("a", Preheat, Target{}, time.Hour)
	j := w.until("a", ended)
	require.Equal(t, []any{store.Failed, "no live host fits the target seed"}, []any{j.State, j.Error})
}

func TestDeleteTakesTheTaskOffTheCatalogueFirst(t *testing.T) {
	w := newWorld(t, sqlite(t), 2)
	f := &fakeHosts{do: func(ctx context.Context, _ pieces.Host, _ func(done, total int64)) error {
		if _, err := w.store.Task(ctx, w.task.ID, time.Now()); pieces.KindOf(err) != pieces.NotFound {
			return pieces.Errorf(pieces.Invalid, "it is still there: %v", err)
		}
		return nil
	}}
	w.engine(w.store, "m", f)
	for id, add := range []func(id string){
		func(id string) { w.add(id, Delete, Target{}, time.Hour) },
		func(id string) { w.add(id, Holders, Target{}, time.Hour) },
		func(id string) { w.add(id, Collect, Target{Who: OneHost, Host: w.hosts[1].Host.ID}, time.Hour) },
	} {
		add(string(rune('a' + id)))
		j := w.until(string(rune('a'+id)), ended)
		require.Equal(t, store.Succeeded, j.State, j.Error)
	}
	require.Equal(t, []int{2, 3}, []int{f.calls[w.hosts[0].Host.ID], f.calls[w.hosts[1].Host.ID]})
}

// mortal is a Store that a killed manager can't reach any more.
type mortal struct {
	*store.Store
	dead atomic.Bool
}

func (m *mortal) down() error {
	if m.dead.Load() {
		return pieces.Errorf(pieces.Unavailable, "killed")
	}
	return nil
}

func (m *mortal) Renew(ctx context.Context, id string, fence int64, lease time.Duration) (bool, error) {
	if err := m.down(); err != nil {
		return false, err
	}
	return m.Store.Renew(ctx, id, fence, lease)
}

func (m *mortal) PutItems(ctx context.Context, id string, fence int64, items []store.JobItem) error {
	if err := m.down(); err != nil {
		return err
	}
	return m.Store.PutItems(ctx, id, fence, items)
}

func (m *mortal) Release(ctx context.Context, id string, fence int64) error {
	if err := m.down(); err != nil {
		return err
	}
	return m.Store.Release(ctx, id, fence)
}

func (m *mortal) Claim(ctx context.Context, owner string, lease time.Duration, now time.Time) (store.Job, bool, error) {
	if err := m.down(); err != nil {
		return store.Job{}, false, err
	}
	return m.Store.Claim(ctx, owner, lease, now)
}

// A manager dies in the middle of a job: another takes it up and does the rest.
func TestAnotherManagerGoesOn(t *testing.T) {
	onEach(t, func(t *testing.T, database string) {
		w := newWorld(t, database, 4)
		first := &fakeHosts{do: func(ctx context.Context, h pieces.Host, tell func(done, total int64)) error {
			if h.Hostname == "h0" || h.Hostname == "h1" {
				return nil
			}
			return hang(ctx, h, tell)
		}}
		dying := &mortal{Store: w.store}
		w.engineWith(time.Second, dying, "dying", first)
		w.add("a", Preheat, everywhere, time.Hour)
		w.until("a", func(j store.Job) bool { return j.Counts[store.Succeeded] == 2 && j.Counts[store.Running] == 2 })
		second := &fakeHosts{}
		w.engine(w.store, "heir", second)
		dying.dead.Store(true)
		at := time.Now()
		j := w.until("a", ended)
		t.Logf("done %s after the kill, with leases of 1 s", time.Since(at))
		require.Equal(t, []any{store.Succeeded, ""}, []any{j.State, j.Error})
		require.GreaterOrEqual(t, j.Fence, int64(2))
		require.Len(t, second.calls, 2, "what was done is not done again")
	})
}

func TestAManagerThatStopsGivesItsJobsBackAtOnce(t *testing.T) {
	w := newWorld(t, sqlite(t), 2)
	stop := w.engine(w.store, "going", &fakeHosts{do: hang})
	w.add("a", Preheat, everywhere, time.Hour)
	w.until("a", func(j store.Job) bool { return j.Counts[store.Running] == 2 })
	stop()
	j, err := w.store.Job(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []any{store.Running, ""}, []any{j.State, j.Owner})
	w.engine(w.store, "heir", &fakeHosts{})
	require.Equal(t, store.Succeeded, w.until("a", ended).State)
}
