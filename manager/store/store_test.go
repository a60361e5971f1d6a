package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// databases are the kinds of database that the whole suite runs on: each makes
// the name of an empty one.
var databases = map[string]func(t *testing.T) string{
	"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "manager.db") },
}

// onEach runs test on every kind of database; open opens the same one each time.
func onEach(t *testing.T, test func(t *testing.T, open func() *Store)) {
	for kind, empty := range databases {
		t.Run(kind, func(t *testing.T) {
			name := empty(t)
			test(t, func() *Store {
				s, err := Open(t.Context(), name)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				return s
			})
		})
	}
}

var now = time.UnixMilli(1_800_000_000_123)

func task(t *testing.T, url string, o pieces.Options) *pieces.Task {
	task, err := pieces.NewTask(url, o, nil)
	require.NoError(t, err)
	return task
}

func seed(n byte) pieces.Host {
	return pieces.Host{
		ID: pieces.NewHostID([16]byte{n}), Hostname: "s", IP: "10.0.0.1", PeerPort: 65000, UploadPort: 65002,
		Type: pieces.SeedHost, IDC: "eu", Location: "eu|de", Labels: map[string]string{"a": "b"}, UploadSlots: 8, SoftwareVersion: "v1",
	}
}

func TestNodesLiveByTheirBeats(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		last, err := s.LastSeen(ctx)
		require.NoError(t, err)
		require.True(t, last.IsZero())

		early, late := now, now.Add(10*time.Second)
		a := Scheduler{Cluster: "default", Address: "a:8002", Version: "v1", Seen: early}
		b := Scheduler{Cluster: "default", Address: "b:8002", Version: "v1", Seen: late}
		p := SeedPeer{Cluster: "default", Host: seed(1), Seen: late}
		other := SeedPeer{Cluster: "other", Host: seed(2), Seen: late}
		require.NoError(t, s.Beat(ctx, []Scheduler{b, a}, []SeedPeer{p, other}))

		got, err := s.Schedulers(ctx, early)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a, b}, got)
		got, err = s.Schedulers(ctx, early.Add(time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, []Scheduler{b}, got)
		seeds, err := s.SeedPeers(ctx, "default", late)
		require.NoError(t, err)
		require.Equal(t, []SeedPeer{p}, seeds)
		last, err = s.LastSeen(ctx)
		require.NoError(t, err)
		require.Equal(t, late, last)

		// A later beat wins over an earlier one that arrives after it.
		a.Seen, a.Version = late, "v2"
		p.Host.IP, p.Seen = "10.0.0.9", late.Add(time.Second)
		require.NoError(t, s.Beat(ctx, []Scheduler{a}, []SeedPeer{p}))
		stale := Scheduler{Cluster: "default", Address: "a:8002", Version: "v0", Seen: early}
		require.NoError(t, s.Beat(ctx, []Scheduler{stale}, nil))
		got, err = s.Schedulers(ctx, late)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a, b}, got)
		seeds, err = s.SeedPeers(ctx, "default", late)
		require.NoError(t, err)
		require.Equal(t, []SeedPeer{p}, seeds)

		require.NoError(t, s.RemoveScheduler(ctx, "default", "b:8002"))
		require.NoError(t, s.RemoveSeedPeer(ctx, "default", p.Host.ID))
		require.NoError(t, s.RemoveSeedPeer(ctx, "default", p.Host.ID), "again is no error")
		got, err = s.Schedulers(ctx, early)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a}, got)
		seeds, err = s.SeedPeers(ctx, "default", early)
		require.NoError(t, err)
		require.Empty(t, seeds)

		require.NoError(t, s.Forget(ctx, late))
		seeds, err = s.SeedPeers(ctx, "other", early)
		require.NoError(t, err)
		require.Len(t, seeds, 1)
		require.NoError(t, s.Forget(ctx, late.Add(time.Millisecond)))
		last, err = s.LastSeen(ctx)
		require.NoError(t, err)
		require.True(t, last.IsZero())
	})
}

func TestCatalogueOutlivesTheStore(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		full := task(t, "https://example.org/a?sig=1&x=y", pieces.Options{
			Tag: "t'); DROP TABLE tasks;--", Application: "ap\"p", FilterQuery: []string{"sig"},
			Digest: pieces.Digest("sha256:" + strings.Repeat("ab", 32)),
		})
		plain := task(t, "https://example.org/b", pieces.Options{})
		require.NoError(t, s.PutTask(ctx, full, "b", now))
		require.NoError(t, s.PutTask(ctx, full, "a", now))
		require.NoError(t, s.PutTask(ctx, full, "a", now), "again is no error")
		require.NoError(t, s.PutTask(ctx, plain, "", now))

		s = open()
		for _, look := range []func() (*pieces.Task, error){
			func() (*pieces.Task, error) { return s.Task(ctx, full.ID) },
			func() (*pieces.Task, error) { return s.TaskNamed(ctx, "a") },
		} {
			got, err := look()
			require.NoError(t, err)
			want := *full
			want.URL = want.PublicURL
			require.Equal(t, &want, got)
			require.NoError(t, got.CheckID())
		}
		names, err := s.NamesOf(ctx, full.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, names)
		got, err := s.Task(ctx, plain.ID)
		require.NoError(t, err)
		require.Equal(t, plain, got)
	})
}

