package store

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

func newTask(t *testing.T, url string, o pieces.Options) pieces.Task {
	t.Helper()
	task, err := pieces.NewTask(url, o, []byte("cluster"))
	require.NoError(t, err)
	return *task
}

func TestCatalogueRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	e := Entry{
		Task:  newTask(t, "https://example.org/a?x=1&sig=abc", pieces.Options{Tag: "t", Application: "app", FilterQuery: []string{"sig"}}),
		Names: []string{"model.bin", "other"}, UID: 1000, GID: 100, Added: time.Unix(1_700_000_000, 0).UTC(),
	}
	_, err := s.Entry(e.Task.ID)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	require.NoError(t, s.PutEntry(e))
	require.NoError(t, s.Close())

	s = openStore(t, Options{Dir: dir})
	got, err := s.Entry(e.Task.ID)
	require.NoError(t, err)
	require.Equal(t, e, got)
	all, err := s.Entries()
	require.NoError(t, err)
	require.Equal(t, []Entry{e}, all)
	id, err := s.Name("other")
	require.NoError(t, err)
	require.Equal(t, e.Task.ID, id)

	e.Names = []string{"model.bin", "new"}
	require.NoError(t, s.PutEntry(e))
	names, err := s.Names()
	require.NoError(t, err)
	require.Equal(t, []string{"model.bin", "new"}, names)
	_, err = s.Name("other")
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))

	require.NoError(t, s.DeleteEntry(e.Task.ID))
	require.Equal(t, pieces.NotFound, pieces.KindOf(s.DeleteEntry(e.Task.ID)))
	names, err = s.Names()
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestNamesBelongToTheFirst(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	a := Entry{Task: newTask(t, "http://h/a", pieces.Options{}), Names: []string{"n"}}
	b := Entry{Task: newTask(t, "http://h/b", pieces.Options{}), Names: []string{"m", "n"}}
	require.NoError(t, s.PutEntry(a))
	require.Equal(t, pieces.Exists, pieces.KindOf(s.PutEntry(b)))
	_, err := s.Name("m")
	require.Equal(t, pieces.NotFound, pieces.KindOf(err), "nothing of a refused entry is kept")
	require.NoError(t, s.DeleteEntry(a.Task.ID))
	require.NoError(t, s.PutEntry(b))
}

func TestEntryMustBeSound(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	task := newTask(t, "http://h/a", pieces.Options{})
	forged := task
	forged.PublicURL = "http://h/b"
	secret := task
	secret.URL = "http://user:pass@h/a"
	for name, e := range map[string]Entry{
		"hash":          {Task: forged},
		"userinfo":      {Task: secret},
		"name slash":    {Task: task, Names: []string{"a/b"}},
		"name empty":    {Task: task, Names: []string{""}},
		"name dots":     {Task: task, Names: []string{".."}},
		"name too long": {Task: task, Names: []string{strings.Repeat("x", 256)}},
		"id":            {Task: pieces.Task{ID: "zz"}},
	} {
		require.Equal(t, pieces.Invalid, pieces.KindOf(s.PutEntry(e)), name)
	}
}

func TestCredentialsNeverReachTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	task := newTask(t, "http://bob:hunter2@h/a", pieces.Options{Header: http.Header{"X-Token": {"s3cr3t-value"}}})
	require.NoError(t, s.PutEntry(Entry{Task: task}))
	got, err := s.Entry(task.ID)
	require.NoError(t, err)
	require.Nil(t, got.Task.Header)
	require.Equal(t, task.Audience, got.Task.Audience)
	require.NoError(t, s.Close())
	found := false
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range []string{"s3cr3t-value", "hunter2", task.Header.Get("Authorization")} {
			require.NotContains(t, string(b), secret, path)
		}
		found = found || strings.Contains(string(b), task.PublicURL)
		return err
	}))
	require.True(t, found, "the test looks where entries are")
}

func TestHeldTellsWhetherBytesAreHere(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	task := newTask(t, "http://h/a", pieces.Options{})
	require.NoError(t, s.PutEntry(Entry{Task: task, Held: true}))
	held := func() bool {
		e, err := s.Entry(task.ID)
		require.NoError(t, err)
		return e.Held
	}
	require.False(t, held())
	c := makeContent(t, 1, 1, 100)
	c.key.Task = task.ID
	v := openVersion(t, s, c)
	require.False(t, held())
	c.put(t, v, 0)
	require.True(t, held())
	require.NoError(t, v.Close())
	_, err := s.Evict(task.ID)
	require.NoError(t, err)
	require.False(t, held())
}

func TestFactsRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, Options{Dir: dir})
	id := makeContent(t, 1, 1, 0).key.Task
	_, _, err := s.Facts(id)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	f := pieces.Facts{Size: 77, Validator: pieces.Validator{Kind: pieces.LastModified, Value: "x"}, Modified: time.Unix(1_600_000_000, 0).UTC(), Ranges: true}
	checked := time.UnixMilli(1_700_000_000_123)
	require.NoError(t, s.PutFacts(id, f, checked))
	require.NoError(t, s.Close())
	s = openStore(t, Options{Dir: dir})
	got, at, err := s.Facts(id)
	require.NoError(t, err)
	require.Equal(t, f, got)
	require.True(t, checked.Equal(at))
}
