package e2e

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// hostile starts a misbehaving origin on a host of its own.
func (w *world) hostile() *origin.Origin {
	w.Helper()
	return w.hostileOn("evil")
}

// hostileOn is hostile on a host of its own: what one origin makes everybody leave
// alone says nothing of another.
func (w *world) hostileOn(name string) *origin.Origin {
	w.Helper()
	h := w.host(name)
	lis, err := h.Listen(w.ctx, "tcp", h.IP+":8000")
	w.ok(err)
	return origin.On(w, seed, lis, "http")
}

// A few rows of the matrix of package origin, as programs see them, with the
// deadlines as they are shipped.
func TestMisbehavingOriginThroughTheMount(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	o, busy := w.hostile(), w.hostileOn("busy")
	d := w.alone("h1")
	for name, c := range map[string]struct {
		when            origin.When
		fault           origin.Fault
		want            error
		atLeast, atMost time.Duration
	}{
		"mute":        {origin.Every, origin.Mute, unix.ETIMEDOUT, 9 * time.Second, 12 * time.Second},
		"mute-data":   {origin.Data, origin.Mute, unix.ETIMEDOUT, 29 * time.Second, 33 * time.Second},
		"trickle":     {origin.Data, origin.SlowBody(1), unix.ETIMEDOUT, 29 * time.Second, 33 * time.Second},
		"stall":       {origin.First(1, origin.Data), origin.Pause(-1), nil, 9 * time.Second, 14 * time.Second},
		"cut":         {origin.First(3, origin.Data), origin.Cut(.5, origin.Close), nil, 0, 5 * time.Second},
		"500":         {origin.Every, origin.Status(500, ""), unix.EIO, 0, 5 * time.Second},
		"gzip":        {origin.Every, origin.Gzip, unix.EIO, 0, 2 * time.Second},
		"403":         {origin.Data, origin.Status(403, ""), unix.EACCES, 0, 2 * time.Second},
		"404":         {origin.Every, origin.Status(404, ""), unix.ENOENT, 0, 2 * time.Second},
		"total":       {origin.Data, origin.ContentRange("bytes", 0, 5<<20), unix.ESTALE, 0, 2 * time.Second},
		"retry-after": {origin.Data, origin.Status(503, "3600"), unix.EIO, 0, 2 * time.Second},
	} {
		at := o
		if name == "retry-after" {
			at = busy
		}
		f := at.Add(name+".bin", 2<<20+77)
		path := w.add(d, f.URL())
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule := f.Misbehave(c.when, c.fault)
			began := time.Now()
			err := checkFile(f.Content(1), path)
			took := time.Since(began)
			require.ErrorIs(t, err, c.want)
			require.Positive(t, rule.Fired())
			require.GreaterOrEqual(t, took, c.atLeast)
			require.LessOrEqual(t, took, c.atMost)
			if c.atLeast > 20*time.Second {
				return // seen with shorter deadlines, in package origin
			}
			f.Heal()
			require.NoError(t, lab.Until(w.ctx, 30*time.Second, "right bytes", func() error { return checkFile(f.Content(1), path) }))
		})
	}
}

// An open file keeps what was read, and says ESTALE for the rest; a new open
// reads the new content, in this program and in others.
func TestOriginChangesUnderTheMount(t *testing.T) {
	w := newWorld(t, time.Minute)
	o := w.hostile()
	d := w.alone("h1")
	for name, ignore := range map[string]bool{"if-match": false, "no-if-match": true} {
		t.Run(name, func(t *testing.T) {
			f := o.Add(name+".bin", 24<<20)
			f.IgnoreConditions = ignore
			path := w.add(d, f.URL())
			file, err := os.Open(path)
			require.NoError(t, err)
			defer file.Close()
			head := make([]byte, 64<<10)
			_, err = io.ReadFull(file, head)
			require.NoError(t, err)
			require.NoError(t, f.Content(1).Check(head, 0))
			f.SetVersion(2)
			_, err = file.ReadAt(head, 20<<20)
			require.ErrorIs(t, err, unix.ESTALE)
			_, err = file.ReadAt(head, 0)
			require.NoError(t, err)
			require.NoError(t, f.Content(1).Check(head, 0))
			require.NoError(t, checkFile(f.Content(2), path), "a new open reads the new content")
			out, err := exec.Command("sha256sum", path).Output()
			require.NoError(t, err)
			require.Equal(t, f.Content(2).SHA256(), strings.Fields(string(out))[0])
		})
	}
}

// What was fetched with a credential is its owner's alone, and the credential
// is written nowhere.
func TestCredentialStaysHome(t *testing.T) {
	const marker = "mk5Wd8QeR2-secret-marker"
	w := newWorld(t, time.Minute)
	o := w.hostile()
	d := w.alone("h1")
	w.ok(os.Chmod(w.lab.Dir, 0o755))
	f := o.Add("private.bin", 3<<20)
	f.Misbehave(func(a origin.Asked) bool { return a.Header.Get("Authorization") != "Bearer "+marker }, origin.Status(401, ""))
	path := w.add(d, f.URL(), "-H", "Authorization: Bearer "+marker)
	open := w.add(d, f.URL())
	require.NotEqual(t, path, open, "another Task")

	info, err := os.Stat(path)
	w.ok(err)
	require.Equal(t, fs.FileMode(0o400), info.Mode())
	require.EqualValues(t, os.Getuid(), info.Sys().(*syscall.Stat_t).Uid)
	w.ok(checkFile(f.Content(1), path))
	_, err = os.Stat(open)
	require.ErrorIs(t, err, unix.EACCES, "without the credential")

	public := o.Add("public.bin", 4096)
	shared := w.add(d, public.URL())
	out, err := asNobody("cat", shared)
	require.NoError(t, err, out)
	w.ok(public.Content(1).CheckReader(strings.NewReader(out), 0, 4096))
	out, err = asNobody("cat", path)
	require.Error(t, err)
	require.Contains(t, out, "Permission denied")

	// Errors are logged and shown, without it.
	f.Misbehave(origin.Every, origin.Status(500, ""))
	gone := o.Add("gone.bin", 1)
	gone.Misbehave(origin.Every, origin.Status(500, ""))
	_, err = os.Stat(w.add(d, gone.URL(), "-H", "Authorization: Bearer "+marker))
	require.ErrorIs(t, err, unix.EIO)
	status, err := d.Status(w.ctx)
	w.ok(err)
	limits, err := os.ReadFile("/proc/" + strconv.Itoa(status.PID) + "/limits")
	w.ok(err)
	require.Regexp(t, `Max core file size +1 +1 `, string(limits), "no core is ever written")
	for _, args := range [][]string{{"status", "--json"}, {"ls", "--json"}, {"stat", path, "--json"}} {
		r, err := d.Dfmount(w.ctx, args...)
		w.ok(err)
		require.NotContains(t, r.Stdout+r.Stderr, marker)
	}
	w.ok(d.Terminate(15 * time.Second))
	w.nowhere(marker)
}

// asNobody runs a command as another user and returns what it printed.
func asNobody(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
