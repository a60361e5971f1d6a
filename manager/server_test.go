package manager

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"damselfly/manager/store"
	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// running is a manager on a real database and a real connection.
type running struct {
	managerpb.ManagerClient
	conn   grpc.ClientConnInterface
	server *Server
	store  *store.Store
	addr   string
	stop   func()
}

func start(t *testing.T, database string, o Options) *running {
	s, err := store.Open(t.Context(), database)
	require.NoError(t, err)
	o.Store = s
	m, err := New(o)
	require.NoError(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{})
	m.Register(srv)
	m.RegisterAdmin(srv)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(ctx, lis) }()
	go func() { done <- m.Run(ctx) }()
	conn, err := rpc.Dial(lis.Addr().String(), rpc.DialOptions{})
	require.NoError(t, err)
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		conn.Close()
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
		require.NoError(t, s.Close())
	}
	t.Cleanup(stop)
	return &running{managerpb.NewManagerClient(conn), conn, m, s, lis.Addr().String(), stop}
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onEach runs test on every kind of database.
func onEach(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, tempDB(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.New(t)) })
}

func tempDB(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "m.db") }

func (r *running) schedulers(t *testing.T) (cluster string, addresses []string) {
	reply, err := r.ListSchedulers(t.Context(), &managerpb.ListSchedulersRequest{})
	require.NoError(t, err)
	for _, s := range reply.Schedulers {
		addresses = append(addresses, s.Address)
	}
	return reply.Cluster, addresses
}

func (r *running) beat(t *testing.T, addr, cluster string) *managerpb.KeepAliveReply {
	reply, err := r.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_SCHEDULER, Address: addr, Cluster: cluster})
	require.NoError(t, err)
	return reply
}

var seedHost = pieces.Host{
	ID: pieces.NewHostID([16]byte{7}), Hostname: "seed", IP: "10.0.0.7", PeerPort: 65000, UploadPort: 65002,
	Type: pieces.SeedHost, IDC: "eu", Location: "eu|de", UploadSlots: 64, Uploads: 3, SoftwareVersion: "v1",
}

func TestThreeMissesMakeInactive(t *testing.T) {
	c := newClock()
	m := start(t, tempDB(t), Options{Now: c.now, FlushEvery: time.Hour})
	reply := m.beat(t, "10.0.0.1:8002", "")
	require.EqualValues(t, 5000, reply.IntervalMs)
	m.beat(t, "10.0.0.2:8002", "")
	_, err := m.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_SEED_PEER, Host: wire.HostTo(seedHost)})
	require.NoError(t, err)
	both := []string{"10.0.0.1:8002", "10.0.0.2:8002"}
	_, got := m.schedulers(t)
	require.Equal(t, both, got)

	// One goes on, the other misses three.
	for range 2 {
		c.advance(5 * time.Second)
		m.beat(t, "10.0.0.1:8002", "")
	}
	m.server.nodes.flush(t.Context())
	c.advance(5*time.Second - time.Millisecond)
	_, got = m.schedulers(t)
	require.Equal(t, both, got)
	seeds, err := m.ListSeedPeers(t.Context(), &managerpb.ListSeedPeersRequest{})
	require.NoError(t, err)
	require.Len(t, seeds.Hosts, 1)
	want := seedHost
	want.Uploads = 0
	host, err := wire.HostFrom(seeds.Hosts[0])
	require.NoError(t, err)
	require.Equal(t, want, host)

	c.advance(time.Millisecond)
	_, got = m.schedulers(t)
	require.Equal(t, both[:1], got)
	seeds, err = m.ListSeedPeers(t.Context(), &managerpb.ListSeedPeersRequest{})
	require.NoError(t, err)
	require.Empty(t, seeds.Hosts)

	m.server.nodes.flush(t.Context()) // drops the silent from memory
	m.beat(t, "10.0.0.2:8002", "")
	_, got = m.schedulers(t)
	require.Equal(t, both, got, "back at once")
}

func TestLeaveTakesOffTheListsAtOnce(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	m.beat(t, "10.0.0.1:8002", "")
	_, err := m.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_SEED_PEER, Host: wire.HostTo(seedHost)})
	require.NoError(t, err)
	for range 2 { // twice is no error
		_, err = m.Leave(t.Context(), &managerpb.LeaveRequest{Kind: managerpb.NodeKind_SCHEDULER, Address: "10.0.0.1:8002"})
		require.NoError(t, err)
		_, err = m.Leave(t.Context(), &managerpb.LeaveRequest{Kind: managerpb.NodeKind_SEED_PEER, HostId: string(seedHost.ID)})
		require.NoError(t, err)
	}
	_, got := m.schedulers(t)
	require.Empty(t, got)
	seeds, err := m.ListSeedPeers(t.Context(), &managerpb.ListSeedPeersRequest{})
	require.NoError(t, err)
	require.Empty(t, seeds.Hosts)
}

