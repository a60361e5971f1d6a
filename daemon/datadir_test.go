package daemon

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/pieces"
	"damselfly/pieces/store"
)

// readsRight reads a file of the site through a daemon on dir.
func readsRight(t *testing.T, dir string, s *site, change func(*Options)) {
	t.Helper()
	h := start(t, dir, change)
	defer h.stop()
	data := *s.data.Load()
	f := h.open(t, h.add(t, s.URL+"/file", pieces.Options{}))
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")
	require.NoError(t, f.Close())
}

// The daemon's own files of state, damaged in every way: it starts and reads.
func TestDamagedStateOfTheDaemon(t *testing.T) {
	s := newSite(t, content(3, 700_000))
	seeds := 20
	if testing.Short() {
		seeds = 2
	}
	write := func(b []byte) func(*rand.Rand, string) error {
		return func(_ *rand.Rand, p string) error { return os.WriteFile(p, b, 0o600) }
	}
	damages := map[string]func(*rand.Rand, string) error{
		"empty": write(nil), "zeros": write(make([]byte, 65)), "another format": write([]byte(`{"version": 99}`)),
		"another cluster": write([]byte(`{"schedulers": ["127.0.0.1:1"], "cluster": "other", "config_version": 7}`)),
		"deleted":         func(_ *rand.Rand, p string) error { return os.Remove(p) },
		"a directory": func(_ *rand.Rand, p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o700)
		},
	}
	for i := range seeds {
		damages[fmt.Sprint("flipped ", i)] = func(r *rand.Rand, p string) error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			return os.WriteFile(p, b, 0o600)
		}
	}
	dir := t.TempDir()
	readsRight(t, dir, s, nil)
	const state = `{"schedulers": ["127.0.0.1:2"]}`
	for _, file := range []string{"host-id", "secret", "cluster.json"} {
		for name, damage := range damages {
			t.Run(file+"/"+name, func(t *testing.T) {
				path := filepath.Join(dir, file)
				if file == "cluster.json" {
					require.NoError(t, os.WriteFile(path, []byte(state), 0o600))
				}
				before, err := os.ReadFile(path)
				require.NoError(t, err)
				require.NoError(t, damage(rand.New(rand.NewPCG(1, rand.Uint64())), path))
				after, _ := os.ReadFile(path)
				require.NotEqual(t, before, after, "nothing was damaged")
				readsRight(t, dir, s, nil)
				require.NoError(t, os.RemoveAll(path))
				if file != "cluster.json" {
					require.NoError(t, os.WriteFile(path, before, 0o600))
				}
			})
		}
	}
}

// On a disk that takes nothing the daemon serves all the same.
func TestDaemonOnADiskThatTakesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	s := newSite(t, content(4, 3<<20))
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"read-only": func(t *testing.T, dir string) {
			require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		},
		"full": func(t *testing.T, dir string) {
			f, err := os.Create(filepath.Join(dir, "foreign"))
			require.NoError(t, err)
			defer f.Close()
			for err == nil {
				_, err = f.Write(make([]byte, 64<<10))
			}
			require.ErrorIs(t, err, unix.ENOSPC)
		},
	} {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/used before=%v", name, used), func(t *testing.T) {
				dir := t.TempDir()
				require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m,mode=0700"))
				t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
				if used {
					readsRight(t, dir, s, nil)
				}
				spoil(t, dir)
				readsRight(t, dir, s, nil)
				readsRight(t, dir, s, nil)
			})
		}
	}
}

// A disk that could be read only when the daemon started, and then takes writes
// again: the daemon caches, knows what it held, and keeps what was added
// meanwhile, without being started again.
func TestDaemonRegainsItsCache(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	s := newSite(t, content(6, 3<<20))
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=0700"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	readsRight(t, dir, s, nil)
	data := *s.data.Load()

	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	h := start(t, dir, func(o *Options) { o.Store.Reopen = 10 * time.Millisecond })
	require.ErrorIs(t, h.store.Usage().Uncached, unix.EROFS)
	id, err := h.Control().Resolve(t.Context(), string(h.add(t, s.URL+"/file", pieces.Options{})))
	require.NoError(t, err)
	added := h.add(t, s.URL+"/added", pieces.Options{})
	f := h.open(t, added)
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")

	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, ""))
	require.Eventually(t, func() bool { return h.store.Usage().Uncached == nil }, 30*time.Second, time.Millisecond)
	require.NotEmpty(t, h.store.Versions(), "what was held")
	require.DirExists(t, filepath.Join(dir, spoolDir))
	f = h.open(t, id)
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")
	later := h.open(t, h.add(t, s.URL+"/later", pieces.Options{}))
	require.True(t, bytes.Equal(data, readAll(t, later, len(data))), "wrong bytes")
	require.Eventually(t, func() bool { return h.store.Usage().Used >= 2*int64(len(data)) }, 10*time.Second, time.Millisecond)
	require.NoError(t, f.Close())
	require.NoError(t, later.Close())
	h.stop()

	h = start(t, dir, nil)
	_, err = h.store.Entry(added)
	require.NoError(t, err, "what was added meanwhile")
	require.Len(t, h.store.Versions(), 2)
}

// The disk fills up under a daemon: a task that was not known before is still
// added and read.
func TestDiskFillsUpUnderTheDaemon(t *testing.T) {
	disk := &fullDisk{Disk: store.OSDisk()}
	s := newSite(t, content(5, 3<<20))
	h := start(t, t.TempDir(), func(o *Options) { o.Store.Disk = disk })
	require.True(t, h.store.Usage().Caching)
	disk.full.Store(true)
	data := *s.data.Load()
	f := h.open(t, h.add(t, s.URL+"/new", pieces.Options{}))
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")
	require.Eventually(t, func() bool { return !h.store.Usage().Caching }, 5*time.Second, time.Millisecond)
	require.Zero(t, h.store.Usage().Used)
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")

	disk.full.Store(false)
	require.Eventually(t, func() bool { return h.store.Usage().Caching }, 30*time.Second, 10*time.Millisecond)
	f = h.open(t, h.add(t, s.URL+"/newer", pieces.Options{}))
	require.True(t, bytes.Equal(data, readAll(t, f, len(data))), "wrong bytes")
	require.Eventually(t, func() bool { return h.store.Usage().Used > 0 }, 5*time.Second, time.Millisecond)
}

// fullDisk has no free space while full is set.
type fullDisk struct {
	store.Disk
	full atomic.Bool
}

func (d *fullDisk) Free(dir string) (free, total int64, err error) {
	free, total, err = d.Disk.Free(dir)
	if d.full.Load() {
		free = 0
	}
	return free, total, err
}
