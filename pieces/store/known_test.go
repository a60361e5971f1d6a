package store

import (
	"fmt"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// The list of what is known names every entry once, with its own facts, whoever
// else has facts.
func TestKnown(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir()})
	facts := func(i int) pieces.Facts {
		return pieces.Facts{Size: int64(i), Validator: pieces.Validator{Kind: pieces.StrongETag, Value: fmt.Sprint(i)}, Ranges: true}
	}
	want := map[pieces.TaskID]*pieces.Facts{}
	for i := range 60 {
		task := newTask(t, fmt.Sprintf("https://example.org/%d", i), pieces.Options{})
		if i%3 != 0 {
			require.NoError(t, s.PutEntry(Entry{Task: task}))
			want[task.ID] = nil
		}
		if i%2 != 0 {
			f := facts(i)
			require.NoError(t, s.PutFacts(task.ID, f, time.Now()))
			if i%3 != 0 {
				want[task.ID] = &f
			}
		}
	}
	got := map[pieces.TaskID]*pieces.Facts{}
	require.NoError(t, s.Known(func(id pieces.TaskID, f *pieces.Facts) {
		require.NotContains(t, got, id)
		got[id] = f
	}))
	require.Equal(t, want, got)
	n, err := s.EntryCount()
	require.NoError(t, err)
	require.Equal(t, len(want), n)
}
