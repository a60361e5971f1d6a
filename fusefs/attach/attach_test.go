package attach

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/pieces/missing"
)

func TestParseMounts(t *testing.T) {
	ms, err := parseMounts(strings.NewReader(`22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
37 22 0:33 / /mnt/with\040space\134 ro,nosuid shared:5 master:1 - fuse.dfmount my\040label ro,user_id=0
garbage
38 22 0:34 / /mnt/x rw -
39 22 0:35 / /mnt/x\9 rw - tmpfs tmpfs rw
`))
	require.NoError(t, err)
	require.Equal(t, []Mount{
		{Dev: "254:0", Dir: "/", FSType: "ext4", Source: "/dev/vda"},
		{Dev: "0:33", Dir: `/mnt/with space\`, FSType: "fuse.dfmount", Source: "my label"},
		{Dev: "0:35", Dir: `/mnt/x\9`, FSType: "tmpfs", Source: "tmpfs"},
	}, ms)
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\040b\`)
	f.Fuzz(func(t *testing.T, s string) {
		if len(unescape(s)) > len(s) {
			t.Fatal("grew")
		}
	})
}

func TestTop(t *testing.T) {
	m, ok, err := Top("/proc")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "proc", m.FSType)
	_, ok, err = Top(t.TempDir())
	require.NoError(t, err)
	require.False(t, ok)
}

func TestResolve(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(dir+"/real", 0o755))
	require.NoError(t, os.Symlink("real", dir+"/link"))
	require.NoError(t, os.Symlink(dir+"/link", dir+"/twice"))
	require.NoError(t, os.Symlink("loop", dir+"/loop"))
	t.Chdir(dir)
	for in, want := range map[string]string{
		dir + "/real": dir + "/real", dir + "/link": dir + "/real", dir + "/twice/": dir + "/real",
		"link": dir + "/real", ".": dir, "./none": dir + "/none", "/": "/",
	} {
		got, err := Resolve(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for in, kind := range map[string]pieces.Kind{"": pieces.Invalid, "loop": pieces.Invalid, "none/dir": pieces.NotFound} {
		_, err := Resolve(in)
		require.Equal(t, kind, pieces.KindOf(err), "%q: %v", in, err)
	}
}

func TestNothingToClean(t *testing.T) {
	require.NoError(t, CleanStale(t.TempDir()))
	require.NoError(t, CleanStale(t.TempDir()+"/none"))
}

// What fusermount3 has to say reaches the person.
func TestHelperSaysWhy(t *testing.T) {
	if _, err := helperBinary(); err != nil {
		missing.Skip(t, err)
	}
	err := helperUnmount(context.Background(), t.TempDir(), false)
	require.Error(t, err)
	require.Contains(t, err.Error(), "fusermount3")
}

func TestEscape(t *testing.T) { require.Equal(t, `a\,b\\c`, escape(`a,b\c`)) }
