package boot

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGroupMemory(t *testing.T) {
	for name, c := range map[string]struct {
		self  string
		files map[string]string
		want  int64
	}{
		"version 2, own group":  {"0::/a/b\n", map[string]string{"a/b/memory.max": "1000", "a/memory.max": "max"}, 1000},
		"version 2, outer":      {"0::/a/b\n", map[string]string{"a/b/memory.max": "max", "a/memory.max": "500"}, 500},
		"version 2, in hybrid":  {"0::/a\n", map[string]string{"unified/a/memory.max": "7"}, 7},
		"version 1":             {"5:cpu,cpuacct:/x\n4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "900\n"}, 900},
		"version 1, no limit":   {"4:memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"a container's mount":   {"4:memory:/docker/1\n", map[string]string{"memory/memory.limit_in_bytes": "800\n"}, 800},
		"nothing":               {"", nil, 0},
		"damaged":               {"x\n0::\n4:memory\n", map[string]string{"memory.max": "-x"}, 0},
		"another's limit":       {"4:memory:/a\n", map[string]string{"memory/b/memory.limit_in_bytes": "1"}, 0},
		"both: the tighter one": {"4:memory:/a\n0::/\n", map[string]string{"memory/a/memory.limit_in_bytes": "9", "memory.max": "8"}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			write := func(file, text string) {
				file = filepath.Join(root, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			}
			write("proc/self/cgroup", c.self)
			for file, text := range c.files {
				write("sys/fs/cgroup/"+file, text)
			}
			require.Equal(t, c.want, groupMemory(root))
		})
	}
	require.Zero(t, groupMemory(t.TempDir()))
	require.Positive(t, AvailableMemory())
}

func TestPlanMemory(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		available, asked, buffers, limit int64
		scarce                           bool
	}{
		{0, 0, 128 * mib, 768 * mib, false},
		{64 << 30, 0, 128 * mib, 768 * mib, false},
		{64 << 30, 1 << 30, 1 << 30, 2560 * mib, false},
		{256 * mib, 0, 64 * mib, 192 * mib, true},
		{64 * mib, 0, 32 * mib, 48 * mib, true},
		{256 * mib, 16 * mib, 16 * mib, 192 * mib, true},
	} {
		m := PlanMemory(c.available, c.asked)
		require.Equal(t, Memory{Available: c.available, Buffers: c.buffers, Limit: c.limit}, m)
		require.Equal(t, c.scarce, m.Scarce())
	}
}

func TestTheCollectorIsPacedUnlessTheEnvironmentDoesIt(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	m := PlanMemory(0, 0)
	t.Setenv("GOGC", "100")
	t.Setenv("GOMEMLIMIT", "1GiB")
	before := debug.SetMemoryLimit(-1)
	m.Apply()
	require.Equal(t, 100, debug.SetGCPercent(100))
	require.Equal(t, before, debug.SetMemoryLimit(-1))
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	m.Apply()
	require.Equal(t, gcPercent, debug.SetGCPercent(100))
	require.Equal(t, m.Limit, debug.SetMemoryLimit(-1))
}
