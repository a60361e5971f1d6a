package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// stressed is what stress-ng says when it called fstat at least once.
var stressed = regexp.MustCompile(`metrc: .* fstat +[1-9]`)

// fio writes a file in which every block says what it holds; it is right when
// read through the mount, by each way in which fio reads, cold and warm. All the
// while stress-ng does to the mount what it can do to one that is read-only: its
// other file stressors write files of their own.
func TestFioVerifiesUnderStress(t *testing.T) {
	w := newWorld(t, 90*time.Second)
	d := w.alone("h1")
	const size = "24m"
	verify := []string{"fio", "--name=v", "--bs=16k", "--size=" + size, "--verify=crc32c", "--verify_fatal=1", "--randseed=" + "2026"}
	engines := []string{"psync", "pvsync", "mmap", "io_uring", "splice"}
	var paths []string
	for _, e := range engines {
		name := "fio-" + e + ".bin"
		file := filepath.Join(w.origin.Host.Dir, "files", name)
		w.run(d.Host, append(verify, "--rw=write", "--do_verify=0", "--filename="+file)...)
		w.ok(os.Chmod(file, 0o644))
		paths = append(paths, w.add(d, w.origin.URL("files", name)))
	}
	var g errgroup.Group
	g.Go(func() error {
		r, err := d.Host.Run(w.ctx, "stress-ng", "--fstat", "2", "--fstat-dir", d.Mount, "--sysinfo", "1", "--getdent", "1",
			"--timeout", "4s", "--temp-path", d.Host.Dir, "--metrics-brief", "--verify")
		if err == nil {
			err = r.Err()
		}
		if err == nil && !stressed.MatchString(r.Stdout+r.Stderr) {
			err = errors.New("stress-ng did nothing: " + r.Stdout + r.Stderr)
		}
		return err
	})
	before := w.fuseReads(d)
	for _, temperature := range []string{"cold", "warm"} {
		for i, e := range engines {
			r, err := d.Host.Run(w.ctx, append(verify, "--readonly", "--rw=read", "--ioengine="+e, "--filename="+paths[i])...)
			w.ok(err)
			require.Zero(t, r.Exit, "fio by %s, %s: %s%s", e, temperature, r.Stdout, r.Stderr)
			require.Contains(t, r.Stdout, "READ: ", "fio by %s read something", e)
		}
	}
	require.Greater(t, w.fuseReads(d), before, "it was not here before")
	w.ok(g.Wait())
	// It would have told a wrong byte.
	bad, err := os.ReadFile(paths[0])
	w.ok(err)
	bad[len(bad)/2] ^= 1
	spoilt := filepath.Join(d.Host.Dir, "spoilt")
	w.ok(os.WriteFile(spoilt, bad, 0o644))
	r, err := d.Host.Run(w.ctx, append(verify, "--readonly", "--rw=read", "--filename="+spoilt)...)
	w.ok(err)
	require.NotZero(t, r.Exit, "fio verifies")
}
