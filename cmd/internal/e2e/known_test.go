package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/pieces"
	"damselfly/pieces/store"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// A host that knows 100,000 files, as of a data set, lists and opens them soon,
// in little memory. The times are printed, since they are the machine's too; its
// memory is not.
func TestHundredThousandKnownFiles(t *testing.T) {
	const files = 100_000
	w := newWorld(t, 3*time.Minute)
	if raced {
		t.Skip("its limits of time and memory are not for the race detector")
	}
	h := w.host("h1")
	one := content.New(seed, "one.bin", 5000)
	url, err := w.origin.Add(one)
	w.ok(err)
	began := time.Now()
	w.ok(know(w.ctx, filepath.Join(h.Dir, "data"), files, url, one.Size))
	t.Logf("%d files known after %.1f s", files, time.Since(began).Seconds())
	d, err := h.StartDaemon(w.ctx, lab.DaemonOptions{Mount: true, Extra: []string{"--config", w.config("times: {facts-fresh: 1h}\n")}})
	w.ok(err)
	atStart := residentMiB(w, d.PID())

	var first, again time.Duration
	for _, took := range []*time.Duration{&first, &again} {
		began := time.Now()
		list, err := os.ReadDir(d.Mount)
		*took = time.Since(began)
		w.ok(err)
		require.Len(t, list, files+1+2, "the files, by-name and .df")
	}
	afterList := residentMiB(w, d.PID())

	// lookup and open of single files that are known, among so many.
	var stats, opens []time.Duration
	for i := range 50 {
		task, err := pieces.NewTask(knownURL(url, i*files/50), pieces.Options{}, nil)
		w.ok(err)
		path := filepath.Join(d.Mount, string(task.ID))
		began := time.Now()
		_, err = os.Stat(path)
		w.ok(err)
		stats = append(stats, time.Since(began))
		began = time.Now()
		f, err := os.Open(path)
		w.ok(err)
		opens = append(opens, time.Since(began))
		w.ok(f.Close())
	}
	task, err := pieces.NewTask(url, pieces.Options{}, nil)
	w.ok(err)
	w.check(one, filepath.Join(d.Mount, string(task.ID)))
	st, err := d.Status(w.ctx)
	w.ok(err)
	require.Equal(t, files+1, st.Tasks)
	rss := residentMiB(w, d.PID())
	t.Logf("ls of the root %v, again %v; lookup p50 %v, max %v; open p50 %v, max %v; resident %d MiB at the start, %d after ls, %d in the end",
		first.Round(time.Millisecond), again.Round(time.Millisecond), middle(stats), longest(stats), middle(opens), longest(opens), atStart, afterList, rss)
	bound(w, "MiB resident", max(afterList, rss), 300)
}

func knownURL(url string, i int) string { return fmt.Sprintf("%s?file=%d", url, i) }

// know fills the data dir of a daemon that has not started yet with n files of
// which the facts are known, and one at url itself of that size.
func know(ctx context.Context, dataDir string, n int, url string, size int64) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Dir: dataDir})
	if err != nil {
		return err
	}
	facts := pieces.Facts{Size: size, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: `"1"`}, Ranges: true}
	put := func(url string, known bool) error {
		task, err := pieces.NewTask(url, pieces.Options{}, nil)
		if err != nil {
			return err
		}
		if err := s.PutEntry(store.Entry{Task: *task, Added: time.Now()}); err != nil || !known {
			return err
		}
		return s.PutFacts(task.ID, facts, time.Now())
	}
	var next atomic.Int64
	g, _ := errgroup.WithContext(ctx)
	for range 64 {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := put(knownURL(url, i), true); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := put(url, false); err != nil {
		return err
	}
	return s.Close()
}

func middle(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2].Round(time.Microsecond)
}

func longest(d []time.Duration) time.Duration { return slices.Max(d).Round(time.Microsecond) }

// config writes a configuration file for a daemon.
func (w *world) config(text string) (path string) {
	w.Helper()
	path = filepath.Join(w.TempDir(), "dfdaemon.yaml")
	w.ok(os.WriteFile(path, []byte(text), 0o600))
	return path
}
