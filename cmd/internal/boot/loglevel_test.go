package boot

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output is what a log writes, to be read meanwhile.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func TestLevelSteps(t *testing.T) {
	var out output
	log, err := LogOptions{Level: "warn"}.Logger(&out, "test")
	require.NoError(t, err)
	of := log.WithField("part", "engine") // made before
	got := make(chan os.Signal, 8)
	for _, s := range []os.Signal{signalMore, signalMore, signalMore, signalMore, signalBack} {
		got <- s
	}
	close(got)
	followLevel(got, log)
	require.Equal(t, "warning", of.Logger.GetLevel().String())
	for i, level := range []string{"info", "debug", "trace", "trace", "warning"} {
		require.Contains(t, strings.Split(out.String(), "\n")[i], "log_level="+level)
	}
}

// TestLevelSignals sends the real ones to this process.
func TestLevelSignals(t *testing.T) {
	var out output
	log, err := LogOptions{Level: "error"}.Logger(&out, "test")
	require.NoError(t, err)
	stop := FollowLevelSignals(log)
	defer stop()
	reach := func(level string) {
		require.Eventually(t, func() bool { return log.Logger.GetLevel().String() == level }, 20*time.Second, time.Millisecond, level)
	}
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	reach("warning")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
	reach("info")
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR2))
	reach("error")
	require.Eventually(t, func() bool { return strings.Count(out.String(), "log level changed") == 3 }, 20*time.Second, time.Millisecond,
		"who asked is told, whatever the level")
	stop()
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGUSR1)) // ends nobody
}
