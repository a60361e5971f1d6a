package controltest

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon/control"
	"damselfly/pieces"
)

// Mounts is a control.Mounts that only remembers.
type Mounts struct {
	mu   sync.Mutex
	list []control.MountInfo // guarded by mu
}

// Mount implements control.Mounts, as do the methods below.
func (m *Mounts) Mount(_ context.Context, path string, _ []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.list, func(i control.MountInfo) bool { return i.Path == path }) {
		return pieces.Errorf(pieces.Exists, "%s is mounted already", path)
	}
	m.list = append(m.list, control.MountInfo{Path: path, PassthroughReason: "fake", Reads: 3})
	return nil
}

// Unmount says that the daemon stops after the last one.
func (m *Mounts) Unmount(_ context.Context, path string, _ bool) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.list)
	m.list = slices.DeleteFunc(m.list, func(i control.MountInfo) bool { return i.Path == path })
	if len(m.list) == n {
		return false, pieces.Errorf(pieces.NotFound, "%s is no mount of this daemon", path)
	}
	return len(m.list) == 0, nil
}

// List implements control.Mounts.
func (m *Mounts) List() []control.MountInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// Serve serves engine on a real socket until the test ends and returns the
// socket's path and the mounts.
func Serve(t *testing.T, engine *Engine, change func(*control.Options)) (string, *Mounts) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "d.sock")
	lis, err := control.Listen(socket, false)
	require.NoError(t, err)
	mounts := &Mounts{}
	o := control.Options{Engine: engine, Mounts: mounts, Version: "test", ProgressEvery: 5 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(o).Serve(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, lis.Close())
	})
	return socket, mounts
}
