package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a user gets wrong is answered by one line that names the fix, and exit
// code 2.
func TestUsageErrors(t *testing.T) {
	w := newWorld(t, time.Minute)
	// So that no command starts a daemon of its own.
	d := w.alone("h1")
	h := d.Host
	unknown := filepath.Join(h.Dir, "unknown.yaml")
	w.ok(os.WriteFile(unknown, []byte("no-such-key: 1\n"), 0o644))
	wrong := filepath.Join(h.Dir, "wrong.yaml")
	w.ok(os.WriteFile(wrong, []byte("[1, 2]\n"), 0o644))
	size := filepath.Join(h.Dir, "size.yaml")
	w.ok(os.WriteFile(size, []byte("cache-size: many\n"), 0o644))
	url := w.origin.URL("files", "x")
	out := filepath.Join(h.Dir, "out")

	type usage struct {
		argv []string
		// want are words of the line.
		want []string
	}
	cases := []usage{
		{[]string{"dfdaemon", "--no-such-flag"}, []string{"--no-such-flag", "--help"}},
		{[]string{"dfdaemon", "--cache-size", "many"}, []string{"--cache-size", "many", "50GiB"}},
		{[]string{"dfdaemon", "--peer-port", "65536"}, []string{"65536", "65535"}},
		{[]string{"dfdaemon", "--manager", "http://x:65003"}, []string{"--manager", "HOST:PORT"}},
		{[]string{"dfdaemon", "--advertise-ip", "here"}, []string{"--advertise-ip", "here"}},
		{[]string{"dfdaemon", "surplus"}, []string{"surplus"}},
		{[]string{"dfdaemon", "--config", filepath.Join(h.Dir, "none.yaml")}, []string{"none.yaml", "no such file"}},
		{[]string{"dfdaemon", "--config", size}, []string{"size.yaml:1", "cache-size", "many"}},
		{[]string{"dfmanager", "--database", "oracle:x"}, []string{"oracle", "sqlite"}},
		{[]string{"dfmanager", "--grpc", "65003"}, []string{"65003", "HOST:PORT"}},
		{[]string{"dfscheduler", "--listen", "x:y"}, []string{"x:y", "HOST:PORT"}},
		{[]string{"dfscheduler", "--policy", "best"}, []string{"best", "swarm", "classic"}},
		{[]string{"dfmount"}, []string{"MOUNTPOINT"}},
		{[]string{"dfmount", "no-such-command", "a", "b"}, []string{"--help"}},
		{[]string{"dfmount", "add"}, []string{"URL"}},
		{[]string{"dfmount", "add", "ftp://h/x"}, []string{"ftp://h/x", "http"}},
		{[]string{"dfmount", "add", "http:///x"}, []string{"host"}},
		{[]string{"dfmount", "add", url, "-H", "nonsense"}, []string{"-H", "Name: value"}},
		{[]string{"dfmount", "add", url, "--name", "a/b"}, []string{"a/b"}},
		{[]string{"dfmount", "add", url, "--digest", "md5:00"}, []string{"md5:00", "sha256"}},
		{[]string{"dfget"}, []string{"URL"}},
		{[]string{"dfget", "not a url", "-O", out}, []string{"not a url", "http"}},
		{[]string{"dfget", url, "-O", out, "--digest", "sha256:abc"}, []string{"sha256", "64"}},
		{[]string{"dfget", url, "-O", out, "--range", "5-2"}, []string{"5-2"}},
		{[]string{"dfget", url, "-O", out, "--range", "0-9", "--digest", "sha256:" + strings.Repeat("0", 64)}, []string{"--digest", "--range"}},
	}
	for _, program := range []string{"dfdaemon", "dfmanager", "dfscheduler", "dfmount", "dfget"} {
		tail := map[string][]string{"dfmount": {"status"}, "dfget": {url, "-O", out}}[program]
		cases = append(cases,
			usage{append([]string{program, "--config", unknown}, tail...), []string{"unknown.yaml:1", "no-such-key"}},
			usage{append([]string{program, "--config", wrong}, tail...), []string{"wrong.yaml:1"}})
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(strings.Join(c.argv, " "), h.Dir, "DIR"), func(t *testing.T) {
			r, err := h.RunEnv(w.ctx, []string{"DAMSELFLY_SOCKET=" + d.Socket}, append([]string{filepath.Join(bin, c.argv[0])}, c.argv[1:]...)...)
			require.NoError(t, err)
			require.Equal(t, 2, r.Exit, "%s%s", r.Stdout, r.Stderr)
			require.Empty(t, r.Stdout)
			line := strings.TrimSuffix(r.Stderr, "\n")
			require.NotContains(t, line, "\n", "one line")
			require.True(t, strings.HasPrefix(line, c.argv[0]), "it begins with the program: %s", line)
			for _, word := range c.want {
				require.Contains(t, line, word)
			}
			require.Less(t, r.Took, 5*time.Second)
		})
	}
	require.NoFileExists(t, out)
}
