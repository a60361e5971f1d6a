package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/lab"
	"damselfly/fusefs"
	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What a host does can be seen while it does it: status, xattrs and the access
// log tell where the bytes of a cold read came from, on the first host and on
// the second, and dfmount profile sums it up.
func TestReadsAreSeen(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	c := w.cluster(1, 2, 0)
	f, url := w.serve("seen.bin", 6*miB+3)
	path := w.add(c.Hosts[0], url)
	for _, h := range c.Hosts {
		log := w.accessLog(h)
		at := h.Path(path)
		w.check(f, at)
		var list []fusefs.Access
		w.ok(lab.Until(w.ctx, 10*time.Second, "the end of the reads in the access log", func() error {
			list = append(list, log()...)
			for _, a := range list {
				if a.Op == "release" && string(a.Task) == filepath.Base(path) {
					return nil
				}
			}
			return os.ErrNotExist
		}))
		var hits pieces.HitBytes
		for _, a := range list {
			if a.Op == "read" {
				require.Zero(t, a.Errno)
				hits[a.Hit] += a.Size
			}
		}
		require.GreaterOrEqual(t, hits.Total(), f.Size)
		require.Positive(t, hits[pieces.HitPeer]+hits[pieces.HitSeed]+hits[pieces.HitOrigin], "%s: %v", h.Host.Name, hits)

		st, err := h.Status(w.ctx)
		w.ok(err)
		// Once, but for pages that the kernel dropped before they were used.
		require.GreaterOrEqual(t, st.Reads.Bytes.Total(), f.Size)
		bound(w, "bytes that READs got", st.Reads.Bytes.Total(), f.Size*11/10)
		require.Positive(t, st.Reads.Stalls)
		require.Len(t, st.Files, 1)
		require.Equal(t, url, st.Files[0].URL)
		require.Equal(t, st.Reads.Bytes, st.Files[0].Reads.Bytes)
		m, err := h.Host.Metrics(w.ctx)
		w.ok(err)
		for h, n := range st.Reads.Bytes {
			if hit := pieces.Hit(h); hit != pieces.HitNone {
				require.InDelta(t, float64(n), m[fmt.Sprintf("damselfly_daemon_read_bytes_total{hit=%q}", hit)], 0, hit)
			}
		}
		require.InDelta(t, float64(f.Size)/float64(st.Reads.Bytes.Total()), m["damselfly_daemon_read_amplification"], 0.01)
		require.Contains(t, xattr(t, at, "reads"), "stalls=")
		t.Logf("%s: %s", h.Host.Name, xattr(t, at, "reads"))
	}
	w.sentOnce(f)
}

// dfmount profile sums up what programs do while it listens.
func TestProfile(t *testing.T) {
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, url := w.serve("profile.bin", 2*miB)
	path := w.add(d, url)
	done := make(chan lab.Result, 1)
	go func() {
		r, err := d.Dfmount(w.ctx, "profile", "--time", "1s", "--json")
		if err != nil {
			r.Exit, r.Stderr = -1, err.Error()
		}
		done <- r
	}()
	for {
		select {
		case r := <-done:
			w.ok(r.Err())
			var p struct {
				Seconds          float64
				Ops, Hits, Files []struct {
					What          string
					Count, Failed int64
				}
			}
			w.ok(json.Unmarshal([]byte(r.Stdout), &p))
			t.Log(r.Stdout)
			require.GreaterOrEqual(t, p.Seconds, 1.0)
			require.NotEmpty(t, p.Ops)
			require.Contains(t, []string{"open", "getattr", "read", "release", "lookup"}, p.Ops[0].What)
			require.Len(t, p.Files, 1)
			require.Positive(t, p.Files[0].Count)
			require.Zero(t, p.Files[0].Failed)
			return
		default:
			w.check(f, path) // opens are seen, however its bytes are read
		}
	}
}

// accessLog listens to a host's requests; the returned function gives what came
// since it was last called.
func (w *world) accessLog(d *lab.Daemon) func() []fusefs.Access {
	w.Helper()
	fd, err := unix.Open(filepath.Join(d.Mount, ".df", "accesslog"), unix.O_RDONLY|unix.O_NONBLOCK, 0)
	w.ok(err)
	w.Cleanup(func() { unix.Close(fd) })
	var left []byte
	return func() (list []fusefs.Access) {
		buf := make([]byte, 256*kiB)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.EAGAIN {
				break
			}
			w.ok(err)
			left = append(left, buf[:n]...)
		}
		whole := left[:bytes.LastIndexByte(left, '\n')+1]
		for line := range strings.Lines(string(whole)) {
			a, dropped, err := fusefs.ParseAccess(line)
			w.ok(err)
			require.Zero(w, dropped)
			list = append(list, a)
		}
		left = left[len(whole):]
		return list
	}
}

// df, ls and stat of what is known never wait for an origin that says nothing,
// and stat of what is not known ends by its deadline.
func TestNothingKnownWaitsForASilentOrigin(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	d := w.configured("h1", "times: {facts-timeout: 3s}\nfuse: {lookup-deadline: 3s, timeout: 1ms}\n")
	const size = 64 * miB
	_, knownURL := w.serve("known.bin", size)
	known := w.add(d, knownURL)
	_, err := d.Add(w.ctx, knownURL, "--name", "known")
	w.ok(err)
	_, err = os.Stat(known)
	w.ok(err)
	_, unknownURL := w.serve("unknown.bin", 3*miB)
	w.ok(w.origin.Stop())
	unknown := w.add(d, unknownURL)

	stuck := w.stuckReads(known, size, 8)
	soon := func(what string, f func() error) {
		began := time.Now()
		require.NoError(t, f(), what)
		bound(w, what, time.Since(began), 2*time.Second)
	}
	for range 20 {
		soon("df", func() error {
			var st unix.Statfs_t
			return unix.Statfs(d.Mount, &st)
		})
		soon("df of a file", func() error {
			var st unix.Statfs_t
			return unix.Statfs(known, &st)
		})
		soon("stat", func() error { _, err := os.Stat(known); return err })
		soon("stat by name", func() error { _, err := os.Stat(filepath.Join(d.Mount, "by-name", "known")); return err })
		soon("ls", func() error {
			list, err := os.ReadDir(d.Mount)
			require.Len(t, list, 4)
			return err
		})
		soon("ls of names", func() error { _, err := os.ReadDir(filepath.Join(d.Mount, "by-name")); return err })
		soon("status", func() error { _, err := os.ReadFile(filepath.Join(d.Mount, ".df", "status")); return err })
	}
	require.Empty(t, stuck.ended(), "the readers still wait")
	began := time.Now()
	_, err = os.Stat(unknown)
	require.ErrorIs(t, err, unix.ETIMEDOUT)
	bound(w, "stat of what is not known", time.Since(began), 10*time.Second)
	w.ok(w.origin.Continue())
	stuck.wg.Wait() // now they end, well or badly
}
