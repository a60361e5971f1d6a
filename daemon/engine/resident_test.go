package engine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces/missing"
)

// Both ways to ask the kernel agree, on what was just read and on what was never.
func TestResidentBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	const size, read = 8<<20 + 5, 1 << 20
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, size))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM))
	n, err := residentByMap(f, size)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = f.ReadAt(make([]byte, read), 1<<20)
	require.NoError(t, err)
	n, err = residentByMap(f, size)
	require.NoError(t, err)
	require.GreaterOrEqual(t, n, int64(read))
	require.Less(t, n, int64(size))
	m, err := cacheStat(f, size)
	if err == unix.ENOSYS {
		missing.Skip(t, "no cachestat(2) here")
	}
	require.NoError(t, err)
	require.Equal(t, n, m)
}