func TestClustersAreApart(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	cluster, got := m.schedulers(t)
	require.Equal(t, DefaultCluster, cluster)
	require.Empty(t, got)
	m.beat(t, "10.0.1.1:8002", "b")
	m.beat(t, "10.0.1.2:8002", "a")
	cluster, got = m.schedulers(t)
	require.Equal(t, "a", cluster, "the first that has any")
	require.Equal(t, []string{"10.0.1.2:8002"}, got)
	m.beat(t, "10.0.0.1:8002", "")
	cluster, got = m.schedulers(t)
	require.Equal(t, DefaultCluster, cluster)
	require.Equal(t, []string{"10.0.0.1:8002"}, got)
}

func TestRunWritesKeepAlives(t *testing.T) {
	c := newClock()
	m := start(t, tempDB(t), Options{Now: c.now, FlushEvery: 5 * time.Millisecond})
	m.beat(t, "10.0.0.1:8002", "")
	c.advance(4 * time.Second)
	m.beat(t, "10.0.0.1:8002", "")
	require.Eventually(t, func() bool {
		last, err := m.store.LastSeen(t.Context())
		return err == nil && last.Equal(c.now())
	}, 5*time.Second, 5*time.Millisecond)
}

func TestAnotherManagerOfTheDatabaseAnswersTheSame(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		a, b := start(t, db, Options{}), start(t, db, Options{})
		a.beat(t, "10.0.0.1:8002", "")
		_, err := b.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_SEED_PEER, Host: wire.HostTo(seedHost)})
		require.NoError(t, err)
		task := put(t, a, "https://example.org/x", "x")
		for _, m := range []*running{a, b} {
			_, got := m.schedulers(t)
			require.Equal(t, []string{"10.0.0.1:8002"}, got)
			seeds, err := m.ListSeedPeers(t.Context(), &managerpb.ListSeedPeersRequest{})
			require.NoError(t, err)
			require.Len(t, seeds.Hosts, 1)
			reply, err := m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Name: "x"})
			require.NoError(t, err)
			require.Equal(t, string(task.ID), reply.Task.Id)
		}
	})
}

func TestRestartKeepsWhatItKnew(t *testing.T) {
	db, c := tempDB(t), newClock()
	m := start(t, db, Options{Now: c.now})
	m.beat(t, "10.0.0.1:8002", "")
	task := put(t, m, "https://example.org/x", "x")
	c.advance(3 * time.Second)
	m.beat(t, "10.0.0.1:8002", "")
	m.stop() // writes what is not written yet

	c.advance(time.Hour)
	m = start(t, db, Options{Now: c.now})
	_, got := m.schedulers(t)
	require.Equal(t, []string{"10.0.0.1:8002"}, got, "lived when the manager went: listed until it had the time to come back")
	reply, err := m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Id: string(task.ID)})
	require.NoError(t, err)
	require.Equal(t, []string{"x"}, reply.Names)
	c.advance(15 * time.Second)
	_, got = m.schedulers(t)
	require.Empty(t, got)
}

func put(t *testing.T, m *running, url, name string) *pieces.Task {
	task, err := pieces.NewTask(url, pieces.Options{}, nil)
	require.NoError(t, err)
	_, err = m.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(task), Name: name})
	require.NoError(t, err)
	return task
}

func TestCatalogue(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	a, b := put(t, m, "https://example.org/a", "one"), put(t, m, "https://example.org/b", "")
	put(t, m, "https://example.org/a", "two")

	for _, req := range []*managerpb.ResolveTaskRequest{{Id: string(a.ID)}, {Name: "one"}, {Name: "two"}} {
		reply, err := m.ResolveTask(t.Context(), req)
		require.NoError(t, err)
		got, err := wire.TaskFrom(reply.Task)
		require.NoError(t, err)
		require.Equal(t, a, got)
		require.Equal(t, []string{"one", "two"}, reply.Names)
	}
	list, err := m.ListNames(t.Context(), &managerpb.ListNamesRequest{After: "one", Limit: 10})
	require.NoError(t, err)
	require.Len(t, list.Names, 1)
	require.Equal(t, "two", list.Names[0].Name)
	require.Equal(t, string(a.ID), list.Names[0].TaskId)

	_, err = m.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(b), Name: "one"})
	require.Equal(t, pieces.Exists, pieces.KindOf(err))
	_, err = m.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(a), Name: "three", InsteadOf: "one"})
	require.NoError(t, err)
	_, err = m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Name: "one"})
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))

	_, err = m.RemoveTask(t.Context(), &managerpb.RemoveTaskRequest{Id: string(a.ID)})
	require.NoError(t, err)
	for _, req := range []*managerpb.ResolveTaskRequest{{Id: string(a.ID)}, {Name: "one"}, {Name: "never"}} {
		_, err := m.ResolveTask(t.Context(), req)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "%v", req)
	}
	_, err = m.RemoveTask(t.Context(), &managerpb.RemoveTaskRequest{Id: string(a.ID)})
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
}

