package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestTheCatalogueIsSearched(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		var tasks []*pieces.Task
		for i := range 5 {
			tk := task(t, fmt.Sprintf("https://example.org/Model_%d", i), pieces.Options{Tag: fmt.Sprintf("t%d", i%2)})
			tasks = append(tasks, tk)
			require.NoError(t, s.PutTask(ctx, Put{Task: tk, Cluster: "eu", Name: fmt.Sprintf("name-%d", i), Now: now.Add(time.Duration(i/2) * time.Second)}))
		}
		require.NoError(t, s.PutTask(ctx, Put{Task: tasks[0], Cluster: "us", Name: "Zoo", Now: now}))
		ids := func(es []Entry, err error) (ids []pieces.TaskID) {
			require.NoError(t, err)
			for _, e := range es {
				ids = append(ids, e.Task.ID)
			}
			return ids
		}
		for _, c := range []struct {
			f    TaskFilter
			want int
		}{
			{TaskFilter{}, 5}, {TaskFilter{Search: "MODEL_"}, 5}, {TaskFilter{Search: "model%"}, 0}, {TaskFilter{Search: "model_3"}, 1},
			{TaskFilter{Search: "zoo"}, 1}, {TaskFilter{Search: "name-"}, 5}, {TaskFilter{Tag: "t1"}, 2}, {TaskFilter{Tag: "T1"}, 0},
			{TaskFilter{Cluster: "us"}, 1}, {TaskFilter{Cluster: "us", Tag: "t1"}, 0}, {TaskFilter{Search: "'; DROP TABLE tasks; --"}, 0},
			{TaskFilter{Search: string(tasks[2].ID)}, 1},
		} {
			require.Len(t, ids(s.Tasks(ctx, c.f, TaskPlace{}, 100, now)), c.want, "%+v", c.f)
		}
		var paged []pieces.TaskID
		for after := (TaskPlace{}); ; {
			page, err := s.Tasks(ctx, TaskFilter{}, after, 2, now)
			if paged = append(paged, ids(page, err)...); len(page) == 0 {
				break
			}
			last := page[len(page)-1]
			after = TaskPlace{last.Added, last.Task.ID}
		}
		require.Equal(t, ids(s.Tasks(ctx, TaskFilter{}, TaskPlace{}, 100, now)), paged)
		require.Equal(t, tasks[4].ID, paged[0], "newest first")

		names, err := s.NamesOfAll(ctx, paged)
		require.NoError(t, err)
		require.Equal(t, []ClusterName{{"eu", "name-0"}, {"us", "Zoo"}}, names[tasks[0].ID])
		require.NoError(t, s.RemoveName(ctx, "us", "Zoo"))
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RemoveName(ctx, "us", "Zoo")))
		require.Empty(t, ids(s.Tasks(ctx, TaskFilter{Cluster: "us"}, TaskPlace{}, 100, now)))
	})
}

func TestEntriesEnd(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		tk := task(t, "https://example.org/", pieces.Options{})
		require.NoError(t, s.PutTask(ctx, Put{Task: tk, Cluster: "default", Name: "n", Now: now, Expires: now.Add(time.Hour)}))
		require.NoError(t, put(ctx, s, tk, ""), "as a daemon does: the end stays")
		e, err := s.Task(ctx, tk.ID, now.Add(time.Hour-1))
		require.NoError(t, err)
		require.Equal(t, now.Add(time.Hour), e.Expires)
		after := now.Add(time.Hour)
		_, err = s.Task(ctx, tk.ID, after)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		_, err = s.TaskNamed(ctx, "default", "n", after)
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))

		require.Equal(t, pieces.Changed, pieces.KindOf(s.SetExpiry(ctx, tk.ID, time.Time{}, e.Revision+1)))
		require.NoError(t, s.SetExpiry(ctx, tk.ID, after.Add(time.Hour), e.Revision))
		n, err := s.RemoveExpired(ctx, after, 10)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, pieces.Changed, pieces.KindOf(s.RemoveTask(ctx, tk.ID, e.Revision)))
		n, err = s.RemoveExpired(ctx, after.Add(time.Hour), 10)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.SetExpiry(ctx, tk.ID, after, e.Revision+1)))
	})
}

func TestTheKnownVersionIsKept(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		tk := task(t, "https://example.org/", pieces.Options{})
		require.NoError(t, put(ctx, s, tk, ""))
		facts := pieces.Facts{Size: 1 << 30, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"a'\"`}, Modified: now.UTC(), Ranges: true}
		order := []pieces.Extent{{First: 5, End: 9}, {First: 0, End: 1}}
		is := func(f *pieces.Facts, o []pieces.Extent, seen time.Time) {
			t.Helper()
			e, err := s.Task(ctx, tk.ID, now)
			require.NoError(t, err)
			require.Equal(t, f, e.Facts)
			require.Equal(t, o, e.Order)
			require.Equal(t, seen, e.FactsSeen)
		}
		is(nil, nil, time.Time{})
		require.NoError(t, s.NoteTask(ctx, tk.ID, facts, order, now))
		is(&facts, order, now)
		later := now.Add(time.Second)
		require.NoError(t, s.NoteTask(ctx, tk.ID, facts, nil, later))
		is(&facts, order, later)
		old := facts
		old.Size = 1
		require.NoError(t, s.NoteTask(ctx, tk.ID, old, nil, now))
		is(&facts, order, later)
		next := pieces.Facts{Size: 2, Validator: pieces.Validator{Kind: pieces.LastModified, Value: "x"}}
		require.NoError(t, s.NoteTask(ctx, tk.ID, next, nil, later))
		is(&next, nil, later)
		require.NoError(t, s.NoteTask(ctx, "nothing", next, nil, later), "an entry that is not there")
	})
}
