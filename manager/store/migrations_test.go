package store

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// upTo leaves out the migrations after the one of that number.
type upTo struct {
	fs.FS
	last int
}

func (f upTo) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(f.FS, name)
	var some []fs.DirEntry
	for _, e := range all {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%05d_", &n); err != nil || n <= f.last {
			some = append(some, e)
		}
	}
	return some, err
}

func allMigrations(t *testing.T) fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	require.NoError(t, err)
	return files
}

// newest is the number of the last migration.
func newest(t *testing.T) int {
	all, err := fs.ReadDir(allMigrations(t), ".")
	require.NoError(t, err)
	return len(all)
}

// onEachName runs test on every kind of database with the name of an empty
// one, and a way to open it as a program would that has only the migrations up
// to one.
func onEachName(t *testing.T, test func(t *testing.T, openAt func(last int) *Store)) {
	for kind, empty := range databases {
		t.Run(kind, func(t *testing.T) {
			name := empty(t)
			test(t, func(last int) *Store {
				s, err := open(t.Context(), name, upTo{allMigrations(t), last})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				return s
			})
		})
	}
}

// fill adds rows of the first schema.
func fill(t *testing.T, s *Store) {
	for _, q := range []string{
		`INSERT INTO clusters VALUES ('eu', '{"a":1}', 3)`,
		`INSERT INTO schedulers VALUES ('eu', 'a:1', 'v', 1800000000000)`,
		`INSERT INTO seed_peers VALUES ('eu', '` + string(seed(1).ID) + `', 's', '10.0.0.1', 65000, 65002, 'eu', 'eu|de', '{"a":"b"}', 8, 'v1', 1800000000000)`,
		`INSERT INTO seed_peers VALUES ('us', '` + string(seed(1).ID) + `', 's', '10.0.0.1', 65000, 65002, 'eu', 'eu|de', '{"a":"b"}', 8, 'v1', 1700000000000)`,
		`INSERT INTO tasks VALUES ('` + string(task(t, "https://example.org/", pieces.Options{}).ID) + `', 'https://example.org/', '', '', '', 'null', 1800000000000)`,
		`INSERT INTO names VALUES ('n', '` + string(task(t, "https://example.org/", pieces.Options{}).ID) + `', 1800000000000)`,
	} {
		_, err := s.db.Exec(q)
		require.NoError(t, err, q)
	}
}

func TestUpgradeFromTheFirstSchemaKeepsTheData(t *testing.T) {
	onEachName(t, func(t *testing.T, openAt func(int) *Store) {
		fill(t, openAt(1))
		s, ctx := openAt(newest(t)), t.Context()
		at := time.UnixMilli(1_800_000_000_000)
		c, err := s.Config(ctx, "eu")
		require.NoError(t, err)
		require.Equal(t, Config{Version: 3, JSON: `{"a":1}`}, c)
		hosts, err := s.Hosts(ctx, HostFilter{}, "", 10)
		require.NoError(t, err)
		require.Equal(t, []Host{{Cluster: "eu", Host: seed(1), Added: at, Seen: at}}, hosts)
		e, err := s.TaskNamed(ctx, "default", "n", now)
		require.NoError(t, err)
		require.Equal(t, Entry{Task: *task(t, "https://example.org/", pieces.Options{}), Added: at, Revision: 1}, e)
		list, err := s.Schedulers(ctx, at)
		require.NoError(t, err)
		require.Len(t, list, 1)

		// Down to the first schema, to nothing, and up again.
		p, err := s.migrator(allMigrations(t))
		require.NoError(t, err)
		_, err = p.DownTo(ctx, 1)
		require.NoError(t, err)
		var name, ip string
		require.NoError(t, s.db.QueryRow(`SELECT names.name, seed_peers.ip FROM names, seed_peers`).Scan(&name, &ip))
		require.Equal(t, []string{"n", "10.0.0.1"}, []string{name, ip})
		_, err = p.Up(ctx)
		require.NoError(t, err)
		_, err = s.TaskNamed(ctx, "default", "n", now)
		require.NoError(t, err)
		_, err = p.DownTo(ctx, 0)
		require.NoError(t, err)
		_, err = s.Config(ctx, "x")
		require.Error(t, err, "the tables are gone")
		_, err = openAt(newest(t)).Config(ctx, "x")
		require.NoError(t, err)
	})
}

// A manager without the newest migration opens the database after, and goes on
// working while, one that has it brings it up to date.
func TestManagersOfTwoReleasesShareADatabase(t *testing.T) {
	onEachName(t, func(t *testing.T, openAt func(int) *Store) {
		before, ctx := openAt(newest(t)-1), t.Context()
		tk := task(t, "https://example.org/", pieces.Options{})
		use := func(s *Store, n int) {
			t.Helper()
			require.NoError(t, put(ctx, s, tk, fmt.Sprint(n)))
			require.NoError(t, s.Beat(ctx, []Scheduler{{Cluster: "default", Address: "a:1", Seen: now}}, []Host{{Cluster: "default", Host: seed(1), Seen: now}}, nil))
			v, err := s.PutConfig(ctx, "default", `{}`, uint64(n))
			require.NoError(t, err)
			require.EqualValues(t, n+1, v)
			names, err := s.NamesOf(ctx, "default", tk.ID)
			require.NoError(t, err)
			require.Len(t, names, n+1)
		}
		use(before, 0)
		newer := openAt(newest(t))
		use(newer, 1)
		use(before, 2)
		late := openAt(newest(t) - 1)
		use(late, 3)
		use(newer, 4)
	})
}

func TestManagersThatStartAtOnceMigrateOnce(t *testing.T) {
	onEachName(t, func(t *testing.T, openAt func(int) *Store) {
		const n = 4
		opened := make(chan *Store, n)
		for range n {
			go func() { opened <- openAt(newest(t)) }()
		}
		for range n {
			_, err := (<-opened).Clusters(t.Context())
			require.NoError(t, err)
		}
	})
}
