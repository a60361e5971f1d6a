package control

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpans(t *testing.T) {
	var s spans
	require.True(t, s.cover(0))
	require.False(t, s.cover(1))
	s.add(Range{10, 5})
	s.add(Range{0, 5})
	require.Equal(t, spans{{0, 5}, {10, 5}}, s)
	s.add(Range{5, 5})
	require.Equal(t, spans{{0, 15}}, s)
	require.True(t, s.cover(15))
	require.False(t, s.cover(16))

	// Against a plain table of bytes.
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s spans
		var table [40]bool
		for range 8 {
			x := Range{int64(r.IntN(30)), int64(1 + r.IntN(10))}
			s.add(x)
			for b := x.Off; b < x.Off+x.N; b++ {
				table[b] = true
			}
		}
		var got [40]bool
		for i, x := range s {
			require.True(t, i == 0 || s[i-1].Off+s[i-1].N < x.Off, "%v", s)
			for b := x.Off; b < x.Off+x.N; b++ {
				got[b] = true
			}
		}
		require.Equal(t, table, got)
	}
}
