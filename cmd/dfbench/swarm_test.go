package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
)

// runBench runs dfbench swarm as main would.
func runBench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = boot.Execute(t.Context(), newCommand(), append([]string{"swarm"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestSwarmPrintsTheSameTableAgain(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--hosts", "2,4", "--pieces", "32", "--cold", "--policy", "classic", "--out", dir, "--cpu-profile", filepath.Join(dir, "cpu")}
	code, first, stderr := runBench(t, args...)
	require.Equal(t, boot.ExitOK, code, stderr)
	require.Contains(t, first, "8 MiB in 32 pieces of 256 KiB, seed cold")
	for _, s := range []string{"swarm, 2 hosts", "classic, 2 hosts", "swarm, 4 hosts", "classic, 4 hosts"} {
		require.Contains(t, first, s)
	}
	_, again, _ := runBench(t, args[:len(args)-2]...)
	require.Equal(t, first, again)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2*(4+1)+1, "per host count a plot, and for each policy a curve and the hosts")
}

func TestSwarmRefusesNonsense(t *testing.T) {
	for want, args := range map[string][]string{
		"want swarm or classic": {"--policy", "best"},
		"0 hosts":               {"--hosts", "0"},
		"size 10":               {"--size", "10"},
		"shares lie":            {"--kill", "1"},
	} {
		code, _, stderr := runBench(t, args...)
		require.Equal(t, boot.ExitUsage, code)
		require.Contains(t, stderr, want)
	}
}
