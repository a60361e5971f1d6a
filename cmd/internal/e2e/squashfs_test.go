package e2e

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// An image on the mount is mounted itself, through a loop device: a file system
// with checksums of its own, which reads here and there, in the kernel. Its
// files are right, and only what they need of it is fetched.
func TestSquashfsImageOnTheMount(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	d := w.alone("h1")
	tree, files := w.tree(120)
	image := filepath.Join(w.origin.Host.Dir, "files", "tree.squashfs")
	w.run(w.origin.Host, "mksquashfs", tree, image, "-quiet", "-no-progress", "-comp", "gzip", "-b", "131072", "-reproducible")
	st, err := os.Stat(image)
	w.ok(err)
	path := w.add(d, w.origin.URL("files", "tree.squashfs"))

	dir := filepath.Join(d.Host.Dir, "inside")
	w.ok(os.Mkdir(dir, 0o755))
	if why := loopMount(t, path, dir); why != "" {
		t.Logf("no loop mount here (%s): unsquashfs reads the image instead", why)
		w.ok(os.Remove(dir))
		w.run(d.Host, "unsquashfs", "-quiet", "-no-progress", "-dest", dir, path)
	} else {
		// A few files first: not all of the image comes for them.
		w.ok(checkHex(files[0], filepath.Join(dir, files[0].Name)))
		w.ok(checkHex(files[60], filepath.Join(dir, files[60].Name)))
		info, err := d.Stat(w.ctx, path)
		w.ok(err)
		t.Logf("two of %d files: %d of %d bytes are here", len(files), info.CachedBytes, st.Size())
		require.Less(t, info.CachedBytes, st.Size())
	}
	var g errgroup.Group
	g.SetLimit(8)
	for _, i := range rand.New(rand.NewPCG(seed, 3)).Perm(len(files)) {
		g.Go(func() error { return checkHex(files[i], filepath.Join(dir, files[i].Name)) })
	}
	w.ok(g.Wait())
	n := 0
	w.ok(filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			n++
		}
		return err
	}))
	require.Equal(t, len(files), n)
	// Its own checksums, read in order through the mount.
	w.run(d.Host, "unsquashfs", "-quiet", "-no-progress", "-dest", filepath.Join(d.Host.Dir, "out"), path)
	w.ok(checkHex(files[7], filepath.Join(d.Host.Dir, "out", files[7].Name)))
	sent, err := w.origin.Sent(w.ctx, "tree.squashfs")
	w.ok(err)
	bound(w, "origin bytes of the image", sent, st.Size()+st.Size()/100)
}

// checkHex compares a file of tree.
func checkHex(f content.File, path string) error {
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return f.CheckReader(hex.NewDecoder(r), 0, f.Size)
}

// tree makes n files of many sizes in some directories, in hex: squashfs has
// checksums of what it compressed only.
func (w *world) tree(n int) (dir string, files []content.File) {
	dir = filepath.Join(w.lab.Dir, "tree")
	random := rand.New(rand.NewPCG(seed, 2))
	for i := range n {
		f := content.New(seed, fmt.Sprintf("d%d/e%d/f%d.bin", i%7, i%3, i), random.Int64N(1<<(8+i%12)))
		files = append(files, f)
		path := filepath.Join(dir, f.Name)
		w.ok(os.MkdirAll(filepath.Dir(path), 0o755))
		data, err := io.ReadAll(f.Reader())
		w.ok(err)
		w.ok(os.WriteFile(path, hex.AppendEncode(nil, data), 0o644))
	}
	return dir, files
}

// loopMount mounts an image until the end of the test, or says why it can't:
// there are no loop devices, or the kernel has no squashfs.
func loopMount(t *testing.T, image, dir string) (why string) {
	t.Helper()
	known, err := os.ReadFile("/proc/filesystems")
	require.NoError(t, err)
	if !strings.Contains(string(known), "\tsquashfs\n") {
		return "the kernel has no squashfs"
	}
	if out, err := exec.Command("losetup", "--find").CombinedOutput(); err != nil {
		return "losetup: " + strings.TrimSpace(string(out))
	}
	out, err := exec.Command("mount", "-t", "squashfs", "-o", "ro,loop", image, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		out, err := exec.Command("umount", dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
	return ""
}
