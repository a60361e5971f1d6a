package deploy

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// root is a directory in which the package is installed: dpkg keeps its records
// there too, and the maintainer's scripts are told of it.
type root struct {
	t   *testing.T
	dir string
}

// run runs a program and returns what it printed.
func (r root) run(name string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DAMSELFLY_SOCKET="+r.path("run/d.sock"))
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "%s %s\n%s", name, args, out)
	return strings.TrimSpace(string(out))
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) dpkg(args ...string) {
	r.t.Helper()
	r.run("dpkg", append([]string{"--root=" + r.dir, "--force-script-chrootless", "--force-not-root", "--log=" + r.path("dpkg.log")}, args...)...)
}

func newRoot(t *testing.T) root {
	t.Helper()
	r := root{t, t.TempDir()}
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "run", "mnt"} {
		require.NoError(t, os.MkdirAll(r.path(d), 0o755))
	}
	require.NoError(t, os.WriteFile(r.path("var/lib/dpkg/status"), nil, 0o644))
	return r
}

// The package is built, installed, used as fstab uses it, without systemd,
// removed and purged; the machine's own files are not touched.
func TestPackage(t *testing.T) {
	bin := os.Getenv("DAMSELFLY_BIN")
	if os.Getenv("DAMSELFLY_E2E") == "" || bin == "" || os.Geteuid() != 0 {
		t.Skip("DAMSELFLY_E2E=1 and DAMSELFLY_BIN with the programs to pack, as root, run this")
	}
	r := newRoot(t)
	deb := r.run("../scripts/deb", bin, r.path("dist"))
	r.dpkg("--install", deb)
	for _, f := range []string{"usr/bin/dfmount", "lib/systemd/system/dfdaemon.service", "usr/share/man/man8/dfmount.8.gz",
		"usr/share/bash-completion/completions/dfmount", "etc/logrotate.d/damselfly", "etc/damselfly/dfmanager.yaml"} {
		require.FileExists(t, r.path(f))
	}
	r.useIt()

	r.dpkg("--remove", "damselfly")
	require.NoFileExists(t, r.path("usr/bin/dfmount"))
	require.NoFileExists(t, r.path("lib/systemd/system/dfdaemon.service"))
	require.FileExists(t, r.path("etc/damselfly/dfdaemon.yaml"), "configuration stays")
	require.DirExists(t, r.path("var/lib/damselfly"))
	r.dpkg("--purge", "damselfly")
	require.NoDirExists(t, r.path("etc/damselfly"))
	require.NoDirExists(t, r.path("var/lib/damselfly"))
}

// useIt mounts with the helper that mount(8) calls, reads and unmounts.
func (r root) useIt() {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.ServeContent(w, q, "f", time.Unix(1, 0), strings.NewReader("from the origin"))
	}))
	defer origin.Close()
	options := "rw,_netdev,x-systemd.automount,metrics=127.0.0.1:0,peer-port=0,upload-port=0,data-dir=" + r.path("var/lib/damselfly")
	r.run(r.path("usr/sbin/mount.fuse.dfmount"), "damselfly", r.path("mnt"), "-n", "-o", options)
	defer exec.Command("umount", "-l", r.path("mnt")).Run()
	file := r.run(r.path("usr/bin/dfmount"), "add", origin.URL+"/f", "--name", "f")
	require.Equal(r.t, r.path("mnt/by-name/f"), file)
	got, err := os.ReadFile(file)
	require.NoError(r.t, err)
	require.Equal(r.t, "from the origin", string(got))
	r.run(r.path("usr/bin/dfmount"), "umount", r.path("mnt"))
}

// The scripts do nothing, well, where there is no systemd at all.
func TestScriptsWithoutSystemd(t *testing.T) {
	for script, args := range map[string][]string{"postinst": {"configure", "1"}, "prerm": {"remove"}, "postrm": {"remove"}} {
		cmd := exec.Command("/bin/sh", append([]string{filepath.Join("deb", script)}, args...)...)
		cmd.Env = []string{"PATH=/nonexistent"}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", script, out)
		require.Empty(t, string(out))
	}
}
