package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
)

// system builds a fake one with a mount on /m whose readahead is kib.
func system(t *testing.T, uid int, kib string) System {
	t.Helper()
	root := t.TempDir()
	for path, text := range map[string]string{
		"dev/fuse":                         "",
		"proc/self/mountinfo":              "20 1 8:1 / / rw - ext4 x rw\n30 20 0:40 / /m\\040x rw - fuse.damselfly d rw\n31 20 0:41 / /m rw - fuse.damselfly d rw\n",
		"sys/class/bdi/0:41/read_ahead_kb": kib + "\n",
	} {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return System{Root: root, UID: uid, Kernel: "6.9.1", Helper: func() (string, error) { return "", errors.New("none") }}
}

func find(t *testing.T, checks []control.Check, name string) control.Check {
	t.Helper()
	for _, c := range checks {
		if c.Name == name {
			require.Equal(t, c.OK, c.Fix == "", "a fix exactly when something is wrong: %+v", c)
			return c
		}
	}
	t.Fatalf("no check %q", name)
	return control.Check{}
}

func TestHostChecks(t *testing.T) {
	on := []control.MountInfo{{Path: "/m", Passthrough: true}}
	off := []control.MountInfo{{Path: "/m", PassthroughReason: "stacked"}}
	for _, c := range []struct {
		name   string
		uid    int
		change func(*System)
		mounts []control.MountInfo
		check  string
		ok     bool
		detail string
	}{
		{"device", 0, nil, on, "FUSE device", true, "can be opened"},
		{"no device", 0, func(s *System) { os.Remove(filepath.Join(s.Root, "dev/fuse")) }, on, "FUSE device", false, "is missing"},
		{"root needs no helper", 0, nil, on, "mount helper", true, "not needed"},
		{"users do", 7, nil, on, "mount helper", false, "not in PATH"},
		{"helper without set-uid", 7, func(s *System) { s.Helper = func() (string, error) { return filepath.Join(s.Root, "dev/fuse"), nil } }, on, "mount helper", false, "not set-uid"},
		{"passthrough", 0, nil, on, "passthrough", true, "native speed"},
		{"stacked", 0, nil, off, "passthrough", false, "off for /m: stacked"},
		{"old kernel", 0, func(s *System) { s.Kernel = "6.8.0-x" }, on, "passthrough", false, "older than 6.9"},
		{"new kernel", 0, func(s *System) { s.Kernel = "10.0" }, nil, "passthrough", true, "possible with Linux 10.0"},
		{"user", 7, nil, off, "passthrough", true, "only root"},
		{"read ahead", 0, nil, on, "read_ahead", true, "1024 KiB"},
		{"low", 0, func(s *System) {
			os.WriteFile(filepath.Join(s.Root, "sys/class/bdi/0:41/read_ahead_kb"), []byte("128\n"), 0o600)
		}, on, "read_ahead", false, "128 KiB"},
		{"mounted elsewhere", 0, nil, []control.MountInfo{{Path: "/other"}}, "read_ahead", false, "not mounted"},
		{"cache", 0, nil, nil, "cache file system", true, " is on "},
		{"space", 0, nil, nil, "free space", true, "left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := system(t, c.uid, "1024")
			if c.change != nil {
				c.change(&s)
			}
			got := find(t, s.Host(filepath.Join(s.Root, "no", "such", "dir"), c.mounts), c.check)
			require.Equal(t, c.ok, got.OK, "%+v", got)
			require.Contains(t, got.Detail, c.detail)
		})
	}
}

func TestThisMachine(t *testing.T) {
	for _, c := range Machine().Host(t.TempDir(), nil) {
		require.NotEmpty(t, c.Name)
		require.NotEmpty(t, c.Detail)
		require.Equal(t, c.OK, c.Fix == "", "%+v", c)
	}
}

func TestClusterChecks(t *testing.T) {
	ok := func(st control.Status) (all []bool) {
		for _, c := range Cluster(st) {
			require.Equal(t, c.OK, c.Fix == "", "%+v", c)
			all = append(all, c.OK)
		}
		return all
	}
	require.Equal(t, []bool{true, true}, ok(control.Status{}))
	require.Equal(t, []bool{true, false}, ok(control.Status{Managers: []string{"m:1"}, ManagerOK: true}))
	require.Equal(t, []bool{false, true, false}, ok(control.Status{Managers: []string{"m:1"},
		Schedulers: []control.SchedulerState{{Address: "a:1", Connected: true}, {Address: "b:1"}}}))
}

func TestKernelAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"6.9.0": true, "6.18.44-fc": true, "7.0": true, "6.8.9": false, "5.15": false, "": false, "x": false} {
		require.Equal(t, want, kernelAtLeast(release, 6, 9), release)
	}
}
