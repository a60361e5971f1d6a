package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/picker"
	"damselfly/pieces"
)

func TestWrittenNamesWhatIsInTheFileOnce(t *testing.T) {
	geo, err := pieces.GeometryOf(4 * pieces.MinPieceSize)
	require.NoError(t, err)
	c := &Content{
		geo: geo, held: &pieces.Set{}, mem: map[int]*buffer{}, growths: map[*Growth]struct{}{}, changed: make(chan struct{}),
		pick: picker.New(geo, &pieces.Set{}, picker.Config{}, newRand()),
	}
	g := (&Handle{c: c}).Grow(2 * pieces.MinPieceSize)
	defer g.Close()
	written := func() []pieces.Extent {
		es, all := g.Written()
		require.Equal(t, c.held.Count() == 4 && len(c.mem) == 0, all)
		return es
	}
	m := newMemory(1 << 20)
	come := func(i int) *buffer {
		b, err := m.get(t.Context(), pieces.MinPieceSize)
		require.NoError(t, err)
		c.held.Add(i)
		c.mem[i] = b
		return b
	}
	require.Empty(t, written())
	b := come(1)
	require.Empty(t, written(), "it is in memory")
	c.written(1, b)
	require.Empty(t, g.More())
	require.Equal(t, []pieces.Extent{{First: 1, End: 2}}, written())
	require.Empty(t, written())
	c.written(2, come(2))
	require.Len(t, g.More(), 1)
	<-g.More()
	c.written(0, come(0))
	require.Equal(t, []pieces.Extent{{First: 0, End: 1}, {First: 2, End: 3}}, written())

	// What was lost and came again may be others' bytes.
	c.forget(pieces.Extent{First: 1, End: 2})
	c.written(1, come(1))
	require.Equal(t, []pieces.Extent{{First: 0, End: 3}}, written())
	c.written(3, come(3))
	require.Equal(t, []pieces.Extent{{First: 3, End: 4}}, written())
}
