package engine

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/source"
	"damselfly/pieces"
)

// endless is an origin that names no length and never ends.
type endless struct{ source.Origin }

func (endless) ReadAll(context.Context, *pieces.Task) (io.ReadCloser, source.Stat, error) {
	return io.NopCloser(zeros{}), source.Stat{}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestSpoolLeavesTheReserve(t *testing.T) {
	looks := 0
	_, err := Spool(t.Context(), endless{}, &pieces.Task{}, t.TempDir(), func() bool { looks++; return looks < 3 })
	require.Equal(t, pieces.Full, pieces.KindOf(err), "%v", err)
	require.Equal(t, 3, looks)
}
