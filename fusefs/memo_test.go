package fusefs

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestFailures(t *testing.T) {
	now := time.Unix(1000, 0)
	var f failures
	has := func(off, end int64, at time.Time) bool { _, ok := f.find(off, end, at); return ok }
	require.False(t, has(0, 1, now))
	f.add(4096, 8192, syscall.EIO, now.Add(time.Second))
	require.True(t, has(4096, 8192, now))
	require.True(t, has(5000, 5001, now))
	require.False(t, has(0, 8192, now), "only part of it failed")
	require.False(t, has(8192, 8193, now))
	require.False(t, has(4096, 8192, now.Add(time.Second)))
	require.Empty(t, f.list, "forgotten")

	for i := range int64(maxFailures + 100) {
		f.add(i, i+1, syscall.EACCES, now.Add(time.Second))
	}
	require.Len(t, f.list, maxFailures)
	errno, ok := f.find(maxFailures+99, maxFailures+100, now)
	require.True(t, ok)
	require.Equal(t, syscall.EACCES, errno)
}

func TestInodeNumbers(t *testing.T) {
	key := func(task, version string) pieces.Key {
		return pieces.Key{Task: taskID(task), Version: versionID(version)}
	}
	a := fileAttr(key("a", "1"))
	require.Equal(t, a, fileAttr(key("a", "1")))
	require.NotEqual(t, a.Ino, fileAttr(key("a", "2")).Ino)
	require.NotEqual(t, a.Ino, fileAttr(key("b", "1")).Ino)
	require.NotEqual(t, stableAttr(0, "x", "ab", "c"), stableAttr(0, "x", "a", "bc"))
	// The number is seen by programs and kept by backup tools: it stays.
	require.Equal(t, uint64(0x4527ac9fcc5e3add), a.Ino)
}
