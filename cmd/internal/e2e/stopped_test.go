package e2e

import (
	"os"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// A parent stopped with SIGSTOP in the middle of a read: its child's reader
// never waits longer than 3 s, and the origin is not asked again.
func TestStoppedParentIsReplaced(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	c := w.cluster(1, 2, 100*lab.Mbit)
	f, url := w.serve("stopped.bin", 48*miB)
	path := w.add(c.Hosts[0], url)
	w.check(f, c.Hosts[0].Path(path))

	parent, child := c.Hosts[0], c.Hosts[1]
	up := func() int64 {
		n, _, err := parent.Host.LinkBytes(w.ctx)
		w.ok(err)
		return n
	}
	before := up()
	r, err := os.Open(child.Path(path))
	w.ok(err)
	defer r.Close()
	stopped := false
	defer func() { _ = parent.Continue() }()
	var worst time.Duration
	buf := make([]byte, 128*kiB)
	for off := int64(0); off < f.Size; off += int64(len(buf)) {
		if !stopped && off >= f.Size/4 {
			require.Greater(t, up()-before, int64(miB), "the parent was feeding its child")
			w.ok(parent.Stop())
			stopped = true
		}
		start := time.Now()
		_, err := r.ReadAt(buf, off)
		w.ok(err)
		worst = max(worst, time.Since(start))
		w.ok(f.Check(buf, off))
	}
	require.True(t, stopped)
	t.Logf("longest read: %v", worst)
	require.Less(t, worst, 3*time.Second)
	w.sentOnce(f)
	w.ok(parent.Continue())
	w.check(f, parent.Path(path))
}
