package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"

	"github.com/stretchr/testify/require"
)

// demo is a place to run make demo's program in: a host of the lab, in a mount
// namespace of its own.
type demo struct {
	*world
	host *lab.Host
	// programs and tmp are readable by everybody.
	programs, tmp string
}

func newDemo(t *testing.T) *demo {
	w := newWorld(t, 2*time.Minute)
	d := &demo{world: w, host: w.host("h1")}
	d.programs, d.tmp = filepath.Join(d.host.Dir, "bin"), filepath.Join(d.host.Dir, "tmp")
	w.ok(os.Mkdir(d.tmp, 0o777))
	w.ok(os.Chmod(d.tmp, 0o1777))
	w.ok(os.Mkdir(d.programs, 0o755))
	found, err := filepath.Glob(filepath.Join(bin, "df*"))
	w.ok(err)
	w.run(d.host, append(append([]string{"cp"}, found...), d.programs)...)
	out, err := exec.CommandContext(w.ctx, "go", "build", "-o", filepath.Join(d.programs, "demo"), "damselfly/cmd/internal/demo").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return d
}

// play runs the demo after the shell commands prepare, in a private mount
// namespace, prefixed by the command as.
func (d *demo) play(prepare string, as ...string) string {
	d.Helper()
	argv := append(as, filepath.Join(d.programs, "demo"), "-bin", d.programs, "-size", "64")
	script := "set -e; " + prepare + `; exec "$@"`
	r, err := d.host.RunEnv(d.ctx, []string{"TMPDIR=" + d.tmp, "HOME=" + d.tmp},
		append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", script, "demo"}, argv...)...)
	d.ok(err)
	d.ok(r.Err())
	d.Logf("%s", r.Stdout)
	require.Equal(d, 4, strings.Count(r.Stdout, " ok\n"), "four reads with the right SHA-256")
	require.Regexp(d, `1\.0[01] × the file`, r.Stdout, "origin bytes")
	left, err := os.ReadDir(d.tmp)
	d.ok(err)
	require.Empty(d, left, "it cleaned up")
	return r.Stdout
}

// userDevice puts a /dev/fuse that everybody may open in place of the real one.
const userDevice = `mknod "$TMPDIR/../fuse" c 10 229; chmod 666 "$TMPDIR/../fuse"; mount --bind "$TMPDIR/../fuse" /dev/fuse`

// noDevice hides it.
const noDevice = `: >"$TMPDIR/../fuse"; mount --bind "$TMPDIR/../fuse" /dev/fuse`

func TestDemoAsRoot(t *testing.T) {
	out := newDemo(t).play(":")
	require.NotContains(t, out, "No mounts")
}

func TestDemoAsOrdinaryUser(t *testing.T) {
	out := newDemo(t).play(userDevice, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
	require.NotContains(t, out, "No mounts")
}

func TestDemoWithoutFUSE(t *testing.T) {
	out := newDemo(t).play(noDevice, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
	require.Contains(t, out, "No mounts here")
	require.Contains(t, out, "dfget")
}

// KEEP=1 leaves a demo that works; STOP=1 ends it.
func TestDemoKept(t *testing.T) {
	d := newDemo(t)
	program := []string{filepath.Join(d.programs, "demo"), "-bin", d.programs, "-size", "16"}
	env := []string{"TMPDIR=" + d.tmp, "HOME=" + d.tmp}
	r, err := d.host.RunEnv(d.ctx, append(env, "KEEP=1"), program...)
	d.ok(err)
	d.ok(r.Err())
	socket := strings.TrimSpace(strings.SplitN(strings.SplitN(r.Stdout, "DAMSELFLY_SOCKET=", 2)[1], "\n", 2)[0])
	r, err = d.host.RunEnv(d.ctx, []string{"DAMSELFLY_SOCKET=" + socket}, filepath.Join(d.programs, "dfmount"), "ls")
	d.ok(err)
	d.ok(r.Err())
	require.Contains(t, r.Stdout, "demo")

	r, err = d.host.RunEnv(d.ctx, append(env, "STOP=1"), program...)
	d.ok(err)
	d.ok(r.Err())
	left, err := os.ReadDir(d.tmp)
	d.ok(err)
	require.Empty(t, left)
	require.NoFileExists(t, socket)
}
