package fusefs

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// A link of by-name/ follows what its name means: another file, or nothing, not
// long after that has changed. A file that is open by the old name stays what it
// is.
func TestNamesComeToMeanSomethingElse(t *testing.T) {
	b := newFake()
	one, two := b.add("one", 1000), b.add("two", 2000)
	b.names["n"] = one.Key.Task
	m := mount(t, b)
	path := m.Dir() + "/by-name/n"
	require.Equal(t, one.content, readAll(t, path))
	open, err := os.Open(path)
	require.NoError(t, err)
	defer open.Close()
	set := func(id pieces.TaskID) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if delete(b.names, "n"); id != "" {
			b.names["n"] = id
		}
	}
	set(two.Key.Task)
	require.Eventually(t, func() bool {
		target, err := os.Readlink(path)
		return err == nil && target == "../"+string(two.Key.Task)
	}, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, two.content, readAll(t, path))
	got := make([]byte, 1000)
	_, err = open.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, one.content, got)

	set("")
	require.Eventually(t, func() bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist)
	}, 20*time.Second, 20*time.Millisecond)
	names, err := readNames(m.Dir() + "/by-name")
	require.NoError(t, err)
	require.NotContains(t, names, "n")
	require.Equal(t, two.content, readAll(t, m.Dir()+"/"+string(two.Key.Task)), "the file itself is still there")
	set(one.Key.Task)
	require.Equal(t, one.content, readAll(t, path), "a miss is not remembered")
}
