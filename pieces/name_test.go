package pieces

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckName(t *testing.T) {
	for _, ok := range []string{"a", "ubuntu-24.04.iso", "Über größe", ".hidden", "...", strings.Repeat("x", 255), strings.Repeat("f", 63)} {
		require.NoError(t, CheckName(ok), ok)
	}
	for _, bad := range []string{"", ".", "..", "a/b", "/", "a\nb", "a\x00b", "a\xffb", "a\u0085b", strings.Repeat("x", 256), strings.Repeat("f", 64)} {
		require.Equal(t, Invalid, KindOf(CheckName(bad)), "%q", bad)
	}
}
