package host

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A record that was damaged never makes a mount where none was, and costs no
// more than what was hit.
func TestDamagedRecord(t *testing.T) {
	paths := []string{"/mnt/a", "/mnt/data set", "/mnt/df", "/srv/\"quoted\"", "/srv/\u00fcmlaut"}
	var list []mountLine
	for _, p := range paths {
		list = append(list, mountLine{Path: p, Options: []string{"umask=077", "source=x"}})
	}
	whole, err := encodeRecord(list)
	require.NoError(t, err)
	damages := map[string]func(*rand.Rand, []byte) []byte{
		"cut":    func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] },
		"empty":  func(*rand.Rand, []byte) []byte { return nil },
		"zeroes": func(_ *rand.Rand, b []byte) []byte { return make([]byte, len(b)) },
	}
	for i := range 20 {
		damages[fmt.Sprintf("flip %d", i)] = func(r *rand.Rand, b []byte) []byte {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			return b
		}
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			file := filepath.Join(t.TempDir(), "mounts")
			b := damage(rand.New(rand.NewPCG(seed, 0)), bytes.Clone(whole))
			require.NotEqual(t, whole, b, "nothing was damaged")
			require.NoError(t, os.WriteFile(file, b, 0o600))
			got, damaged, err := readRecord(file)
			require.NoError(t, err)
			for _, p := range got {
				require.Contains(t, list, p, "seed %d", seed)
			}
			if strings.HasPrefix(name, "flip") {
				require.Positive(t, damaged, "seed %d: unnoticed", seed)
				require.GreaterOrEqual(t, len(got), len(paths)-2, "seed %d", seed) // a newline parts two
			}
		})
	}
	got, damaged := parseRecord(whole)
	require.Zero(t, damaged)
	require.Equal(t, list, got)
	got, damaged = parseRecord([]byte("a479398c \"/mnt/df\"\n"))
	require.Zero(t, damaged, "as earlier daemons wrote it")
	require.Equal(t, []mountLine{{Path: "/mnt/df"}}, got)
}

// FuzzRecord: whatever stands in the record, the daemon starts and mounts
// nothing that is not an absolute path without detours.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"", "00000000 1\n", "zz \"/mnt/a\"", "\n\n", "[]"} {
		f.Add([]byte(s))
	}
	for _, paths := range [][]string{{"/mnt/a", "/mnt/b"}, {"a", "../b", "/x/../etc", "", "/a\x00b"}} {
		var list []mountLine
		for _, p := range paths {
			list = append(list, mountLine{Path: p, Options: paths[:1]})
		}
		b, err := encodeRecord(list)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(t.TempDir(), "mounts")
		require.NoError(t, os.WriteFile(file, b, 0o600))
		paths, _, err := readRecord(file)
		require.NoError(t, err)
		for _, p := range paths {
			require.True(t, filepath.IsAbs(p.Path) && filepath.Clean(p.Path) == p.Path, "%q", p)
			require.NotContains(t, p.Path, "\x00")
		}
	})
}
