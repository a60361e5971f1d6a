package cluster

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"damselfly/cmd/internal/boot/host"
	"damselfly/cmd/internal/boot/tracing"
	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/fusefs"
	"damselfly/pieces"
	"damselfly/pieces/missing"
	"damselfly/proto/rpc"
	"damselfly/proto/trace"
	"damselfly/scheduler"
)

// exporter sends what its tracers make to the collector, soon.
func (c *collector) exporter(t *testing.T, sample float64) *tracing.Exporter {
	l := logrus.New()
	l.SetOutput(io.Discard)
	e, err := tracing.Start(tracing.Options{Endpoint: c.addr, Sample: sample, Times: tracing.Times{Every: 10 * time.Millisecond}},
		"test", nil, logrus.NewEntry(l))
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// tracedCluster is a manager, a scheduler, a seed and a reader, each with a tracer
// of its own, and a host without one. Only the reader begins traces.
type tracedCluster struct {
	reader, other *Host
	tracer        *trace.Tracer
}

func newTraced(t *testing.T, col *collector, sample float64) tracedCluster {
	others := col.exporter(t, 0)
	c := With(t, 1, func(o *scheduler.Options) { o.Tracer = others.Tracer("dfscheduler", "") })
	lis := listen(t)
	c.manageUntil(lis, func(o *rpc.ServerOptions) { o.Tracer = others.Tracer("dfmanager", "") })
	managed := func(o *daemon.Options) { o.Managers = []string{lis.Addr().String()} }
	c.Host(func(o *daemon.Options) { o.Seed, o.Tracer = true, others.Tracer("dfdaemon", "seed") })
	x := tracedCluster{tracer: col.exporter(t, sample).Tracer("dfdaemon", "reader"), other: c.Host(managed)}
	x.reader = c.Host(func(o *daemon.Options) { managed(o); o.Tracer = x.tracer })
	return x
}

// add puts a URL in the manager's catalogue, from a host that is not asked again.
func (c tracedCluster) add(ctx context.Context, url string) pieces.TaskID {
	spec, err := c.other.Control().NewTask(url, pieces.Options{})
	require.NoError(c.other.t, err)
	require.NoError(c.other.t, c.other.Control().Add(ctx, spec, "", control.Owner{}))
	return spec.ID
}

// mount mounts what a host has.
func (h *Host) mount(tracer *trace.Tracer) (dir string) {
	if os.Geteuid() != 0 {
		h.t.Skip("only root mounts without a helper")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing.Skip(h.t, "no FUSE here: ", err)
	}
	dir = filepath.Join(h.t.TempDir(), "mnt")
	require.NoError(h.t, os.Mkdir(dir, 0o755))
	ctx, cancel := context.WithCancel(context.Background())
	m, err := fusefs.New(ctx, fusefs.Options{Dir: dir, Backend: host.Backend(h.Daemon), ProbeDir: h.t.TempDir(), Tracer: tracer})
	require.NoError(h.t, err)
	h.t.Cleanup(func() {
		cancel()
		bye, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(h.t, m.Close(bye))
	})
	return dir
}

// readAt reads n bytes of a file, by no more than the system calls: Go's poller
// must not wait for a file system of its own process.
func readAt(t *testing.T, path string, n int, off int64) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	p := make([]byte, n)
	k, err := unix.Pread(fd, p, off)
	require.NoError(t, err)
	require.Equal(t, n, k)
	return p
}

const tracedSize = 8 << 20

// tracedOrigin fails the test when a request tells of a trace.
func tracedOrigin(t *testing.T) *origin {
	o := newOrigin(t, tracedSize)
	serve := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "trace") {
				t.Errorf("the origin is told %s", name)
			}
		}
		serve.ServeHTTP(w, r)
	})
	return o
}

