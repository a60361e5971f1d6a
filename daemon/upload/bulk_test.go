package upload

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

// As many bulk answers go at once as keep each of them short, one at least.
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
	answer(pieces.MinPieceSize, 700*time.Millisecond)
	require.Equal(t, 2, fill())
	empty(2)
	for range 5 {
		answer(pieces.MinPieceSize, 2*time.Second)
	}
	require.Equal(t, 1, fill())
	empty(1)
	for range 9 {
		answer(4*pieces.MinPieceSize, time.Second)
	}
	require.Equal(t, 4, fill())
}
