package announce

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/wire"
)

func addresses(c *Client) (out []string) {
	for _, s := range c.Schedulers() {
		out = append(out, s.Address)
	}
	return out
}

func (m *fakeManager) list(addrs ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.schedulers = addrs
}

func TestSchedulersComeFromTheManager(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	m := newFakeManager(t, a.addr)
	task := newTask(t, "x")
	key := pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}
	c, _ := running(t, Options{Managers: []string{m.addr}, RefreshEvery: 10 * time.Millisecond,
		Inventory: func() []InventoryItem { return []InventoryItem{{key, 5}} }})
	p := register(t, c, task, newHeard(), nil) // waits for the list
	require.Equal(t, a.addr, p.Scheduler())
	require.True(t, c.ManagerOK())
	require.Len(t, told(t, a), 1)

	m.list(b.addr, "not an address")
	require.Len(t, told(t, b), 1, "the task is b's now")
	require.Equal(t, []string{b.addr}, addresses(c))
	require.Equal(t, a.addr, p.Scheduler(), "a swarm under way stays")

	m.list()
	lists := func() int { m.mu.Lock(); defer m.mu.Unlock(); return m.lists }
	seen := lists()
	eventually(t, "asked again", func() bool { return lists() > seen+2 })
	require.Equal(t, []string{b.addr}, addresses(c), "an empty list is not believed")
	p.Close(context.Background())
	wait(t, a.left)
}

func TestInventoriesGoToTheOwnerOnEachChangeOfTheRing(t *testing.T) {
	a, b := newFakeScheduler(t), newFakeScheduler(t)
	m := newFakeManager(t, a.addr)
	items := map[string]InventoryItem{}
	for _, addr := range []string{a.addr, b.addr} {
		task := tasksOwnedBy(t, 1, addr, a.addr, b.addr)[0]
		items[addr] = InventoryItem{pieces.Key{Task: task.ID, Version: bigFacts.VersionID()}, 3}
	}
	running(t, Options{Managers: []string{m.addr}, RefreshEvery: 10 * time.Millisecond,
		Inventory: func() []InventoryItem { return []InventoryItem{items[a.addr], items[b.addr]} }})
	require.Len(t, told(t, a), 2)
	m.list(a.addr, b.addr)
	for _, f := range []*fakeScheduler{a, b} {
		got := told(t, f)
		require.Len(t, got, 1)
		require.Equal(t, string(items[f.addr].Key.Task), got[0].Task)
	}
}

func TestStartWithoutManagerUsesTheLastList(t *testing.T) {
	f := newFakeScheduler(t)
	m := newFakeManager(t, f.addr)
	m.config, m.version = `{"limit":4}`, 7
	file := filepath.Join(t.TempDir(), "cluster.json")
	c, stop := running(t, Options{Managers: []string{m.addr}, StateFile: file})
	eventually(t, "listed", func() bool { return len(c.Schedulers()) == 1 })
	eventually(t, "kept", func() bool { _, err := os.Stat(file); return err == nil })
	stop()
	m.stop()

	c, stop = running(t, Options{Managers: []string{m.addr}, StateFile: file})
	p := register(t, c, newTask(t, "x"), newHeard(), nil)
	require.Equal(t, f.addr, p.Scheduler())
	config, version := c.Config()
	require.Equal(t, `{"limit":4}`, config)
	require.EqualValues(t, 7, version)
	eventually(t, "manager missed", func() bool { return !c.ManagerOK() })
	_, err := c.ResolveTask(context.Background(), newTask(t, "x").ID)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	m.start(t)
	eventually(t, "manager back", c.ManagerOK)
	stop()

	f.stop()
	m.stop()
	begin := time.Now()
	c, stop = running(t, Options{Managers: []string{m.addr}, StateFile: file})
	_, _, err = c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.Less(t, time.Since(begin), 2*time.Second)
	stop()
}

// A host that names its cluster is of that one, and forgets what another one's
// schedulers were.
func TestTheClusterThatAHostNames(t *testing.T) {
	m := newFakeManager(t, "127.0.0.1:1")
	file := filepath.Join(t.TempDir(), "cluster.json")
	c, stop := running(t, Options{Managers: []string{m.addr}, StateFile: file, Cluster: "eu"})
	eventually(t, "listed", func() bool { return c.lastState().Cluster == "eu" })
	stop()
	for cluster, want := range map[string]int{"": 1, "eu": 1, "us": 0} {
		c, err := New(Options{Host: pieces.Host{ID: self}, Managers: []string{m.addr}, StateFile: file, Cluster: cluster})
		require.NoError(t, err)
		require.Len(t, c.lastState().Schedulers, want, cluster)
	}
}

func TestStartWithNothingAtAll(t *testing.T) {
	m := newFakeManager(t)
	m.stop()
	c, _ := running(t, Options{Managers: []string{m.addr}, StateFile: filepath.Join(t.TempDir(), "none.json")})
	begin := time.Now()
	_, err := c.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	require.Less(t, time.Since(begin), 2*time.Second)
}

