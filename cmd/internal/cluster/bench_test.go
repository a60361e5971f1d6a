package cluster

import (
	"context"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"damselfly/daemon"
	"damselfly/pieces"
)

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// back makes the machine give this process's page cache memory that it has given
// out before: in a virtual machine the first touch of a page costs its host more
// than all that we do with it (measured: 2.8 CPU-s per GB written, against 0.2-0.3
// for pages that were in use a moment ago), and it is put down to us.
func back(b *testing.B, size int) {
	f, err := os.CreateTemp(b.TempDir(), "")
	require.NoError(b, err)
	defer os.Remove(f.Name())
	defer f.Close()
	buf := make([]byte, 1<<20)
	for range size >> 20 {
		_, err := f.Write(buf)
		require.NoError(b, err)
	}
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
	back(b, 2*size)
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

// BenchmarkCrowd has a warm seed feed eight hosts at once, each at 100 Mbit/s both
// ways: what the exchange, wakeups and requests of a crowd cost, which one parent
// alone does not show. Its time is what the rates give; judge the metrics.
func BenchmarkCrowd(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(8 * size)
	b.StopTimer()
	for range b.N {
		benchCrowd(b, size)
	}
}

func benchCrowd(b *testing.B, size int) {
	const rate, hosts = 100e6 / 8, 8
	c := New(b, 1)
	o := newOrigin(b, size)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	seed := c.Host(func(o *daemon.Options) { o.Seed, o.UploadRate = true, rate })
	_, err := seed.Fetch(ctx, o.URL+"/f", pieces.Options{})
	require.NoError(b, err)
	for range hosts {
		c.Host(func(o *daemon.Options) { o.UploadRate, o.DownloadRate = rate, rate })
	}
	back(b, hosts*size)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu := cpuTime(b)
	b.StartTimer()
	var g errgroup.Group
	for _, h := range c.Hosts[1:] {
		g.Go(func() error {
			_, err := h.Fetch(ctx, o.URL+"/f", pieces.Options{})
			return err
		})
	}
	require.NoError(b, g.Wait())
	b.StopTimer()
	used := cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	n := float64(hosts * size / pieces.MinPieceSize)
	b.ReportMetric(used.Seconds()*1e9/float64(hosts*size), "cpu-s/GB")
	b.ReportMetric(float64(used.Microseconds())/n, "cpu-µs/piece")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "mallocs/piece")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "allocated-B/piece")
	for _, h := range c.Hosts {
		h.Stop()
	}
}
