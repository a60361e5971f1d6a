package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/daemon/upload"
	"damselfly/pieces"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// shell is a Wrap that first runs a line of sh.
func shell(line string) []string { return []string{"sh", "-c", line + ` && exec "$@"`, "sh"} }

// readMany has n readers read all of path at once, each from its own place.
func readMany(f content.File, path string, n int) error {
	var g errgroup.Group
	for i := range n {
		g.Go(func() error {
			r, err := os.Open(path)
			if err != nil {
				return err
			}
			defer r.Close()
			from := f.Size / int64(n) * int64(i) &^ 4095
			if err := f.CheckReader(io.NewSectionReader(r, from, f.Size-from), from, f.Size-from); err != nil {
				return err
			}
			return f.CheckReader(io.NewSectionReader(r, 0, from), 0, from)
		})
	}
	return g.Wait()
}

// rest is what a daemon uses when nobody asks it for anything.
type rest struct{ goroutines, descriptors, reserved float64 }

func (w *world) restOf(d *lab.Daemon) rest {
	w.Helper()
	m, err := d.Host.Metrics(w.ctx)
	w.ok(err)
	return rest{m["go_goroutines"], m["process_open_fds"], m["damselfly_daemon_memory_bytes"]}
}

// comesToRest fails unless d soon uses no more than it did, but for some tens
// of connections to origins and neighbours that are kept for the next time, with
// two goroutines each.
func (w *world) comesToRest(d *lab.Daemon, first rest) {
	w.Helper()
	w.ok(lab.Until(w.ctx, 20*time.Second, d.Host.Name+" to be at rest", func() error {
		r := w.restOf(d)
		if r.goroutines > first.goroutines+90 || r.descriptors > first.descriptors+40 || r.reserved > 0 {
			return fmt.Errorf("%+v, at first %+v", r, first)
		}
		return nil
	}))
}

// A daemon with 64 descriptors, and one with a single processor, serve their
// readers and each other, also while a crowd of idle connections is at their
// ports.
func TestFewDescriptorsAndOneProcessor(t *testing.T) {
	w := newWorld(t, 2*time.Minute)
	s, err := w.host("sched").StartScheduler(w.ctx)
	w.ok(err)
	few := w.daemon("few", lab.DaemonOptions{Mount: true, Schedulers: []string{s.Addr}, Wrap: shell("ulimit -n 64")})
	one := w.daemon("one", lab.DaemonOptions{Mount: true, Schedulers: []string{s.Addr}, Wrap: []string{"env", "GOMAXPROCS=1"}})
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", few.PID()))
	w.ok(err)
	require.Regexp(t, `Max open files +64 `, string(limits))

	var files [6]content.File
	var paths [6]string
	for i := range files {
		var url string
		files[i], url = w.serve(fmt.Sprintf("f%d.bin", i), 9*miB+int64(i))
		paths[i] = w.add(few, url)
		w.add(one, url)
	}
	attacker := w.host("attacker")
	for _, addr := range []string{":65000", ":65002"} {
		defer newCrowd(w, attacker, few.Host.IP+addr, 500).close()
	}
	var g errgroup.Group
	for i, f := range files {
		g.Go(func() error { return readMany(f, paths[i], 4) })
		g.Go(func() error { return readMany(f, one.Path(paths[i]), 4) })
	}
	w.ok(g.Wait())
	var shared int64
	for _, d := range []*lab.Daemon{few, one} {
		st, err := d.Status(w.ctx)
		w.ok(err)
		t.Logf("%s: %+v", d.Host.Name, st.Traffic)
		shared += st.Traffic.Peers
	}
	require.Positive(t, shared, "bytes that one had from the other")
}

// crowd is a lot of connections that nobody uses.
type crowd struct {
	conns []net.Conn
	// refused could not even be made.
	refused int
}

// beginnings of what a client may say before it falls silent; none, mostly.
var beginnings = []string{"", "", "", "GET /v1/tas", "PRI * HTTP/2.0\r\n\r\nSM", "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"}

