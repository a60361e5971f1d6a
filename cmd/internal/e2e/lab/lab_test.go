package lab_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// needLab skips unless end-to-end tests were asked for (make e2e).
func needLab(t *testing.T) context.Context {
	t.Helper()
	if os.Getenv("DAMSELFLY_E2E") == "" {
		t.Skip("end-to-end: run with make e2e")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newLab(t *testing.T, ctx context.Context) *lab.Lab {
	t.Helper()
	l, err := lab.New(ctx, lab.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		dir := l.Dir
		require.NoError(t, l.Close())
		require.NoDirExists(t, dir)
		require.Empty(t, leftovers(t, filepath.Base(dir)), "Close leaves nothing behind")
	})
	return l
}

// leftovers lists namespaces of the lab whose directory is called base.
func leftovers(t *testing.T, base string) []string {
	id := strings.TrimPrefix(base, "damselfly-lab-")
	found, err := filepath.Glob("/run/netns/df" + id + "-*")
	require.NoError(t, err)
	return found
}

func TestOriginServesAndCounts(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	o, err := l.StartOrigin(ctx)
	require.NoError(t, err)
	f := content.New(1, "f", 3<<20+17)
	url, err := o.Add(f)
	require.NoError(t, err)
	h, err := l.AddHost(ctx, "h1")
	require.NoError(t, err)

	get := func(url, rng string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		if rng != "" {
			req.Header.Set("Range", rng)
		}
		client := h.Client()
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		resp, err := client.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	whole := get(url, "")
	require.NoError(t, f.CheckReader(whole.Body, 0, f.Size))
	require.NotEmpty(t, whole.Header.Get("Etag"))
	part := get(url, "bytes=100-299")
	require.Equal(t, http.StatusPartialContent, part.StatusCode)
	require.NoError(t, f.CheckReader(part.Body, 100, 200))

	norange := get(o.URL("norange", "f"), "bytes=100-299")
	require.Equal(t, http.StatusOK, norange.StatusCode)
	_, _ = io.Copy(io.Discard, norange.Body)
	bare := get(o.URL("novalidator", "f"), "")
	require.Empty(t, bare.Header.Get("Etag")+bare.Header.Get("Last-Modified"))
	_, _ = io.Copy(io.Discard, bare.Body)
	for path, status := range map[string]int{"moved": 302, "denied": 403, "login": 401, "busy": 503, "other": 404} {
		require.Equal(t, status, get(o.URL(path, "x"), "").StatusCode, path)
	}
	require.Equal(t, "1", get(o.URL("busy", "x"), "").Header.Get("Retry-After"))

	sent, err := o.Sent(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, 3*f.Size+200, sent)
	rs, err := o.Requests("f")
	require.NoError(t, err)
	require.Len(t, rs, 4)
	require.Equal(t, lab.Request{Status: 206, Method: "GET", URI: "/files/f", Range: "bytes=100-299", Sent: 200, Remote: h.IP},
		lab.Request{Status: rs[1].Status, Method: rs[1].Method, URI: rs[1].URI, Range: rs[1].Range, Sent: rs[1].Sent, Remote: rs[1].Remote})
}

func TestShapeHoldsBothWays(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	o, err := l.StartOrigin(ctx)
	require.NoError(t, err)
	f := content.New(1, "f", 24<<20)
	url, err := o.Add(f)
	require.NoError(t, err)
	h, err := l.AddHost(ctx, "h1")
	require.NoError(t, err)

	download := func() (mbit float64) {
		r, err := h.Run(ctx, "curl", "-sS", "--fail", "-o", "out", "-w", "%{speed_download}", url)
		require.NoError(t, err)
		require.NoError(t, r.Err())
		got, err := os.Open(filepath.Join(h.Dir, "out"))
		require.NoError(t, err)
		defer got.Close()
		require.NoError(t, f.CheckReader(got, 0, f.Size))
		var bytesPerSecond float64
		_, err = fmt.Sscan(r.Stdout, &bytesPerSecond)
		require.NoError(t, err)
		return bytesPerSecond * 8 / 1e6
	}
	free := download()
	require.Greater(t, free, 500.0, "an unshaped link is fast")

	require.NoError(t, h.Shape(ctx, 0, 100*lab.Mbit))
	_, before, err := h.LinkBytes(ctx)
	require.NoError(t, err)
	down := download()
	_, after, err := h.LinkBytes(ctx)
	require.NoError(t, err)
	require.InEpsilon(t, 95, down, 0.07, "download of a 100 Mbit/s link")
	require.InEpsilon(t, 1.03*float64(f.Size), float64(after-before), 0.03, "bytes of the link: content and headers")

	require.NoError(t, h.Shape(ctx, 0, 0))
	require.NoError(t, o.Host.Shape(ctx, 100*lab.Mbit, 0))
	up := download()
	require.InEpsilon(t, 95, up, 0.07, "upload of a 100 Mbit/s link")
	t.Logf("unshaped %.0f Mbit/s; 100 Mbit/s: down %.1f, up %.1f", free, down, up)
}

func TestCutAndPartAreSilent(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	o, err := l.StartOrigin(ctx)
	require.NoError(t, err)
	a, err := l.AddHost(ctx, "a")
	require.NoError(t, err)
	b, err := l.AddHost(ctx, "b")
	require.NoError(t, err)
	reach := func(h *lab.Host) error {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		c, err := h.Dial(ctx, "tcp", o.Host.IP+":80")
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	silent := func(err error) { require.ErrorContains(t, err, "i/o timeout", "dropped, not refused") }

	require.NoError(t, reach(a))
	require.NoError(t, a.Cut(ctx))
	silent(reach(a))
	require.NoError(t, reach(b))
	require.NoError(t, a.Mend(ctx))
	require.NoError(t, lab.Until(ctx, 5*time.Second, "the mended link", func() error { return reach(a) }))

	require.NoError(t, a.Part(ctx, o.Host))
	silent(reach(a))
	require.NoError(t, reach(b))
	require.NoError(t, a.Join(ctx, o.Host))
	require.NoError(t, lab.Until(ctx, 5*time.Second, "the joined pair", func() error { return reach(a) }))
}

func TestProcessesAreStoppedKilledAndLogged(t *testing.T) {
	ctx := needLab(t)
	l := newLab(t, ctx)
	h, err := l.AddHost(ctx, "h1")
	require.NoError(t, err)

	p, err := h.Start("sh", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo he''llo; while :; do sleep 0.01; done")
	require.NoError(t, err)
	require.NoError(t, lab.Until(ctx, 5*time.Second, "the first line", func() error {
		if !strings.Contains(p.Tail(5), "hello") {
			return fmt.Errorf("log: %s", p.Tail(5))
		}
		return nil
	}))
	require.NoError(t, p.Terminate(5*time.Second))
	require.Contains(t, p.Tail(5), "bye")
	require.ErrorContains(t, p.Alive(), "has ended")

	q, err := h.Start("sleep", "sleep", "1000")
	require.NoError(t, err)
	require.NoError(t, q.Stop())
	require.NoError(t, q.Alive())
	require.NoError(t, q.Kill())
	require.ErrorContains(t, q.Alive(), "killed")

	r, err := h.Run(ctx, "sh", "-c", "echo out; echo err >&2; exit 3")
	require.NoError(t, err)
	require.Equal(t, "out\n", r.Stdout)
	require.Equal(t, "err\n", r.Stderr)
	require.Equal(t, 3, r.Exit)

	// A deadline ends what a command left running, too.
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = h.Run(short, "sh", "-c", "sleep 100 & sleep 100")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestDeadLabIsCleaned runs itself in a child that dies in the middle of a
// lab, by SIGKILL, and checks what it left before and after the next New.
func TestDeadLabIsCleaned(t *testing.T) {
	ctx := needLab(t)
	if dir := os.Getenv("DAMSELFLY_DIE_IN"); dir != "" {
		l, err := lab.New(ctx, lab.Options{Dir: dir})
		require.NoError(t, err)
		h, err := l.AddHost(ctx, "h1")
		require.NoError(t, err)
		// Survives our death: a daemon started by a command.
		r, err := h.Run(ctx, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $! > pid")
		require.NoError(t, err)
		require.NoError(t, r.Err())
		require.NoError(t, os.Mkdir(filepath.Join(h.Dir, "mnt"), 0o755))
		r, err = h.Run(ctx, "mount", "-t", "tmpfs", "none", filepath.Join(h.Dir, "mnt"))
		require.NoError(t, err)
		require.NoError(t, r.Err())
		self, err := os.FindProcess(os.Getpid())
		require.NoError(t, err)
		require.NoError(t, self.Kill())
		select {}
	}
	parent := t.TempDir()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestDeadLabIsCleaned$")
	child.Env = append(os.Environ(), "DAMSELFLY_DIE_IN="+parent)
	out, err := child.CombinedOutput()
	require.ErrorContains(t, err, "killed", "%s", out)

	dead, err := filepath.Glob(filepath.Join(parent, "damselfly-lab-*[0-9]"))
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.Len(t, leftovers(t, filepath.Base(dead[0])), 2)
	require.True(t, lab.Mounted(filepath.Join(dead[0], "h1", "mnt")))
	pid, err := os.ReadFile(filepath.Join(dead[0], "h1", "pid"))
	require.NoError(t, err)
	process := "/proc/" + strings.TrimSpace(string(pid))
	require.DirExists(t, process)

	l, err := lab.New(ctx, lab.Options{Dir: parent})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	require.NoDirExists(t, dead[0])
	require.Empty(t, leftovers(t, filepath.Base(dead[0])))
	stat, err := os.ReadFile(process + "/stat") // gone, or a corpse nobody collected yet
	require.True(t, err != nil || strings.Contains(string(stat), ") Z "), "%s", stat)
	require.DirExists(t, l.Dir)
	require.NoError(t, lab.CleanStale(ctx, parent))
	require.DirExists(t, l.Dir, "a living lab is left alone")
}
