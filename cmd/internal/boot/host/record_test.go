package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzRecord: whatever stands in mounts.json, the daemon starts and mounts
// nothing that is not an absolute path without detours.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"", "[]", `["/mnt/a","/mnt/b"]`, `["a","../b","/x/../etc",""]`, `{"a":1}`, `[1]`, "null", `["/mnt/a"`, "[\"/a\\u0000b\"]"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "mounts.json")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		paths, err := readRecord(file)
		require.NoError(t, err)
		for _, p := range paths {
			require.True(t, filepath.IsAbs(p) && filepath.Clean(p) == p, "%q", p)
			require.NotContains(t, p, "\x00")
		}
	})
}
