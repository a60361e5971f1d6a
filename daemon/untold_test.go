package daemon

import (
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// What the manager hears late is where a chain of renames led, in the place of
// the name that it may know.
func TestUntoldRenames(t *testing.T) {
	u := newUntold()
	const id = pieces.TaskID("t")
	require.True(t, u.add(id, news{name: "b", insteadOf: "a"}))
	require.True(t, u.add(id, news{name: "c", insteadOf: "b"}))
	require.True(t, u.add(id, news{}), "added again")
	_, n, ok := u.any()
	require.True(t, ok)
	require.Equal(t, news{name: "c", insteadOf: "a"}, n)
	require.True(t, u.add(id, news{name: "d", insteadOf: "c"}))
	u.told(id, n)
	_, n, ok = u.any()
	require.True(t, ok, "what came meanwhile is still news")
	require.Equal(t, news{name: "d", insteadOf: "c"}, n, "the manager has c now, not a")
	u.told(id, n)
	_, _, ok = u.any()
	require.False(t, ok)
}

// A name that the manager hears of at once is not undone by what it hears late.
func TestUntoldAndRenamedAtOnce(t *testing.T) {
	u := newUntold()
	const id = pieces.TaskID("t")
	u.renamed(id, "x", "y")
	_, _, ok := u.any()
	require.False(t, ok)
	require.True(t, u.add(id, news{name: "b", insteadOf: "a"}))
	_, late, _ := u.any()
	u.renamed(id, "b", "c")
	_, n, _ := u.any()
	require.Equal(t, news{name: "c", insteadOf: "a"}, n)
	u.refused(id, late)
	_, n, ok = u.any()
	require.True(t, ok)
	require.Equal(t, news{name: "c", insteadOf: "a"}, n, "the manager refused another name")
	u.told(id, late) // it was on its way, and brought b back
	_, n, _ = u.any()
	require.Equal(t, news{name: "c", insteadOf: "b"}, n)
}