func newCrowd(w *world, from *lab.Host, addr string, n int) *crowd {
	w.Helper()
	c := &crowd{}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
			defer cancel()
			conn, err := from.Dial(ctx, "tcp", addr)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.refused++
				return nil
			}
			_, _ = io.WriteString(conn, beginnings[i%len(beginnings)])
			c.conns = append(c.conns, conn)
			return nil
		})
	}
	w.ok(g.Wait())
	return c
}

func (c *crowd) close() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// Ten thousand idle and half-open connections at each port of each server keep
// nobody out; afterwards nothing of them is left.
func TestTenThousandIdleConnections(t *testing.T) {
	const n = 10_000
	var l unix.Rlimit
	w := newWorld(t, 3*time.Minute)
	w.ok(unix.Getrlimit(unix.RLIMIT_NOFILE, &l))
	require.Greater(t, l.Cur, uint64(n+1000), "files that this process may open")
	c := w.cluster(1, 1, 0)
	attacker := w.host("attacker")
	d := c.Hosts[0]
	warm, url := w.serve("warm.bin", 5*miB)
	w.check(warm, w.add(d, url))
	seedRest, hostRest := w.restOf(c.Seed), w.restOf(d)

	for i, addr := range []string{
		c.Seed.Host.IP + ":65000", c.Seed.Host.IP + ":65002", c.Schedulers[0].Addr, c.Manager.Addr,
	} {
		began := time.Now()
		crowd := newCrowd(w, attacker, addr, n)
		took := time.Since(began)
		require.GreaterOrEqual(t, len(crowd.conns)+crowd.refused, n)
		require.Greater(t, len(crowd.conns), n/2, "%s: most connections were made", addr)
		// Something new, which needs manager, scheduler, seed and its uploads.
		f, url := w.serve(fmt.Sprintf("f%d.bin", i), 6*miB+int64(i))
		began = time.Now()
		w.check(f, w.add(d, url))
		read := time.Since(began)
		require.Less(t, read, 10*time.Second, "a read while %d idle connections are at %s", n, addr)
		w.sentOnce(f)
		for _, p := range w.lab.Procs() {
			w.ok(p.Alive())
		}
		t.Logf("%s: %d connections in %v, %d refused; add and read of 6 MiB took %v; MiB resident: seed %d, scheduler %d, manager %d", addr,
			len(crowd.conns), took.Round(time.Millisecond), crowd.refused, read.Round(time.Millisecond),
			residentMiB(w, c.Seed.PID()), residentMiB(w, c.Schedulers[0].PID()), residentMiB(w, c.Manager.PID()))
		crowd.close()
	}
	w.comesToRest(c.Seed, seedRest)
	w.comesToRest(d, hostRest)
}

func residentMiB(w *world, pid int) int64 {
	w.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	w.ok(err)
	n, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	w.ok(err)
	return n * int64(os.Getpagesize()) / miB
}

// memoryGroup makes a control group of that many bytes.
func (w *world) memoryGroup(limit int64) *lab.MemoryGroup {
	w.Helper()
	if raced {
		w.Skip("under the race detector programs use several times their memory")
	}
	g, err := w.lab.AddMemoryGroup("memory", limit)
	w.ok(err)
	return g
}

// keptItsMemory checks that nobody was killed in g, and returns the most that
// was used, in MiB.
func (w *world) keptItsMemory(g *lab.MemoryGroup) int64 {
	w.Helper()
	kills, err := g.Kills()
	w.ok(err)
	require.Zero(w, kills, "processes killed for want of memory")
	most, err := g.Highest()
	w.ok(err)
	require.Positive(w, most, "memory used in the group")
	return most / miB
}

