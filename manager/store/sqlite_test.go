package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestDatabaseNames(t *testing.T) {
	for _, good := range []string{"sqlite:/x", "postgres://u:p@h/db", "postgresql://h"} {
		require.NoError(t, Check(good))
	}
	for _, bad := range []string{"", "x", "/var/lib/m.db", "mysql://x", "sqlite:", "postgres:", "postgres:host=h password=hunter2", "mysql://u:hunter2@h"} {
		err := Check(bad)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), bad)
		require.ErrorContains(t, err, "sqlite:PATH", bad)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// Nothing that is said of a PostgreSQL that can't be used has its password.
func TestPasswordsAreNotRepeated(t *testing.T) {
	for name, kind := range map[string]pieces.Kind{
		"postgres://u:hunter2@127.0.0.1:1/db":       pieces.Unavailable,
		"postgres://u:hunter2@h:port/db":            pieces.Invalid,
		"postgres://u:hunter2@h/db?sslmode=hunter2": pieces.Invalid,
	} {
		_, err := Open(t.Context(), name)
		require.Equal(t, kind, pieces.KindOf(err), "%v", err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestSQLiteMakesAPrivateFileWhereverItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new dir", "a?b#c%20.db")
	s, err := Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	require.NoError(t, s.Ping(t.Context()))
	require.NoError(t, s.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.NotZero(t, info.Size())

	t.Chdir(filepath.Dir(path))
	s, err = Open(t.Context(), "sqlite:"+filepath.Base(path))
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestSQLiteParametersHold(t *testing.T) {
	s, err := Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	defer s.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		require.NoError(t, s.db.QueryRow("PRAGMA "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
}

func TestSQLiteRefusesWhatIsNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.db")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("this is a letter, not a database ", 200)), 0o600))
	_, err := Open(t.Context(), "sqlite:"+path)
	require.Equal(t, pieces.Integrity, pieces.KindOf(err))
	require.ErrorContains(t, err, path)

	_, err = Open(t.Context(), "sqlite:"+t.TempDir())
	require.Error(t, err, "a directory")
	_, err = Open(t.Context(), "sqlite:"+path+"/below/a/file")
	require.ErrorContains(t, err, path+": not a directory")
}
