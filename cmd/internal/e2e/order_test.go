package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// dfmount runs dfmount and wants an exit code.
func (w *world) dfmount(d *lab.Daemon, exit int, args ...string) string {
	w.Helper()
	r, err := d.Dfmount(w.ctx, args...)
	w.ok(err)
	require.Equal(w, exit, r.Exit, "dfmount %s: %s%s", strings.Join(args, " "), r.Stdout, r.Stderr)
	return r.Stdout
}

// firsts returns the first offsets of d's access order of a Task, nil if none is
// known.
func (w *world) firsts(d *lab.Daemon, ref string, n int) (out []int64) {
	w.Helper()
	r, err := d.Dfmount(w.ctx, "order", "show", ref, "--json")
	w.ok(err)
	if r.Exit != 0 {
		return nil
	}
	var o control.Order
	w.ok(json.Unmarshal([]byte(r.Stdout), &o))
	for _, r := range o.Ranges[:min(n, len(o.Ranges))] {
		out = append(out, r.Off)
	}
	return out
}

// What one host's programs read, in their order, is what another host warms with
// --order: shown, exported, checked, imported by a host that nobody told, and
// known to a scheduler that was started anew.
func TestTheAccessOrderIsWarmedElsewhere(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	c := w.cluster(1, 2, 0)
	const ps = pieces.MinPieceSize
	f, url := w.serve("model.bin", 64*ps)
	h1, h2 := c.Hosts[0], c.Hosts[1]
	_, err := h1.Add(w.ctx, url, "--name", "model.bin")
	w.ok(err)

	file, err := os.Open(filepath.Join(h1.Mount, "by-name", "model.bin"))
	w.ok(err)
	defer file.Close()
	var want []int64
	buf := make([]byte, 16*kiB)
	for _, i := range []int64{40, 3, 57, 21} {
		_, err := file.ReadAt(buf, i*ps+32*kiB)
		w.ok(err)
		w.ok(f.Check(buf, i*ps+32*kiB))
		want = append(want, i*ps)
	}
	require.Equal(t, want, w.firsts(h1, "model.bin", 4))
	text := w.dfmount(h1, 0, "order", "export", url)
	require.True(t, strings.HasPrefix(text, "# damselfly access order 1\n"), text)

	// The other host knows the name from the manager alone, and the order from the
	// scheduler, which hears of touches within a second or so.
	require.Regexp(t, `(?m)^\S+ +- +- +remote .*model\.bin`, w.dfmount(h2, 0, "ls"))
	require.Contains(t, w.dfmount(h2, 1, "warm", "--check", "model.bin"), "0%")
	var order []int64
	w.ok(lab.Until(w.ctx, 20*time.Second, "the scheduler to know the order", func() error {
		probe := w.daemonOnce(c)
		order = w.firsts(probe, url, 4)
		w.ok(probe.Terminate(15 * time.Second))
		if len(order) < 4 {
			return os.ErrNotExist
		}
		return nil
	}))
	require.Equal(t, want, order)
	w.dfmount(h2, 0, "warm", "mod*", "--order")
	w.dfmount(h2, 0, "warm", "mod*", "--order", "--check")
	require.Contains(t, w.dfmount(h2, 0, "warm", "--check", "model.bin", "--range", "10485760-10485769"), "100%")
	require.NotContains(t, w.dfmount(h2, 1, "warm", "--check", url), "100%")
	info, err := h2.Stat(w.ctx, "model.bin")
	w.ok(err)
	require.LessOrEqual(t, info.CachedPieces, 4+1, "the order, and the piece of the facts at most")

	// A list, from a file; then everything, behind.
	list := filepath.Join(h2.Host.Dir, "list")
	w.ok(os.WriteFile(list, []byte("# what is needed\nmodel.bin\t0-262143\n"), 0o644))
	w.dfmount(h2, 0, "warm", "--from-file", list)
	w.dfmount(h2, 0, "warm", "--check", "--from-file", list)
	w.dfmount(h2, 0, "warm", "model.bin", "--wait=false")
	w.ok(lab.Until(w.ctx, 30*time.Second, "all of it to be here", func() error {
		r, err := h2.Dfmount(w.ctx, "warm", "--check", "model.bin")
		if err == nil && r.Exit != 0 {
			err = r.Err()
		}
		return err
	}))
	w.check(f, filepath.Join(h2.Mount, "by-name", "model.bin"))
	w.sentOnce(f)

	// A host of its own is told by a file.
	lone := w.alone("lone")
	saved := filepath.Join(lone.Host.Dir, "order")
	w.ok(os.WriteFile(saved, []byte(text), 0o644))
	w.dfmount(lone, 0, "order", "import", url, saved)
	w.dfmount(lone, 0, "warm", url, "--order")
	require.Equal(t, want, w.firsts(lone, url, 4))
	w.dfmount(lone, 0, "warm", url, "--order", "--check")
	info, err = lone.Stat(w.ctx, url)
	w.ok(err)
	require.LessOrEqual(t, info.CachedPieces, 4+1)

	// Nobody who knew the order runs any more, but the manager.
	w.ok(file.Close())
	for _, d := range append(c.Hosts, c.Seed) {
		w.ok(d.Terminate(15 * time.Second))
	}
	s := c.Schedulers[0]
	w.ok(s.Terminate(15 * time.Second))
	w.ok(s.Start(w.ctx))
	late := w.daemonOnce(c)
	w.ok(lab.Until(w.ctx, 30*time.Second, "the order to come back from the catalogue", func() error {
		order = w.firsts(late, url, 4)
		if len(order) < 4 {
			return os.ErrNotExist
		}
		return nil
	}))
	require.Equal(t, want, order)
}

// daemonOnce starts a daemon that has taken part in nothing.
func (w *world) daemonOnce(c *lab.Cluster) *lab.Daemon {
	w.Helper()
	w.probes++
	d := w.daemon("probe"+string(rune('a'+w.probes)), lab.DaemonOptions{Managers: []string{c.Manager.Addr}})
	return d
}
