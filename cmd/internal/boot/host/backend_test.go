package host

import (
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/readahead"
	"damselfly/fusefs"
	"damselfly/pieces"
)

func TestFillIsAnOptionOfTheMount(t *testing.T) {
	o := fusefs.Options{Backend: Backend(nil)}
	require.NoError(t, set(&o, "fill=never"))
	require.NoError(t, set(&o, "umask=077"))
	require.Equal(t, readahead.FillNever, o.Backend.(backend).fill)
	err := set(&o, "fill=often")
	require.EqualError(t, err, `mount option "fill=often": want auto, always or never`)
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	plain := fusefs.Options{Backend: emptyBackend{}}
	require.ErrorContains(t, set(&plain, "fill=never"), "unknown")
}
