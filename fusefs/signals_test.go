package fusefs

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPendingSignals(t *testing.T) {
	bit := func(s syscall.Signal) uint64 { return 1 << (s - 1) }
	got, ok := pendingSignals([]byte("Name:\tpython3\nSigQ:\t1/95000\nSigPnd:\t0000000000400000\nShdPnd:\t0000000000002002\nSigBlk:\t0000000000002000\n"))
	require.True(t, ok)
	require.Equal(t, bit(syscall.SIGURG)|bit(syscall.SIGINT), got, "SIGALRM is blocked")
	for _, bad := range []string{"", "SigPnd:\t0\nShdPnd:\t0\n", "SigPnd:\tx\nShdPnd:\t0\nSigBlk:\t0\n"} {
		_, ok := pendingSignals([]byte(bad))
		require.False(t, ok, "%q", bad)
	}
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, ok = pendingSignals(status)
	require.True(t, ok)
}

func TestAskedToEnd(t *testing.T) {
	require.False(t, askedToEnd(uint32(os.Getpid())))
	require.True(t, askedToEnd(0), "another pid namespace")
	require.True(t, askedToEnd(1<<30), "nobody")
}
