package machine

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProcessors(t *testing.T) {
	p, err := ReadProcessors()
	require.NoError(t, err)
	share, seconds := Processors{busy: p.busy + 150, all: p.all + 200}.Since(p)
	require.Equal(t, 0.75, share)
	require.Equal(t, 1.5, seconds)
	share, _ = p.Since(p)
	require.Zero(t, share)
}
