package e2e

import (
	"archive/tar"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Each way in which programs read files gives the right bytes, each on a file
// nobody has read before.
func TestProgramsReadRight(t *testing.T) {
	w := newWorld(t, 90*time.Second)
	d := w.alone("h1")
	for _, c := range []struct {
		name string
		// argv copies the file $1 to $2.
		argv []string
	}{
		{"cp", []string{"cp"}},
		{"dd", []string{"sh", "-c", `dd "if=$1" "of=$2" bs=128k status=none`, "dd"}},
		{"direct", []string{"sh", "-c", `dd "if=$1" "of=$2" bs=128k iflag=direct status=none`, "dd"}},
		{"odd", []string{"sh", "-c", `dd "if=$1" "of=$2" bs=100003 status=none`, "dd"}},
		{"mmap", []string{"python3", "-c", mmapCopy}},
		{"sendfile", []string{"python3", "-c", sendfileCopy}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, url := w.serve(c.name+".bin", 9*miB+4097)
			path := w.add(d, url)
			out := filepath.Join(d.Host.Dir, c.name+".out")
			w.run(d.Host, append(c.argv, path, out)...)
			require.NoError(t, checkFile(f, out))
			require.Positive(t, w.sent(f), "it was not here before")
		})
	}
	t.Run("tar", func(t *testing.T) {
		f, url := w.serve("tar.bin", 9*miB+1)
		path := w.add(d, url)
		out := filepath.Join(d.Host.Dir, "tar.out")
		w.run(d.Host, "tar", "-C", d.Mount, "-cf", out, filepath.Base(path))
		r, err := os.Open(out)
		require.NoError(t, err)
		defer r.Close()
		archive := tar.NewReader(r)
		head, err := archive.Next()
		require.NoError(t, err)
		require.Equal(t, f.Size, head.Size)
		require.NoError(t, f.CheckReader(archive, 0, f.Size))
	})
	t.Run("64 readers", func(t *testing.T) { readConcurrently(t, w, d) })
}

// readConcurrently has 64 readers of one fresh file: some read all of it, some
// jump about.
func readConcurrently(t *testing.T, w *world, d *lab.Daemon) {
	f, url := w.serve("many.bin", 24*miB+11)
	path := w.add(d, url)
	var g errgroup.Group
	for i := range 64 {
		g.Go(func() error {
			if i%4 == 0 {
				return checkFile(f, path)
			}
			return checkJumping(f, path, rand.New(rand.NewPCG(seed, uint64(i))))
		})
	}
	require.NoError(t, g.Wait())
	w.sentOnce(f)
}

func checkJumping(f content.File, path string, random *rand.Rand) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for range 40 {
		buf := make([]byte, 1+random.IntN(200*kiB))
		off := random.Int64N(f.Size - int64(len(buf)) + 1)
		if _, err := r.ReadAt(buf, off); err != nil {
			return fmt.Errorf("read %d bytes at %d: %w", len(buf), off, err)
		}
		if err := f.Check(buf, off); err != nil {
			return err
		}
	}
	return nil
}

// mmapCopy touches the pages from the end to the start, then copies.
const mmapCopy = `
import mmap, sys
with open(sys.argv[1], "rb") as f, open(sys.argv[2], "wb") as out:
    m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    for off in range(len(m) - 1, 0, -1 << 20):
        m[off]
    out.write(m)
`

const sendfileCopy = `
import os, sys
with open(sys.argv[1], "rb") as f, open(sys.argv[2], "wb") as out:
    off, size = 0, os.fstat(f.fileno()).st_size
    while off < size:
        off += os.sendfile(out.fileno(), f.fileno(), off, 1 << 20)
`
