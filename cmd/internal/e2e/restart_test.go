package e2e

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// A daemon killed with -9 and started again keeps its cache, fetches nothing
// twice and replaces the mount it left behind.
func TestKilledDaemonComesBackWarm(t *testing.T) {
	w := newWorld(t, 90*time.Second)
	d := w.alone("h1")
	whole, wholeURL := w.serve("whole.bin", 40*miB+9)
	wholePath := w.add(d, wholeURL)
	w.check(whole, wholePath)
	// More than what a sequential reader may read ahead; less than a quarter is
	// read, from which on the whole would be fetched.
	part, partURL := w.serve("part.bin", 64*miB)
	partPath := w.add(d, partURL)
	r, err := os.Open(partPath)
	w.ok(err)
	defer r.Close()
	w.ok(part.CheckReader(io.NewSectionReader(r, 0, part.Size/8), 0, part.Size/8))

	// What is verified serves readers at once and is written behind; what was
	// read ahead is in flight for a moment longer.
	w.ok(lab.Until(w.ctx, 20*time.Second, "the written bytes", func() error {
		s, err := d.Status(w.ctx)
		if err == nil && s.CacheUsed < max(whole.Size+part.Size/8, s.Traffic.Origin) {
			err = errors.New("not all written")
		}
		return err
	}))
	before, err := d.Stat(w.ctx, partURL)
	w.ok(err)
	require.Less(t, before.CachedPieces, before.Pieces, "the second file is held in part")

	w.ok(d.Kill())
	_, err = r.ReadAt(make([]byte, 4096), part.Size-4096)
	require.Error(t, err, "a read from a dead daemon fails at once")
	w.unmounted(d)
	w.ok(r.Close())

	w.ok(d.Start(w.ctx))
	w.check(whole, wholePath)
	s, err := d.Status(w.ctx)
	w.ok(err)
	require.Zero(t, s.Traffic.Origin, "origin bytes since the restart, having read what was held")
	w.check(part, partPath)
	w.sentOnce(whole)
	w.sentOnce(part)
	mounts := w.run(d.Host, "grep", "-c", " "+d.Mount+" ", "/proc/self/mountinfo")
	require.Equal(t, "1\n", mounts, "one mount, not one on top of another")
}
