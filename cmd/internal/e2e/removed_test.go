package e2e

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// A program reads on what it has in passthrough though its daemon was killed and
// the next one evicts the file. The disk that this still takes is shown, until
// the program closes it.
func TestEvictedUnderAReader(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, url := w.serve("r.bin", 12*miB+1)
	path := w.add(d, url)
	w.check(f, path)
	w.complete(d, url)
	var held *os.File
	w.ok(lab.Until(w.ctx, 10*time.Second, "a passthrough open", func() (err error) {
		if held, err = os.Open(path); err != nil {
			return err
		}
		if mode := xattr(t, path, "mode"); mode != "passthrough" {
			return errors.Join(errors.New("mode "+mode), held.Close())
		}
		return nil
	}))
	defer held.Close()
	w.ok(d.Kill())
	w.ok(d.Start(w.ctx))
	r, err := d.Dfmount(w.ctx, "evict", url)
	w.ok(err)
	w.ok(r.Err())

	forget(t, held)
	w.ok(f.CheckReader(io.NewSectionReader(held, 0, f.Size), 0, f.Size))
	st, err := d.Status(w.ctx)
	w.ok(err)
	require.Zero(t, st.CacheUsed)
	require.Equal(t, 1, st.RemovedFiles)
	require.GreaterOrEqual(t, st.RemovedBytes, f.Size)
	text, err := os.ReadFile(filepath.Join(d.Mount, ".df", "status"))
	w.ok(err)
	require.Contains(t, string(text), "1 files are open somewhere and still take")

	w.ok(held.Close())
	w.ok(lab.Until(w.ctx, 10*time.Second, "the space", func() error {
		if st, err = d.Status(w.ctx); err == nil && st.RemovedFiles > 0 {
			err = errors.New("not free yet")
		}
		return err
	}))
	w.check(f, path)
}
