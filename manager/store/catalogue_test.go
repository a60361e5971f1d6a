package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// put adds a Task with a name in the default cluster.
func put(ctx context.Context, s *Store, t *pieces.Task, name string) error {
	return s.PutTask(ctx, Put{Task: t, Cluster: "default", Name: name, Now: now})
}

func TestCatalogueOutlivesTheStore(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		full := task(t, "https://example.org/a?sig=1&x=y", pieces.Options{
			Tag: "t'); DROP TABLE tasks;--", Application: "ap\"p", FilterQuery: []string{"sig"},
			Digest: pieces.Digest("sha256:" + strings.Repeat("ab", 32)),
		})
		plain := task(t, "https://example.org/b", pieces.Options{})
		require.NoError(t, put(ctx, s, full, "b"))
		require.NoError(t, put(ctx, s, full, "a"))
		require.NoError(t, put(ctx, s, full, "a"), "again is no error")
		require.NoError(t, put(ctx, s, plain, ""))

		s = open()
		for _, look := range []func() (Entry, error){
			func() (Entry, error) { return s.Task(ctx, full.ID, now) },
			func() (Entry, error) { return s.TaskNamed(ctx, "default", "a", now) },
		} {
			got, err := look()
			require.NoError(t, err)
			want := *full
			want.URL = want.PublicURL
			require.Equal(t, want, got.Task)
			require.NoError(t, got.Task.CheckID())
		}
		names, err := s.NamesOf(ctx, "default", full.ID)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, names)
		got, err := s.Task(ctx, plain.ID, now)
		require.NoError(t, err)
		require.Equal(t, Entry{Task: *plain, Added: now, Revision: 1}, got)
	})
}

func TestFirstWriterOfANameWins(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		first, second := task(t, "https://example.org/1", pieces.Options{}), task(t, "https://example.org/2", pieces.Options{})
		require.NoError(t, put(ctx, s, first, "n"))
		err := put(ctx, s, second, "n")
		require.Equal(t, pieces.Exists, pieces.KindOf(err))
		require.ErrorContains(t, err, first.ID.Short())
		_, err = s.Task(ctx, second.ID, now)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err), "nothing of a refused entry is kept")

		require.NoError(t, s.RemoveTask(ctx, first.ID, 0))
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RemoveTask(ctx, first.ID, 0)))
		_, err = s.TaskNamed(ctx, "default", "n", now)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		require.NoError(t, put(ctx, s, second, "n"), "the name is free again")
	})
}

// A name becomes another one at once, or stays as it was.
func TestANameIsChanged(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		mine, other := task(t, "https://example.org/1", pieces.Options{}), task(t, "https://example.org/2", pieces.Options{})
		require.NoError(t, put(ctx, s, mine, "old"))
		require.NoError(t, s.PutTask(ctx, Put{Task: mine, Cluster: "eu", Name: "old", Now: now}))
		require.NoError(t, put(ctx, s, other, "taken"))
		rename := func(tk *pieces.Task, from, to string) error {
			return s.PutTask(ctx, Put{Task: tk, Cluster: "default", Name: to, InsteadOf: from, Now: now})
		}
		means := func(cluster string, tk *pieces.Task, want ...string) {
			t.Helper()
			names, err := s.NamesOf(ctx, cluster, tk.ID)
			require.NoError(t, err)
			require.Equal(t, want, names)
		}
		require.Equal(t, pieces.Exists, pieces.KindOf(rename(mine, "old", "taken")))
		means("default", mine, "old")
		before, err := s.Task(ctx, mine.ID, now)
		require.NoError(t, err)
		require.NoError(t, rename(mine, "old", "new"))
		means("default", mine, "new")
		means("eu", mine, "old")
		after, err := s.Task(ctx, mine.ID, now)
		require.NoError(t, err)
		require.Greater(t, after.Revision, before.Revision)
		require.NoError(t, rename(mine, "new", "new"), "to itself")
		means("default", mine, "new")
		require.NoError(t, rename(other, "new", "more"), "what means another task stays")
		means("default", mine, "new")
		means("default", other, "more", "taken")
		require.NoError(t, rename(mine, "never", "newest"))
		means("default", mine, "new", "newest")
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
					err := put(context.Background(), stores[w%2], tk, name)
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
			require.NoError(t, put(ctx, s, tk, n))
		}
		var got []string
		for after := ""; ; {
			page, err := s.Names(ctx, "default", after, 2)
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
