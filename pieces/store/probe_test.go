package store

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"damselfly/pieces"

	"github.com/stretchr/testify/require"
)

// What becomes of a store whose probe ends so.
func TestEndsOfAProbe(t *testing.T) {
	for name, c := range map[string]struct {
		probe    func(context.Context, string) error
		aside    bool
		uncached bool
	}{
		"fine":                   {probe: probeSelf},
		"dies":                   {probe: ProbeBy("/bin/sh", "-c", "kill -9 $$"), aside: true},
		"dies of its own signal": {probe: ProbeBy("/bin/sh", "-c", "kill -BUS $$"), aside: true},
		"errs":                   {probe: ProbeBy("/bin/sh", "-c", "echo bad table >&2; exit 4"), aside: true},
		"hangs":                  {probe: ProbeBy("/bin/sh", "-c", "sleep 60"), aside: true},
		"has no space":           {probe: ProbeBy("/bin/sh", "-c", "exit 5"), uncached: true},
		"can't start":            {probe: ProbeBy("/nonexistent/program"), uncached: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := filepath.Join(t.TempDir(), "store")
			w.make(t, dir)
			require.NoError(t, os.Remove(filepath.Join(dir, "run")))
			probed := false
			timeout := 500 * time.Millisecond
			if name == "fine" {
				timeout = 0
			}
			begun := time.Now()
			s := openStore(t, Options{Dir: dir, ProbeTimeout: timeout, Probe: func(ctx context.Context, dir string) error {
				probed = true
				return c.probe(ctx, dir)
			}})
			require.True(t, probed)
			require.Less(t, time.Since(begun), 10*time.Second)
			require.Equal(t, !c.aside && !c.uncached, len(s.Versions()) > 0)
			require.Equal(t, c.uncached, s.Usage().Uncached != nil)
			_, err := os.Stat(filepath.Join(dir, "aside"))
			require.Equal(t, c.aside, err == nil)
			if c.uncached {
				require.NoError(t, s.Close())
				s = openStore(t, Options{Dir: dir})
				require.NotEmpty(t, s.Versions(), "nothing was lost")
			}
		})
	}
}

func TestWhenIsProbed(t *testing.T) {
	for name, c := range map[string]struct {
		before func(t *testing.T, dir string)
		boot   string
		probed bool
	}{
		"clean stop in this boot":    {boot: "one"},
		"clean stop in another boot": {boot: "two", probed: true},
		"database was touched": {boot: "one", probed: true, before: func(t *testing.T, dir string) {
			require.NoError(t, os.Chtimes(filepath.Join(dir, "db", "MANIFEST"), time.Now(), time.Now()))
		}},
		"mark is damaged": {boot: "one", probed: true, before: func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "run"), []byte("{"), 0o600))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, Options{Dir: dir, BootID: "one"})
			require.NoError(t, s.Close())
			if c.before != nil {
				c.before(t, dir)
			}
			probed := false
			openStore(t, Options{Dir: dir, BootID: c.boot, Probe: func(context.Context, string) error {
				probed = true
				return nil
			}})
			require.Equal(t, c.probed, probed)
		})
	}
}

func TestOpenGivesUpWithItsContext(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	w.make(t, dir)
	require.NoError(t, os.Remove(filepath.Join(dir, "run")))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Open(ctx, Options{Dir: dir, Probe: func(ctx context.Context, _ string) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}})
	require.Equal(t, pieces.Canceled, pieces.KindOf(err))
	s := openStore(t, Options{Dir: dir})
	require.NotEmpty(t, s.Versions())
}
