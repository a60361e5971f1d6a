package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// A random reader of a large file gets its bytes, and the host fetches what was
// touched instead of the file.
func TestRandomReadsFetchWhatTheyTouch(t *testing.T) {
	w := newWorld(t, 90*time.Second)
	c := w.cluster(1, 1, 0)
	h := c.Hosts[0]
	f, url := w.serve("large.bin", giB)
	path := w.add(h, url)

	file, err := os.Open(path)
	w.ok(err)
	defer file.Close()
	geometry, err := pieces.GeometryOf(f.Size)
	w.ok(err)
	touched := &pieces.Set{}
	random := rand.New(rand.NewPCG(seed, 7))
	buf := make([]byte, 64*kiB)
	for range 200 {
		off := random.Int64N(f.Size - int64(len(buf)))
		n, err := file.ReadAt(buf, off)
		w.ok(err)
		require.Equal(t, len(buf), n)
		w.ok(f.Check(buf, off))
		touched.AddExtent(geometry.Covering(off, int64(n)))
	}
	require.Greater(t, touched.Count(), 200, "the reads are spread")
	info, err := h.Stat(w.ctx, url)
	w.ok(err)
	require.Equal(t, geometry.Count(), info.Pieces)
	require.GreaterOrEqual(t, info.CachedPieces, touched.Count())
	require.LessOrEqual(t, info.CachedPieces, 260, "pieces fetched for %d touched", touched.Count())
	sent := w.sent(f)
	require.LessOrEqual(t, sent, 260*geometry.PieceSize+64*kiB, "origin bytes")
	t.Logf("200 reads touched %d pieces, fetched %d; the origin sent %.1f MiB", touched.Count(), info.CachedPieces, float64(sent)/miB)
}

// stat and ls learn the facts with one small request per file, for the whole
// swarm, and ask nothing when they are known.
func TestStatFetchesOnlyFacts(t *testing.T) {
	w := newWorld(t, time.Minute)
	c := w.cluster(1, 2, 0)
	const files, size = 10, 3*miB + 5
	paths := make([]string, files)
	urls := make([]string, files)
	for i := range files {
		_, urls[i] = w.serve("stat-"+strconv.Itoa(i)+".bin", size)
		paths[i] = w.add(c.Hosts[0], urls[i])
	}
	// The seed may read on, for it was woken, but only once somebody opens.
	list := func(d *lab.Daemon) {
		out := w.run(d.Host, "ls", "-l", d.Mount)
		for _, path := range paths {
			line := grep(out, filepath.Base(path))
			require.Contains(t, line, " "+strconv.Itoa(size)+" ", "ls -l shows the size")
		}
	}
	list(c.Hosts[0])
	requests, sent := w.traffic()
	require.GreaterOrEqual(t, sent, int64(1), "somebody asked the origin")
	require.LessOrEqual(t, sent, int64(files*64*kiB), "bytes for the facts of %d files", files)
	require.GreaterOrEqual(t, requests, files)

	list(c.Hosts[0])
	for _, path := range paths {
		require.Equal(t, strconv.Itoa(size), strings.TrimSpace(w.run(c.Hosts[0].Host, "stat", "-c", "%s", path)))
		// Another host learns them from the swarm.
		require.Equal(t, strconv.Itoa(size), strings.TrimSpace(w.run(c.Hosts[1].Host, "stat", "-c", "%s", c.Hosts[1].Path(path))))
	}
	again, sentAgain := w.traffic()
	require.Equal(t, requests, again, "known facts cause no request")
	require.Equal(t, sent, sentAgain)
	for i, d := range c.Hosts {
		info, err := d.Stat(w.ctx, urls[0])
		w.ok(err)
		require.LessOrEqual(t, info.CachedBytes, int64(64*kiB), "host %d downloaded nothing", i+1)
		require.Equal(t, int64(size), info.Facts.Size)
	}
}

// traffic returns the number of requests the origin answered and their bytes.
func (w *world) traffic() (requests int, sent int64) {
	w.Helper()
	w.ok(w.origin.Settle(w.ctx))
	rs, err := w.origin.Requests("")
	w.ok(err)
	for _, r := range rs {
		sent += r.Sent
	}
	return len(rs), sent
}

// grep returns the first line of text that holds word.
func grep(text, word string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			return line
		}
	}
	return ""
}
