package cluster

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/pieces"
)

// Four hosts read one file in order at the same time, over uplinks that are the
// bottleneck. The seed, which could serve each of them all of it, sends little
// more than the file once: the rest they give each other.
func TestReadersInOrderFeedEachOther(t *testing.T) {
	const size, rate = 24 << 20, 8 << 20
	c := New(t, 1)
	o := newOrigin(t, size)
	seed := c.Host(func(o *daemon.Options) { o.Seed, o.UploadRate = true, rate })
	require.Equal(t, sha256.Sum256(o.data), sumOf(t, seed.Open(o.URL+"/f", pieces.Options{})))
	var files []*daemon.File
	for range 4 {
		files = append(files, c.Host(func(o *daemon.Options) { o.UploadRate = rate }).Open(o.URL+"/f", pieces.Options{}))
	}
	want := sha256.Sum256(o.data)
	start := time.Now()
	var wg sync.WaitGroup
	for _, f := range files {
		wg.Go(func() {
			if sumOf(t, f) != want {
				t.Error("wrong bytes")
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	sent := float64(seed.Traffic().Uploaded) / size
	t.Logf("the seed sent %.2f × the file; the last was done after %.2f × the time of one transfer", sent, took.Seconds()/(size/rate))
	require.LessOrEqual(t, sent, 1.8, "a plain server would send 4; 1.2 to 1.3 on an idle machine")
	require.LessOrEqual(t, o.bytes.Load(), int64(size)*101/100)
}