func TestEntriesCertifyThemselves(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	honest, err := pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	forged := wire.TaskTo(honest)
	forged.PublicUrl = "https://evil.example/a"
	_, err = m.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: forged})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))

	private, err := pieces.NewTask("https://u:hunter2@example.org/a", pieces.Options{}, []byte("secret"))
	require.NoError(t, err)
	_, err = m.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(private)})
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	_, err = m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Id: string(private.ID)})
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
}

func TestBadRequestsAreInvalid(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	ctx := t.Context()
	task, err := pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	normal := seedHost
	normal.Type = pieces.NormalHost
	for name, call := range map[string]func() error{
		"no task": func() error { _, err := m.PutTask(ctx, &managerpb.PutTaskRequest{}); return err },
		"name with /": func() error {
			_, err := m.PutTask(ctx, &managerpb.PutTaskRequest{Task: wire.TaskTo(task), Name: "a/b"})
			return err
		},
		"old name with /": func() error {
			_, err := m.PutTask(ctx, &managerpb.PutTaskRequest{Task: wire.TaskTo(task), Name: "a", InsteadOf: "a/b"})
			return err
		},
		"old name alone": func() error {
			_, err := m.PutTask(ctx, &managerpb.PutTaskRequest{Task: wire.TaskTo(task), InsteadOf: "a"})
			return err
		},
		"id":      func() error { _, err := m.ResolveTask(ctx, &managerpb.ResolveTaskRequest{Id: "x"}); return err },
		"neither": func() error { _, err := m.ResolveTask(ctx, &managerpb.ResolveTaskRequest{}); return err },
		"both": func() error {
			_, err := m.ResolveTask(ctx, &managerpb.ResolveTaskRequest{Id: string(task.ID), Name: "x"})
			return err
		},
		"remove":  func() error { _, err := m.RemoveTask(ctx, &managerpb.RemoveTaskRequest{}); return err },
		"cluster": func() error { _, err := m.GetConfig(ctx, &managerpb.GetConfigRequest{Cluster: "A b"}); return err },
		"long cluster": func() error {
			_, err := m.ListSeedPeers(ctx, &managerpb.ListSeedPeersRequest{Cluster: strings.Repeat("a", 64)})
			return err
		},
		"any address": func() error {
			_, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{Address: "0.0.0.0:8002"})
			return err
		},
		"no address": func() error { _, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{}); return err },
		"long address": func() error {
			_, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{Address: strings.Repeat("a", 300) + ":1"})
			return err
		},
		"kind":    func() error { _, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{Kind: 9}); return err },
		"no host": func() error { _, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{Kind: 1}); return err },
		"normal host as seed": func() error {
			_, err := m.KeepAlive(ctx, &managerpb.KeepAliveRequest{Kind: 1, Host: wire.HostTo(normal)})
			return err
		},
		"leave kind": func() error { _, err := m.Leave(ctx, &managerpb.LeaveRequest{Kind: 9}); return err },
		"leave seed": func() error { _, err := m.Leave(ctx, &managerpb.LeaveRequest{Kind: 1, HostId: "x"}); return err },
		"asker": func() error {
			_, err := m.ListSchedulers(ctx, &managerpb.ListSchedulersRequest{Host: &commonpb.Host{}})
			return err
		},
	} {
		require.Equal(t, pieces.Invalid, pieces.KindOf(call()), name)
	}
	_, got := m.schedulers(t)
	require.Empty(t, got)
}

func TestReady(t *testing.T) {
	m := start(t, tempDB(t), Options{})
	require.NoError(t, m.server.Ready(t.Context()))
	require.NoError(t, m.store.Close())
	require.Error(t, m.server.Ready(t.Context()))
	_, err := m.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Name: "x"})
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err))
	_, err = New(Options{})
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}
