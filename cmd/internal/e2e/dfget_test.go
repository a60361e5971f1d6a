package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// dfget beside the mount takes the bytes from the same cache, and gives a file
// that is the user's own.
func TestDfgetSharesTheCache(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, url := w.serve("g.bin", 30*miB+5)
	path := w.add(d, url)
	w.check(f, path)
	w.complete(d, url)
	sent := w.sent(f)

	out := filepath.Join(d.Host.Dir, "out.bin")
	r, err := d.Dfget(w.ctx, url, "-O", out, "--digest", "sha256:"+f.SHA256())
	w.ok(err)
	// A pinned digest is part of a Task's identity: another Task, other bytes.
	w.ok(r.Err())
	w.check(f, out)
	w.ok(os.Remove(out))
	pinned := w.sent(f) - sent

	sent = w.sent(f)
	r, err = d.Dfget(w.ctx, url, "-O", out)
	w.ok(err)
	w.ok(r.Err())
	w.check(f, out)
	require.Equal(t, sent, w.sent(f), "origin bytes for a Task that was cached")
	t.Logf("the pinned Task cost %d origin bytes, the cached one none", pinned)

	// The output belongs to the user.
	file, err := os.OpenFile(out, os.O_RDWR, 0)
	w.ok(err)
	_, err = file.WriteAt(make([]byte, miB), 5*miB)
	w.ok(err)
	w.ok(file.Truncate(10 * miB))
	w.ok(file.Close())
	w.check(f, path)
	cached, err := os.Open(path)
	w.ok(err)
	defer cached.Close()
	forget(t, cached)
	w.ok(f.CheckReader(cached, 0, f.Size))

	// A range of it, inclusive.
	r, err = d.Dfget(w.ctx, url, "-O", out, "--range", "100-1048675")
	w.ok(err)
	w.ok(r.Err())
	part, err := os.Open(out)
	w.ok(err)
	defer part.Close()
	w.ok(f.CheckReader(part, 100, miB))
	require.Equal(t, sent, w.sent(f))
}

// Content that does not match the pinned digest is exit code 5 and no file.
func TestDfgetWrongDigest(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, url := w.serve("wrong.bin", 2*miB)
	other := content.New(seed, "other", 2*miB).SHA256()
	out := filepath.Join(d.Host.Dir, "new", "out.bin")
	w.ok(os.Mkdir(filepath.Dir(out), 0o755))
	r, err := d.Dfget(w.ctx, url, "-O", out, "--digest", "sha256:"+other)
	w.ok(err)
	require.Equal(t, 5, r.Exit, "%s%s", r.Stdout, r.Stderr)
	require.Contains(t, r.Stderr, f.SHA256(), "it says what came instead")
	requireEmptyDir(t, filepath.Dir(out))
	require.Positive(t, w.sent(f), "the content was looked at")
}

// SIGINT ends a download at once and leaves nothing behind.
func TestDfgetInterrupted(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, _ := w.serve("slow.bin", 100*miB)
	url := w.origin.URL("slow", f.Name)
	out := filepath.Join(d.Host.Dir, "new", "out.bin")
	w.ok(os.Mkdir(filepath.Dir(out), 0o755))
	p, err := d.Host.Start("dfget", filepath.Join(bin, "dfget"), "--socket", d.Socket, url, "-O", out)
	w.ok(err)
	w.ok(lab.Until(w.ctx, 20*time.Second, "the download to be under way", func() error {
		if err := p.Alive(); err != nil {
			return err
		}
		info, err := d.Stat(w.ctx, url)
		if err == nil && info.CachedBytes == 0 {
			err = os.ErrNotExist
		}
		return err
	}))
	w.ok(p.Signal(syscall.SIGINT))
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second):
		t.Fatalf("dfget still runs 5 s after SIGINT:\n%s", p.Tail(10))
	}
	require.Equal(t, 130, p.ExitCode(), p.Tail(10))
	requireEmptyDir(t, filepath.Dir(out))
	require.NoError(t, d.Alive())
}

// Without a daemon that can be started, dfget reads the origin itself.
func TestDfgetWithoutADaemon(t *testing.T) {
	w := newWorld(t, time.Minute)
	h := w.host("h1")
	f, url := w.serve("direct.bin", 5*miB+1)
	out := filepath.Join(h.Dir, "out.bin")
	r, err := h.Run(w.ctx, filepath.Join(bin, "dfget"), "--socket", "/proc/no/daemon.sock", url, "-O", out, "--digest", "sha256:"+f.SHA256())
	w.ok(err)
	w.ok(r.Err())
	w.check(f, out)
	w.sentOnce(f)
}

func requireEmptyDir(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "left in %s", dir)
}
