package cluster

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/manager"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/rpc"
)

// manage starts a manager; handled is how many calls it has answered.
func (c *Cluster) manage() (addr string, handled func() float64) {
	return c.manageOn(listen(c.t))
}

func (c *Cluster) manageOn(lis net.Listener) (addr string, handled func() float64) {
	handled, _ = c.manageUntil(lis)
	return lis.Addr().String(), handled
}

// manageUntil is manageOn that can be stopped, and serves with other options.
func (c *Cluster) manageUntil(lis net.Listener, change ...func(*rpc.ServerOptions)) (handled func() float64, stop func()) {
	db, err := store.Open(context.Background(), "sqlite:"+filepath.Join(c.t.TempDir(), "m.db"))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { db.Close() })
	m, err := manager.New(manager.Options{Store: db})
	require.NoError(c.t, err)
	reg := prometheus.NewRegistry()
	so := rpc.ServerOptions{Registry: reg}
	for _, f := range change {
		f(&so)
	}
	srv := rpc.NewServer(so)
	m.Register(srv)
	stop = c.run(func(ctx context.Context) error { return srv.Serve(ctx, lis) }, m.Run)
	return func() (n float64) {
		families, err := reg.Gather()
		require.NoError(c.t, err)
		for _, f := range families {
			if f.GetName() == "damselfly_rpc_handled_total" {
				for _, s := range f.GetMetric() {
					n += s.GetCounter().GetValue()
				}
			}
		}
		return n
	}, stop
}

func unknownID(i int) pieces.TaskID {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], uint64(i)*0x9e3779b97f4a7c15)
	return pieces.TaskID(hex.EncodeToString(b[:]))
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million lookups of ids that nobody knows are answered from memory where
// there is no manager, ask one at a bounded rate where there is, and leave
// nothing behind.
func TestAMillionUnknownLookups(t *testing.T) {
	c := New(t, 1)
	addr, handled := c.manage()
	alone := c.Host(nil)
	member := c.Host(func(o *daemon.Options) { o.Managers, o.Schedulers = []string{addr}, nil })
	million := 1_000_000
	if testing.Short() {
		million /= 20
	}
	heapBefore, goroutines := heap(), runtime.NumGoroutine()

	lookups := func(h *Host, n int, d time.Duration) (kinds map[pieces.Kind]int) {
		kinds = map[pieces.Kind]int{}
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 64 {
			wg.Go(func() {
				here := map[pieces.Kind]int{}
				for i := w; i < n && ctx.Err() == nil; i += 64 {
					_, err := h.Lookup(ctx, unknownID(i))
					here[pieces.KindOf(err)]++
				}
				mu.Lock()
				defer mu.Unlock()
				for k, n := range here {
					kinds[k] += n
				}
			})
		}
		wg.Wait()
		return kinds
	}
	began := time.Now()
	kinds := lookups(alone, million, time.Minute)
	t.Logf("without a manager: %d in %v", million, time.Since(began).Round(time.Millisecond))
	require.Equal(t, map[pieces.Kind]int{pieces.NotFound: million}, kinds)

	before, began := handled(), time.Now()
	kinds = lookups(member, million, 3*time.Second)
	asked, seconds := handled()-before, time.Since(began).Seconds()
	t.Logf("with a manager: %v in %.1f s, of which it was asked %v", kinds, seconds, asked)
	require.Positive(t, kinds[pieces.NotFound])
	require.Greater(t, asked, 300.0, "the manager was asked")
	require.Less(t, asked, 400+200*(seconds+1)+50, "no storm")
	// Those that gave up were told so, and of nothing else.
	for k := range kinds {
		require.Contains(t, []pieces.Kind{pieces.NotFound, pieces.Throttled, pieces.Timeout, pieces.Canceled}, k)
	}
	require.Less(t, heap(), heapBefore+32<<20)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() < goroutines+50 }, 10*time.Second, 10*time.Millisecond)
	// Afterwards what is known is found as ever.
	o := newOrigin(t, 100)
	member.Open(o.URL+"/f", pieces.Options{})
}

// What was added while no manager answered is in the catalogue soon after one
// does; a name that meant something else by then is not taken.
func TestTheManagerLearnsLaterOfWhatWasAdded(t *testing.T) {
	c := New(t, 1)
	lis := listen(t)
	addr := lis.Addr().String()
	require.NoError(t, lis.Close()) // nobody answers
	member := func(o *daemon.Options) { o.Managers = []string{addr} }
	a, b := c.Host(member), c.Host(member)
	o := newOrigin(t, 1000)
	add := func(h *Host, path, name string) pieces.TaskID {
		spec, err := h.Control().NewTask(o.URL+path, pieces.Options{})
		require.NoError(t, err)
		require.NoError(t, h.Control().Add(t.Context(), spec, name, control.Owner{}))
		return spec.ID
	}
	one, removed := add(a, "/one", "first"), add(a, "/removed", "")
	_, err := a.Control().Remove(t.Context(), removed)
	require.ErrorContains(t, err, "not from the manager's catalogue")
	two := add(b, "/two", "first")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = b.Lookup(ctx, one)
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err), "unreachable is not unknown: %v", err)

	lis, err = net.Listen("tcp", addr)
	require.NoError(t, err)
	c.manageOn(lis)
	knows := func(h *Host, id pieces.TaskID) func() bool {
		return func() bool {
			_, err := h.Lookup(t.Context(), id)
			return err == nil
		}
	}
	require.Eventually(t, knows(b, one), 15*time.Second, 50*time.Millisecond)
	require.Eventually(t, knows(a, two), 15*time.Second, 50*time.Millisecond)
	_, err = b.Lookup(t.Context(), removed)
	require.Equal(t, pieces.NotFound, pieces.KindOf(err))
}
