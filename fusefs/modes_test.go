package fusefs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestModes(t *testing.T) {
	c, err := os.CreateTemp(t.TempDir(), "content")
	require.NoError(t, err)
	var m modes
	require.Equal(t, ModeNone, m.mode())
	require.Panics(t, func() { m.openPassthrough(nil) }, "first without content file")
	m.openPassthrough(c)
	m.openPassthrough(nil)
	require.Equal(t, ModePassthrough, m.mode())
	require.Panics(t, func() { m.openCached() })
	require.Panics(t, func() { m.openPassthrough(c) }, "second content file")
	require.Panics(t, func() { m.release(ModeCached) })
	m.release(ModePassthrough)
	require.NotNil(t, m.backing)
	m.release(ModePassthrough)
	require.Equal(t, ModeNone, m.mode())
	require.ErrorIs(t, c.Close(), os.ErrClosed)

	m.openCached()
	require.Equal(t, ModeCached, m.mode())
	require.Panics(t, func() { m.openPassthrough(c) })
	m.release(ModeCached)
	require.Panics(t, func() { m.release(ModeCached) })
}
