package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// people are entries as people make them: named, private, signed; by id.
func people(t *testing.T, n int) map[pieces.TaskID]Entry {
	t.Helper()
	es := map[pieces.TaskID]Entry{}
	for i := range n {
		o := pieces.Options{FilterQuery: []string{"sig"}}
		if i%3 == 0 {
			o.Header = http.Header{"Authorization": {"Bearer top-secret-marker"}}
		}
		task := newTask(t, fmt.Sprintf("https://example.org/%d?sig=s", i), o)
		task.Header = nil // as it is read back
		e := Entry{Task: task, Names: []string{fmt.Sprintf("name-%d", i)}, UID: uint32(i), GID: 7, Added: time.Unix(1_700_000_000+int64(i), 0).UTC()}
		es[task.ID] = e
	}
	return es
}

// requireOnly fails if s has an entry or a name that is not one of want, and
// returns how many of those it lacks.
func requireOnly(t *testing.T, s *Store, want map[pieces.TaskID]Entry) (lost int) {
	t.Helper()
	got, err := s.Entries()
	require.NoError(t, err)
	for _, e := range got {
		require.Equal(t, want[e.Task.ID], e)
		id, err := s.Name(e.Names[0])
		require.NoError(t, err)
		require.Equal(t, e.Task.ID, id)
	}
	return len(want) - len(got)
}

// makeCatalogue leaves a store in dir with these entries and one that was
// removed.
func makeCatalogue(t *testing.T, dir string, es map[pieces.TaskID]Entry) {
	t.Helper()
	s := openStore(t, Options{Dir: dir})
	for _, e := range es {
		require.NoError(t, s.PutEntry(e))
	}
	gone := Entry{Task: newTask(t, "https://example.org/gone", pieces.Options{}), Names: []string{"gone"}}
	require.NoError(t, s.PutEntry(gone))
	require.NoError(t, s.DeleteEntry(gone.Task.ID))
	require.NoError(t, s.Close())
}

func TestCatalogueOutlivesItsDatabase(t *testing.T) {
	es := people(t, 10)
	losses := map[string]func(dir string) error{
		"deleted": func(dir string) error { return os.RemoveAll(dir + "/db") },
		"damaged": func(dir string) error { return os.WriteFile(dir+"/db/MANIFEST", []byte("nonsense"), 0o600) },
		"newer":   func(dir string) error { return os.WriteFile(dir+"/format", []byte("99\n"), 0o600) },
		"two early deaths": func(dir string) error {
			return dataDir(dir).writeRun(runMark{Boot: "b", Deaths: maxDeaths})
		},
	}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			makeCatalogue(t, dir, es)
			require.NoError(t, lose(dir))
			for range 2 { // also when it is all there again
				s := openStore(t, Options{Dir: dir, Probe: probeSelf, BootID: "b"})
				require.NoError(t, s.Usage().Uncached)
				require.Zero(t, requireOnly(t, s, es))
				require.NoError(t, s.Close())
			}
			if name != "deleted" {
				require.DirExists(t, filepath.Join(dir, "aside", "db"), "the database was not lost")
			}
			b, err := os.ReadFile(filepath.Join(dir, journalName))
			require.NoError(t, err)
			require.NotContains(t, string(b), "top-secret-marker")
		})
	}
}

func TestDamagedJournal(t *testing.T) {
	es := people(t, 10)
	for name, damage := range damages() {
		for _, database := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/database %v", name, database), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				makeCatalogue(t, dir, es)
				path := filepath.Join(dir, journalName)
				before, err := os.ReadFile(path)
				require.NoError(t, err)
				seed := rand.Uint64()
				require.NoError(t, damage(rand.New(rand.NewPCG(seed, 0)), path))
				after, _ := os.ReadFile(path)
				require.False(t, bytes.Equal(before, after), "nothing was damaged")
				if !database {
					require.NoError(t, os.RemoveAll(filepath.Join(dir, "db")))
				}
				s := openStore(t, Options{Dir: dir})
				lost := requireOnly(t, s, es)
				t.Logf("seed %d: %d lost", seed, lost)
				switch {
				case database:
					require.Zero(t, lost)
				case name[:4] == "flip":
					require.LessOrEqual(t, lost, 4, "a flipped byte costs one line")
				}
				require.NoError(t, s.Close())
				healed, _ := os.ReadFile(path)
				there, damaged := parseJournal(healed)
				require.Zero(t, damaged)
				require.Len(t, there, len(es)-lost)
			})
		}
	}
}

// A journal that is mostly history is written anew.
func TestJournalIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir, Interval: time.Hour})
	e := Entry{Task: newTask(t, "https://example.org/"+string(bytes.Repeat([]byte("x"), 4000)), pieces.Options{})}
	for range 2 * journalSlack / 4000 {
		require.NoError(t, s.PutEntry(e))
	}
	st, err := os.Stat(filepath.Join(dir, journalName))
	require.NoError(t, err)
	require.Greater(t, st.Size(), int64(journalSlack), "no history")
	s.tendJournal()
	st, err = os.Stat(filepath.Join(dir, journalName))
	require.NoError(t, err)
	require.Less(t, st.Size(), int64(16<<10))
	require.NoError(t, s.PutEntry(Entry{Task: newTask(t, "https://example.org/after", pieces.Options{})}))
	require.NoError(t, s.Close())
	b, err := os.ReadFile(filepath.Join(dir, journalName))
	require.NoError(t, err)
	there, damaged := parseJournal(b)
	require.Zero(t, damaged)
	require.Len(t, there, 2)
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("\n00000000 {}\n"))
	line, err := appendLine(nil, journalLine{ID: pieces.TaskID(fmt.Sprintf("%064x", 1)), Gone: true})
	require.NoError(f, err)
	f.Add(line)
	f.Add(line[:len(line)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		es, _ := parseJournal(b)
		for _, e := range es {
			require.NoError(t, checkEntry(e))
		}
	})
}
