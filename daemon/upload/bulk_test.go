package upload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// As many bulk answers go at once as keep each of them short, two at least.
func TestBulkSlotsFollowTheWayOut(t *testing.T) {
	b := newBulkSlots(4)
	fill := func() (n int) {
		for b.take() {
			n++
		}
		return n
	}
	answer := func(n int64, took time.Duration) {
		require.True(t, b.take())
		b.free(n, took)
	}
	empty := func(n int) {
		for range n {
			b.free(0, time.Hour)
		}
	}
	require.Equal(t, 4, fill())
	empty(4)
	answer(pieces.MinPieceSize, 2*time.Second)
	answer(8*pieces.MinPieceSize, 16*time.Second)
	answer(1000, time.Minute) // says nothing
	require.Equal(t, 2, fill())
	empty(2)
	answer(pieces.MinPieceSize, 300*time.Millisecond)
	answer(pieces.MinPieceSize, 700*time.Millisecond)
	require.Equal(t, 3, fill())
	empty(3)
	for range 5 {
		answer(pieces.MinPieceSize, 2*time.Second)
	}
	require.Equal(t, leastBulk, fill())
	empty(leastBulk)
	for range 9 {
		answer(4*pieces.MinPieceSize, time.Second)
	}
	require.Equal(t, 4, fill())
}
