package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"

	"github.com/stretchr/testify/require"
)

// as runs one of our programs, or another, on d's host as that user.
func (w *world) as(uid int, d *lab.Daemon, argv ...string) lab.Result {
	w.Helper()
	if strings.HasPrefix(argv[0], "df") {
		argv[0] = filepath.Join(bin, argv[0])
	}
	id := strconv.Itoa(uid)
	r, err := d.Host.RunEnv(w.ctx, []string{"DAMSELFLY_SOCKET=" + d.Socket},
		append([]string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"}, argv...)...)
	w.ok(err)
	return r
}

// What one user fetched with a credential is read by that user, by those who
// name the credential themselves, and by root, who may read the daemon's memory
// anyway; by nobody else.
func TestPrivateFileOfAUser(t *testing.T) {
	const owner, other = 1234, 1235
	const marker = "mk8Fc4LpX7-secret-marker"
	w := newWorld(t, time.Minute)
	o := w.hostile()
	d := w.alone("h1")
	for _, dir := range []string{w.lab.Dir, d.Host.Dir, bin} {
		w.ok(os.Chmod(dir, 0o755))
	}
	guard := func(name string) *origin.File {
		f := o.Add(name, 1<<20)
		f.Misbehave(func(a origin.Asked) bool { return a.Header.Get("Authorization") != "Bearer "+marker }, origin.Status(401, ""))
		return f
	}
	home := func(uid int) string {
		dir := filepath.Join(d.Host.Dir, "home-"+strconv.Itoa(uid))
		w.ok(os.Mkdir(dir, 0o700))
		w.ok(os.Chown(dir, uid, uid))
		return dir
	}
	homes := map[int]string{owner: home(owner), other: home(other)}
	header := []string{"-H", "Authorization: Bearer " + marker}
	files := func() map[string]bool {
		names, err := os.ReadDir(d.Mount)
		w.ok(err)
		out := map[string]bool{}
		for _, n := range names {
			out[filepath.Join(d.Mount, n.Name())] = true
		}
		return out
	}
	// Each way of adding leads to a path in the mount.
	for name, add := range map[string]func(url string) string{
		"dfmount": func(url string) string {
			r := w.as(owner, d, append([]string{"dfmount", "add", url}, header...)...)
			w.ok(r.Err())
			return strings.TrimSpace(r.Stdout)
		},
		"dfget": func(url string) string {
			before := files()
			out := filepath.Join(homes[owner], "got")
			w.ok(w.as(owner, d, append([]string{"dfget", url, "-O", out}, header...)...).Err())
			for path := range files() {
				if !before[path] {
					return path
				}
			}
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := guard(name + ".bin")
			path := add(f.URL())
			require.NotEmpty(t, path)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o400), info.Mode())
			st := info.Sys().(*syscall.Stat_t)
			require.Equal(t, []uint32{owner, owner}, []uint32{st.Uid, st.Gid})

			mine := w.as(owner, d, "cat", path)
			require.NoError(t, mine.Err())
			require.NoError(t, f.Content(1).CheckReader(strings.NewReader(mine.Stdout), 0, 1<<20))
			require.NoError(t, checkFile(f.Content(1), path), "root")

			require.Contains(t, w.as(other, d, "cat", path).Stderr, "Permission denied")
			for _, argv := range [][]string{
				{"dfmount", "stat", path}, {"dfmount", "warm", path}, {"dfmount", "evict", path}, {"dfmount", "rm", path},
				{"dfget", f.URL(), "-O", filepath.Join(homes[other], "denied")},
			} {
				r := w.as(other, d, argv...)
				require.Equal(t, 3, r.Exit, "%v: %s", argv, r.Stderr)
			}
			listed := func(uid int) string { return w.as(uid, d, "dfmount", "ls", "--json").Stdout }
			require.Contains(t, listed(owner), filepath.Base(path))
			require.NotContains(t, listed(other), filepath.Base(path))
			// Who has the credential has the content, by naming it.
			out := filepath.Join(homes[other], name)
			require.NoError(t, w.as(other, d, append([]string{"dfget", f.URL(), "-O", out}, header...)...).Err())
			require.NoError(t, checkFile(f.Content(1), out))
			require.Contains(t, w.as(other, d, "cat", path).Stderr, "Permission denied", "the file stays its owner's")
			require.NoError(t, w.as(owner, d, "cat", path).Err())
		})
	}
	w.ok(d.Terminate(15 * time.Second))
	w.nowhere(marker)
}
