package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/manager/store/pgtest"
	"damselfly/pieces"
)

// copies make a copy of a database while it is in use, and answer the name of
// what was restored from it.
var copies = map[string]func(t *testing.T, name string, s *Store) string{
	"sqlite": func(t *testing.T, _ string, s *Store) string {
		path := filepath.Join(t.TempDir(), "copy.db")
		require.NoError(t, s.Backup(t.Context(), path))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm())
		require.ErrorContains(t, s.Backup(t.Context(), path), "there already")
		return "sqlite:" + path
	},
	"postgres": func(t *testing.T, name string, s *Store) string {
		require.ErrorContains(t, s.Backup(t.Context(), filepath.Join(t.TempDir(), "x")), "pg_dump")
		return pgtest.Copy(t, name)
	},
}

// A copy made while managers write holds all that was written before it began,
// and nothing by halves.
func TestBackupAndRestore(t *testing.T) {
	for kind, empty := range databases {
		t.Run(kind, func(t *testing.T) {
			name, ctx := empty(t), t.Context()
			s, err := Open(ctx, name)
			require.NoError(t, err)
			defer s.Close()
			put := func(n int) error {
				tk := task(t, fmt.Sprintf("https://example.org/%d", n), pieces.Options{})
				return s.PutTasks(context.WithoutCancel(ctx), []Put{{Task: tk, Name: fmt.Sprint(n), Cluster: "default", Now: now}})
			}
			const before = 50
			for n := range before {
				require.NoError(t, put(n))
			}
			require.NoError(t, s.AddUser(ctx, User{Name: "a", Role: Admin, Password: "digest", Created: now}))
			require.NoError(t, s.AddCredential(ctx, Credential{ID: "1", Kind: Token, User: "a", Digest: "d", Scopes: []string{"read"}, Created: now}, 9))
			require.NoError(t, s.AddAudit(ctx, Audit{ID: "1", At: now, User: "a", Method: "AddTask", Result: "ok"}))
			_, err = s.PutConfig(ctx, "eu", `{"a":1}`, 0)
			require.NoError(t, err)
			require.NoError(t, s.AddJob(ctx, Job{ID: "j", Kind: "preheat", Cluster: "eu", Spec: "{}", Created: now, Timeout: time.Hour}))
			require.NoError(t, s.Beat(ctx, nil, []Host{{Cluster: "eu", Host: seed(1), Seen: now}}, nil))

			var stop atomic.Bool
			wrote, writing := make(chan error, 1), make(chan struct{})
			go func() {
				var err error
				for n := before; err == nil && !stop.Load(); n++ {
					err = put(n)
					if n == before {
						close(writing)
					}
				}
				wrote <- err
			}()
			<-writing
			restored := copies[kind](t, name, s)
			stop.Store(true)
			require.NoError(t, <-wrote)

			r, err := Open(ctx, restored)
			require.NoError(t, err)
			defer r.Close()
			tasks, err := r.Tasks(ctx, TaskFilter{}, TaskPlace{}, 1<<20, now)
			require.NoError(t, err)
			names, err := r.Names(ctx, "default", "", 1<<20)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(tasks), before+1)
			require.Len(t, names, len(tasks), "each with its name")
			for read, same := range map[string]func(s *Store) (any, error){
				"user":       func(s *Store) (any, error) { return s.User(ctx, "a") },
				"credential": func(s *Store) (any, error) { return s.Credentials(ctx, Token, "a", "", 10, now) },
				"audit":      func(s *Store) (any, error) { return s.Audits(ctx, AuditFilter{}, "", 10) },
				"config":     func(s *Store) (any, error) { return s.Config(ctx, "eu") },
				"job":        func(s *Store) (any, error) { return s.Job(ctx, "j") },
				"hosts":      func(s *Store) (any, error) { return s.Hosts(ctx, HostFilter{}, "", 10) },
			} {
				want, err := same(s)
				require.NoError(t, err)
				got, err := same(r)
				require.NoError(t, err)
				require.Equal(t, want, got, read)
			}
			// It is a database to go on with.
			require.NoError(t, r.AddUser(ctx, User{Name: "b", Role: Viewer, Created: now}))
		})
	}
}
