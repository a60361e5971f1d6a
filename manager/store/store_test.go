package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
)

// databases are the kinds of database that the whole suite runs on: each makes
// the name of an empty one.
var databases = map[string]func(t *testing.T) string{
	"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "manager.db") },
	"postgres": func(t *testing.T) string { return pgtest.New(t) },
}

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

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

func TestCanceledAndClosed(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s := open()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Names(ctx, "default", "", 1)
		require.Equal(t, pieces.Canceled, pieces.KindOf(err))
		require.NoError(t, s.Close())
		require.Equal(t, pieces.Unavailable, pieces.KindOf(s.Ping(t.Context())))
	})
}