// In 256 MiB a daemon serves 256 readers and 64 uploads at once: slower, but it
// is not killed.
func TestSmallMemory(t *testing.T) {
	w := newWorld(t, 3*time.Minute)
	group := w.memoryGroup(256 * miB)
	d := w.daemon("small", lab.DaemonOptions{Mount: true, Wrap: shell(group.Enter())})
	f, url := w.serve("big.bin", 400*miB+5)
	path := w.add(d, url)
	info, err := d.Stat(w.ctx, url)
	w.ok(err)
	first := w.restOf(d)

	asker := w.host("asker")
	var g errgroup.Group
	for i := range 256 {
		g.Go(func() error {
			r, err := os.Open(path)
			if err != nil {
				return err
			}
			defer r.Close()
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 2 {
				off := rnd.Int64N(f.Size-2*miB) &^ 4095
				if err := f.CheckReader(io.NewSectionReader(r, off, 2*miB), off, 2*miB); err != nil {
					return fmt.Errorf("reader %d: %w", i, err)
				}
			}
			return nil
		})
	}
	base := fmt.Sprintf("http://%s:65002/v1/tasks/%s/%s", d.Host.IP, info.ID, info.Version)
	var mu sync.Mutex
	sent := int64(0)
	for i := range 64 {
		g.Go(func() error {
			n, err := askFor(w.ctx, asker, base, f, int64(i))
			mu.Lock()
			sent += n
			mu.Unlock()
			return err
		})
	}
	w.ok(g.Wait())
	w.ok(d.Alive())
	require.Positive(t, sent, "bytes uploaded")
	t.Logf("%d MiB uploaded, %d MiB resident; the group's highest use: %d MiB", sent/miB, residentMiB(w, d.PID()), w.keptItsMemory(group))
	w.comesToRest(d, first)
}

// askFor asks for ranges of f, waiting for what is on its way, and returns how
// many bytes came in whole answers, all right. Of a range that nobody reads in
// the meantime the answer is 404, or ends early if some of it was here.
func askFor(ctx context.Context, from *lab.Host, url string, f content.File, i int64) (sent int64, err error) {
	client := from.Client()
	rnd := rand.New(rand.NewPCG(2, uint64(i)))
	for range 6 {
		off := rnd.Int64N(f.Size-miB) &^ (miB - 1)
		req, err := httpGet(ctx, url, off, miB)
		if err != nil {
			return sent, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return sent, err
		}
		switch resp.StatusCode {
		case 206:
			err = f.CheckReader(resp.Body, off, miB)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil // what it waited for did not come; what came was right
			} else {
				sent += miB
			}
		case 404, 503:
		default:
			err = fmt.Errorf("upload answers %s", resp.Status)
		}
		resp.Body.Close()
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// Lookups of ids that nobody knows, through a mount: ENOENT, and the daemon
// keeps its size.
func TestUnknownLookups(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	d := w.alone("h1")
	f, url := w.serve("f.bin", miB)
	path := w.add(d, url)
	before := residentMiB(w, d.PID())
	const n = 100_000
	began := time.Now()
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			rnd := rand.New(rand.NewPCG(3, uint64(i)))
			for range n / 8 {
				name := fmt.Sprintf("%016x%016x%016x%016x", rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
				if _, err := os.Lstat(filepath.Join(d.Mount, name)); !os.IsNotExist(err) {
					return fmt.Errorf("lookup of an unknown id: %v", err)
				}
			}
			return nil
		})
	}
	w.ok(g.Wait())
	w.check(f, path)
	after := residentMiB(w, d.PID())
	t.Logf("%d lookups in %v; resident: %d MiB, then %d", n, time.Since(began).Round(time.Millisecond), before, after)
	require.Less(t, after, before+100)
	rs, err := w.origin.Requests("")
	w.ok(err)
	require.Less(t, len(rs), 20, "the origin was asked for nothing but the file")
}

// httpGet is a request of one host to another's piece server.
func httpGet(ctx context.Context, url string, off, n int64) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	req.Header.Set(upload.HeaderHost, string(pieces.NewHostID([16]byte{9})))
	req.Header.Set(upload.HeaderWait, "5000")
	return req, nil
}
