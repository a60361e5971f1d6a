package engine

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// What came back is handed out again, and given up once it was of no use for a
// while; sizes are not mixed, and the budget counts what is in use.
func TestBuffersAreUsedAgain(t *testing.T) {
	m := newMemory(1 << 20)
	get := func(n int) *buffer {
		b, err := m.get(context.Background(), n)
		require.NoError(t, err)
		require.Len(t, b.data, n)
		return b
	}
	a, b := get(100), get(120)
	require.EqualValues(t, 220, m.budget.InUse())
	first, second := &a.data[0], &b.data[0]
	a.retain()
	a.release()
	require.EqualValues(t, 220, m.budget.InUse(), "one reference is left")
	a.release()
	b.release()
	require.Zero(t, m.budget.InUse())

	c := get(128)
	require.Same(t, second, &c.data[0], "the last one first")
	other := get(129)
	require.NotSame(t, first, &other.data[0])
	other.release()
	m.trim() // the first was spare since the start
	d := get(100)
	require.Same(t, first, &d.data[0], "not known to be of no use yet")
	d.release()
	m.trim()
	m.trim()
	e := get(100)
	require.NotSame(t, first, &e.data[0], "given up")
	e.release()
	c.release()
}