// TestOneReadIsOneTrace: the first read of a file that this host has never heard
// of is one trace, from the mount over manager, scheduler and seed to the origin
// and back.
func TestOneReadIsOneTrace(t *testing.T) {
	col := newCollector(t)
	c := newTraced(t, col, 1)
	o := tracedOrigin(t)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	id := c.add(ctx, o.URL+"/data?part=secret")
	dir := c.reader.mount(c.tracer)
	const at = 5 << 20
	require.Equal(t, o.data[at:at+4096], readAt(t, filepath.Join(dir, string(id)), 4096, at))

	lookup := " mount.lookup@reader"
	read := "daemon.wait@reader mount.read@reader mount.open@reader" + lookup
	facts := "Scheduler/StatTask@dfscheduler Scheduler/StatTask@reader daemon.facts@reader" + lookup
	woken := "Peer/ObtainSeeds@seed Peer/ObtainSeeds@dfscheduler scheduler.wake@dfscheduler "
	served := "piece.serve@seed piece.get@reader " + read
	ranged := "origin.request@seed origin.read@seed scheduler.want@dfscheduler " + read
	for _, up := range []string{
		"Manager/ResolveTask@dfmanager Manager/ResolveTask@reader" + lookup,
		"origin.request@seed daemon.facts@seed " + woken + facts,
		"Scheduler/RegisterPeerTask@dfscheduler Scheduler/RegisterPeerTask@reader daemon.register@reader mount.open@reader" + lookup,
		"Scheduler/RegisterPeerTask@dfscheduler Scheduler/RegisterPeerTask@seed daemon.register@seed " + woken + "scheduler.want@dfscheduler " + read,
		ranged, served,
	} {
		require.Eventually(t, func() bool {
			_, ok := lowest(col.all(), up)
			return ok
		}, 30*time.Second, 10*time.Millisecond, "there is no %s", up)
	}

	spans := col.all()
	for _, s := range spans {
		require.Equal(t, spans[0].trace, s.trace, "%s of %s", s.name, s.service)
		require.False(t, s.failed, "%s of %s", s.name, s.service)
		for k, v := range s.attrs {
			require.NotContains(t, v.String(), "secret", "%s of %s", k, s.name)
		}
	}
	mount, _ := lowest(spans, strings.TrimPrefix(read, "daemon.wait@reader "))
	require.EqualValues(t, id, mount.text("task"))
	require.Equal(t, "seed", mount.text("hit"))
	require.LessOrEqual(t, mount.num("offset"), int64(at))
	require.GreaterOrEqual(t, mount.num("offset")+mount.num("length"), int64(at+4096))
	request, _ := lowest(spans, ranged)
	require.Equal(t, o.URL+"/data", request.text("url"))
	require.EqualValues(t, http.StatusPartialContent, request.num("http.response.status_code"))
	require.Regexp(t, `^bytes=\d+-\d+$`, request.text("range"))
	answer, _ := lowest(spans, served)
	require.EqualValues(t, http.StatusPartialContent, answer.num("http.response.status_code"))
	require.EqualValues(t, c.reader.Daemon.Host().ID, answer.text("host"))
}

// TestDownloadIsOneTrace is the same for dfget.
func TestDownloadIsOneTrace(t *testing.T) {
	col := newCollector(t)
	c := newTraced(t, col, 1)
	o := tracedOrigin(t)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	dir := t.TempDir()
	socket, err := control.Listen(filepath.Join(dir, "d.sock"), false)
	require.NoError(t, err)
	srv := control.NewServer(control.Options{Engine: c.reader.Control(), Tracer: c.tracer})
	served := make(chan error, 1)
	serving, stop := context.WithCancel(context.Background())
	go func() { served <- srv.Serve(serving, socket) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
		require.NoError(t, socket.Close())
	})
	client, err := control.Dial(filepath.Join(dir, "d.sock"))
	require.NoError(t, err)
	defer client.Close()
	dfget := col.exporter(t, 1).Tracer("dfget", "")
	down, root := dfget.Root(ctx, "dfget")
	out := &buffer{}
	require.NoError(t, client.Download(down, o.URL+"/data", pieces.Options{}, control.Whole, nil, out))
	root.End(nil)
	require.True(t, bytes.Equal(o.data, out.Bytes()))
	up := "origin.request@seed origin.read@seed scheduler.want@dfscheduler daemon.wait@reader daemon.download@reader " +
		"Control/Download@reader Control/Download@dfget dfget@dfget"
	require.Eventually(t, func() bool {
		_, ok := lowest(col.all(), up)
		return ok
	}, 30*time.Second, 10*time.Millisecond, "there is no %s", up)
	for _, s := range col.all() {
		require.Equal(t, root.Parent().String()[3:35], s.trace, s.name)
	}
}

// buffer takes a download.
type buffer struct{ bytes.Buffer }

func (b *buffer) CopyFile(_ context.Context, f *os.File, off, n int64) error {
	_, err := io.Copy(b, io.NewSectionReader(f, off, n))
	return err
}

func (b *buffer) Parts() control.Parts { return nil }

// TestNoTraceNoSpan: where nothing is sampled, nothing is sent.
func TestNoTraceNoSpan(t *testing.T) {
	col := newCollector(t)
	c := newTraced(t, col, 0)
	o := tracedOrigin(t)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	path := filepath.Join(c.reader.mount(c.tracer), string(c.add(ctx, o.URL)))
	require.Equal(t, o.data[1<<20:1<<20+4096], readAt(t, path, 4096, 1<<20))
	// What is sent at all is sent: this one comes after anything before it.
	last := col.exporter(t, 1)
	_, s := last.Tracer("last", "").Root(ctx, "last")
	s.End(nil)
	last.Close()
	require.Len(t, col.all(), 1)
}
