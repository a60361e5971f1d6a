package pieces

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesOfClusters(t *testing.T) {
	for _, good := range []string{"a", "eu-1", strings.Repeat("a", 63)} {
		require.NoError(t, CheckCluster(good))
	}
	for _, bad := range []string{"", "A", "a b", "a\x00", "ä", "a/b", strings.Repeat("a", 64)} {
		require.Equal(t, Invalid, KindOf(CheckCluster(bad)), "%q", bad)
	}
}
