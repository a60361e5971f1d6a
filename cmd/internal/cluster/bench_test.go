package cluster

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOneParent fetches 512 MiB from one host that holds them, unshaped:
// the cost of both ends, digests and the child's disk included.
func BenchmarkOneParent(b *testing.B) {
	const size = 512 << 20
	b.SetBytes(size)
	b.StopTimer()
	for range b.N {
		benchOne(b, size)
	}
}

func benchOne(b *testing.B, size int) {
	c := New(b, 1)
	o := newOrigin(b, size)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	parent := c.Host(nil)
	_, err := parent.Fetch(ctx, o.URL+"/f", pieces.Options{})
	require.NoError(b, err)
	child := c.Host(nil)
	before := cpuTime(b)
	b.StartTimer()
	_, err = child.Fetch(ctx, o.URL+"/f", pieces.Options{})
	b.StopTimer()
	require.NoError(b, err)
	require.EqualValues(b, size, child.Traffic().Peers)
	b.ReportMetric((cpuTime(b)-before).Seconds()*1e9/float64(size), "cpu-s/GB")
	child.Stop()
	parent.Stop()
}