func TestAlone(t *testing.T) {
	alone, _ := running(t, Options{})
	require.False(t, alone.Enabled())
	_, err := alone.StatTask(context.Background(), newTask(t, "x"), true, notFetched, nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	_, err = alone.ResolveName(context.Background(), "x")
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
}

func TestDamagedStateFileIsNoReasonNotToStart(t *testing.T) {
	for _, content := range []string{"", "{", `{"schedulers":["nonsense"]}`, `{"schedulers":5}`} {
		file := filepath.Join(t.TempDir(), "s.json")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		c, err := New(Options{Host: pieces.Host{ID: self}, StateFile: file})
		require.NoError(t, err)
		require.Empty(t, c.state.Schedulers)
	}
}

func TestWrongOptions(t *testing.T) {
	for _, o := range []Options{
		{},
		{Host: pieces.Host{ID: self}, Schedulers: []string{"nowhere"}},
		{Host: pieces.Host{ID: self}, Managers: []string{":1"}},
	} {
		_, err := New(o)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
}

func TestSecondManagerAnswers(t *testing.T) {
	f := newFakeScheduler(t)
	m1, m2 := newFakeManager(t, f.addr), newFakeManager(t, f.addr)
	c, _ := running(t, Options{Managers: []string{m1.addr, m2.addr}})
	task := newTask(t, "x")
	require.NoError(t, c.PutTask(context.Background(), task, "name"))
	m1.stop()
	for range 2 {
		_, err := c.ResolveTask(context.Background(), task.ID)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "m2 knows nothing: %v", err)
	}
	require.True(t, c.ManagerOK())
}

func TestCatalogue(t *testing.T) {
	m := newFakeManager(t)
	c, _ := running(t, Options{Managers: []string{m.addr}})
	ctx := context.Background()
	a, b := newTask(t, "a"), newTask(t, "b")
	require.NoError(t, c.PutTask(ctx, a, "alpha"))
	require.NoError(t, c.PutTask(ctx, b, "beta"))
	require.Equal(t, pieces.Exists, pieces.KindOf(c.PutTask(ctx, b, "alpha")))
	got, err := c.ResolveTask(ctx, a.ID)
	require.NoError(t, err)
	require.Equal(t, a.PublicURL, got.PublicURL)
	got, err = c.ResolveName(ctx, "beta")
	require.NoError(t, err)
	require.Equal(t, b.ID, got.ID)
	names, err := c.Names(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]pieces.TaskID{"alpha": a.ID, "beta": b.ID}, names)
	require.NoError(t, c.RemoveTask(ctx, a.ID))
	_, err = c.ResolveTask(ctx, a.ID)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))

	// A manager that lies about an entry is not believed.
	lie := wire.TaskTo(b)
	lie.PublicUrl = "http://evil.test/"
	m.mu.Lock()
	m.tasks[string(b.ID)] = lie
	m.tasks[string(a.ID)] = wire.TaskTo(newTask(t, "c"))
	m.mu.Unlock()
	for _, id := range []pieces.TaskID{a.ID, b.ID} {
		_, err = c.ResolveTask(ctx, id)
		require.Equal(t, pieces.Integrity, pieces.KindOf(err))
	}
}

func TestSeedKeepsItselfListedAndLeaves(t *testing.T) {
	f := newFakeScheduler(t)
	m := newFakeManager(t, f.addr)
	load := 3
	o := Options{Managers: []string{m.addr}, Cluster: "east", Load: func() int { return load }}
	o.Host.Type = pieces.SeedHost
	c, stop := running(t, o)
	for range 3 {
		r := wait(t, m.alive)
		require.Equal(t, string(self), r.Host.Id)
		require.Equal(t, "east", r.Cluster)
		require.EqualValues(t, 3, r.Host.Uploads)
	}
	require.EqualValues(t, 3, wait(t, f.announced).Host.Uploads)
	lists := func() int { m.mu.Lock(); defer m.mu.Unlock(); return m.lists }
	require.Equal(t, 1, lists())
	m.mu.Lock()
	m.version = 1
	m.mu.Unlock()
	wait(t, m.alive)
	m.mu.Lock()
	m.config, m.version = "{}", 2
	m.mu.Unlock()
	eventually(t, "a new config is fetched", func() bool { s, v := c.Config(); return s == "{}" && v == 2 })

	c.Leave(context.Background())
	require.Equal(t, string(self), wait(t, m.left).HostId)
	require.Equal(t, string(self), wait(t, f.leftHosts).HostId)
	_, _, err := c.Register(context.Background(), RegisterRequest{Task: newTask(t, "x")}, newHeard(), nil)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	stop()
	c.Leave(context.Background()) // also after Run
	wait(t, f.leftHosts)
}

func TestLeaveDoesNotWaitForTheMute(t *testing.T) {
	f := newFakeScheduler(t)
	c, _ := running(t, Options{Schedulers: []string{f.addr, "127.0.0.1:1"}})
	wait(t, f.announced)
	begin := time.Now()
	c.Leave(context.Background())
	require.Less(t, time.Since(begin), 2*time.Second)
	wait(t, f.leftHosts)
}
