package pieces

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFarthestHit(t *testing.T) {
	var b HitBytes
	require.Equal(t, HitNone, b.Farthest())
	for h := HitInline; h < Hits; h++ {
		b[h] = 1
		require.Equal(t, h, b.Farthest())
		require.EqualValues(t, h, b.Total())
	}
	b[HitPeer] = 0
	require.Equal(t, "origin", b.Farthest().String())
}