func TestFirstWriterOfANameWins(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		first, second := task(t, "https://example.org/1", pieces.Options{}), task(t, "https://example.org/2", pieces.Options{})
		require.NoError(t, s.PutTask(ctx, first, "n", now))
		err := s.PutTask(ctx, second, "n", now)
		require.Equal(t, pieces.Exists, pieces.KindOf(err))
		require.ErrorContains(t, err, first.ID.Short())
		_, err = s.Task(ctx, second.ID)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "nothing of a refused entry is kept")

		require.NoError(t, s.RemoveTask(ctx, first.ID))
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RemoveTask(ctx, first.ID)))
		_, err = s.TaskNamed(ctx, "n")
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		require.NoError(t, s.PutTask(ctx, second, "n", now), "the name is free again")
	})
}

// Many writers race for each name: each has one owner, and everyone hears who.
func TestNamesUnderRace(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		stores := []*Store{open(), open()}
		const writers, names = 8, 5
		var mu sync.Mutex
		won := map[string]int{}
		var all sync.WaitGroup
		for w := range writers {
			tk := task(t, fmt.Sprintf("https://example.org/%d", w), pieces.Options{})
			all.Go(func() {
				for n := range names {
					name := fmt.Sprintf("n%d", n)
					err := stores[w%2].PutTask(context.Background(), tk, name, now)
					mu.Lock()
					if err == nil {
						won[name]++
					} else if pieces.KindOf(err) != pieces.Exists {
						t.Errorf("writer %d, %s: %v", w, name, err)
					}
					mu.Unlock()
				}
			})
		}
		all.Wait()
		for n := range names {
			require.Equal(t, 1, won[fmt.Sprintf("n%d", n)])
		}
	})
}

func TestNamesComeInPages(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		tk := task(t, "https://example.org/", pieces.Options{})
		for _, n := range []string{"c", "a", "b", "B", "é"} {
			require.NoError(t, s.PutTask(ctx, tk, n, now))
		}
		var got []string
		for after := ""; ; {
			page, err := s.Names(ctx, after, 2)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, n := range page {
				require.Equal(t, tk.ID, n.Task)
				got = append(got, n.Name)
			}
			after = got[len(got)-1]
		}
		require.Equal(t, []string{"B", "a", "b", "c", "é"}, got)
	})
}

func TestConfigHasVersions(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		c, err := s.Config(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, Config{JSON: "{}"}, c)

		v, err := s.PutConfig(ctx, "x", `{"a":1}`, 0)
		require.NoError(t, err)
		require.EqualValues(t, 1, v)
		v, err = s.PutConfig(ctx, "x", `{"a":2}`, 1)
		require.NoError(t, err)
		require.EqualValues(t, 2, v)
		for _, stale := range []uint64{0, 1, 3} {
			_, err = s.PutConfig(ctx, "x", `{"a":3}`, stale)
			require.Equal(t, pieces.Changed, pieces.KindOf(err), stale)
			require.ErrorContains(t, err, "version 2")
		}
		_, err = s.PutConfig(ctx, "never", `{}`, 7)
		require.Equal(t, pieces.Changed, pieces.KindOf(err))
		c, err = s.Config(ctx, "x")
		require.NoError(t, err)
		require.Equal(t, Config{Version: 2, JSON: `{"a":2}`}, c)
	})
}

func TestMigrationsGoDownAndUpAgain(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s := open()
		p, err := goose.NewProvider(s.dialect.goose, s.db, os.DirFS("migrations"), goose.WithLogger(goose.NopLogger()))
		require.NoError(t, err)
		_, err = p.DownTo(t.Context(), 0)
		require.NoError(t, err)
		_, err = s.Config(t.Context(), "x")
		require.Error(t, err, "the tables are gone")
		_, err = open().Config(t.Context(), "x")
		require.NoError(t, err)
	})
}

func TestCanceledAndClosed(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s := open()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Names(ctx, "", 1)
		require.Equal(t, pieces.Canceled, pieces.KindOf(err))
		require.NoError(t, s.Close())
		require.Equal(t, pieces.Unavailable, pieces.KindOf(s.Ping(t.Context())))
	})
}
