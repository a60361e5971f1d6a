package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Four hosts read one file through their mounts at once: right bytes
// everywhere, read from the origin once, and the hosts fed each other.
func TestCrowdReadsTheOriginOnce(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	// Links that are slower than the machine, so that it pays to share.
	c := w.cluster(2, 4, 500*lab.Mbit)
	f, url := w.serve("crowd.bin", 256*miB)
	want := f.SHA256()
	path := w.add(c.Hosts[0], url)

	begin := time.Now()
	var g errgroup.Group
	for _, d := range c.Hosts {
		g.Go(func() error {
			got, err := sha256File(d.Path(path))
			if err == nil && got != want {
				err = fmt.Errorf("SHA-256 on %s is %s, want %s", d.Host.Name, got, want)
			}
			return err
		})
	}
	w.ok(g.Wait())
	took := time.Since(begin)

	var fromOrigin, fromPeers, uplinks int64
	for _, d := range c.Daemons() {
		info, err := d.Stat(w.ctx, url)
		w.ok(err)
		t.Logf("%s: %+v", d.Host.Name, info.Traffic)
		fromOrigin += info.Traffic.Origin
		if d == c.Seed {
			continue
		}
		up, _, err := d.Host.LinkBytes(w.ctx)
		w.ok(err)
		fromPeers, uplinks = fromPeers+info.Traffic.Peers, uplinks+up
		require.Positive(t, info.Traffic.Peers, "%s got bytes from peers", d.Host.Name)
		require.Equal(t, info.Pieces, info.CachedPieces, d.Host.Name)
		s, err := d.Status(w.ctx)
		w.ok(err)
		require.Positive(t, s.FuseReads, "%s read through the mount", d.Host.Name)
	}
	for _, sch := range c.Schedulers {
		samples, err := sch.Host.Metrics(w.ctx)
		w.ok(err)
		for name, v := range samples {
			if v > 0 && (strings.Contains(name, "origin_repeat_bytes") || strings.Contains(name, "lease")) {
				t.Logf("%s: %s %.0f", sch.Host.Name, name, v)
			}
		}
	}
	w.sentOnce(f)
	require.InEpsilon(t, w.sent(f), fromOrigin, 0.01, "what the hosts say they read is what the origin says it sent")
	// The links agree: what hosts say they got from each other, hosts sent.
	fromSeed, _, err := c.Seed.Host.LinkBytes(w.ctx)
	w.ok(err)
	require.GreaterOrEqual(t, uplinks, fromPeers, "bytes on the hosts' own uplinks")
	t.Logf("4 × 256 MiB in %s; the seed sent %.2f × the file, the hosts %.2f ×", took.Round(10*time.Millisecond),
		float64(fromSeed)/float64(f.Size), float64(uplinks)/float64(f.Size))
}

// Tasks spread over the schedulers, and each has one.
func TestBothSchedulersAreUsed(t *testing.T) {
	w := newWorld(t, time.Minute)
	c := w.cluster(2, 2, 0)
	for i := range 20 {
		f, url := w.serve(fmt.Sprintf("spread-%d.bin", i), 600*kiB)
		path := w.add(c.Hosts[i%2], url)
		for _, d := range c.Hosts {
			w.check(f, d.Path(path))
		}
		w.sentOnce(f)
	}
	sum := 0.0
	for _, s := range c.Schedulers {
		n := w.calls(s, "RegisterPeerTask")
		t.Logf("%s answered %.0f registrations", s.Host.Name, n)
		require.Positive(t, n, "%s is used", s.Host.Name)
		sum += n
	}
	require.GreaterOrEqual(t, sum, 40.0, "every read of every host was scheduled")
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, f, make([]byte, miB)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
