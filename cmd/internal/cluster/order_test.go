package cluster

import (
	"context"
	"crypto/rand"
	mathrand "math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/daemon/announce"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// asker is a host that asks a scheduler for the access order of a Task and takes
// no other part.
type asker struct {
	t      *testing.T
	client *announce.Client
}

func (asker) HandleEvent(announce.Event) {}

func (c *Cluster) asker(t *testing.T) *asker {
	t.Helper()
	var id [16]byte
	_, _ = rand.Read(id[:])
	host := pieces.Host{ID: pieces.NewHostID(id), Hostname: "asker", IP: "127.0.0.1", PeerPort: 1, UploadPort: 1}
	var addrs []string
	for _, s := range c.Schedulers {
		addrs = append(addrs, s.Addr)
	}
	client, err := announce.New(announce.Options{Schedulers: addrs, Host: host, Log: log()})
	require.NoError(t, err)
	c.run(client.Run)
	return &asker{t, client}
}

// order returns what a host is told that registers now.
func (a *asker) order(task *pieces.Task, f pieces.Facts) []pieces.Extent {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p, reg, err := a.client.Register(ctx, announce.RegisterRequest{Task: task, Version: f.VersionID(), Facts: &f}, a,
		func() ([]pieces.Extent, []pieces.SumRun, map[pieces.LeaseID][]pieces.Extent) { return nil, nil, nil })
	require.NoError(a.t, err)
	p.Close(ctx)
	return reg.AccessOrder
}

// until asks until the order has n pieces.
func (a *asker) until(task *pieces.Task, f pieces.Facts, n int) (order []pieces.Extent) {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		order = a.order(task, f)
		return count(order) >= n
	}, 30*time.Second, 20*time.Millisecond, "the scheduler hears of first touches")
	return order
}

func count(es []pieces.Extent) (n int) {
	for _, e := range es {
		n += e.Len()
	}
	return n
}

// step reads 64 KiB in each of these pieces, and gives the link time after each
// read until nothing is on its way any more. It returns how many reads waited.
func step(t *testing.T, h *Host, f *daemon.File, data []byte, ps []int) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	before := h.Reads().Stalls
	buf := make([]byte, 64<<10)
	for _, i := range ps {
		off := int64(i)*pieces.MinPieceSize + 4096
		n, err := f.ReadAt(ctx, buf, off)
		require.NoError(t, err)
		require.Equal(t, data[off:off+int64(n)], buf[:n])
		require.Eventually(t, func() bool {
			state, _ := f.Attr("state")
			return state != string(control.StateFetching)
		}, time.Minute, time.Millisecond)
	}
	return h.Reads().Stalls - before
}

// here returns how many bytes of f the host holds.
func here(t *testing.T, f *daemon.File) int64 {
	t.Helper()
	text, ok := f.Attr("cached")
	require.True(t, ok)
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

// A host that reads a tenth of a file in an order in which another one has read
// it finds most of its reads already there; where a fifth of them differ, all but
// that fifth. What is fetched stays near what is read, and the origin is read
// once.
func TestALaterReaderIsLedAlongTheAccessOrder(t *testing.T) {
	const all, read = 640, 64
	c := New(t, 1)
	o := newOrigin(t, all*pieces.MinPieceSize)
	fast := func(o *daemon.Options) { o.Engine.Tick = 50 * time.Millisecond }
	first := c.Host(fast)
	f := first.Open(o.URL+"/f", pieces.Options{})
	r := mathrand.New(mathrand.NewPCG(2, 2))
	perm := r.Perm(all/2 - 1)
	var ps []int
	for _, i := range perm[:read] {
		ps = append(ps, 2*i+1) // no two adjoin, and none came with the facts
	}
	require.EqualValues(t, read, step(t, first, f, o.data, ps))
	task, err := first.Control().NewTask(o.URL+"/f", pieces.Options{})
	require.NoError(t, err)
	order := c.asker(t).until(task, f.Facts(), read)
	for k, e := range order[:read] {
		require.Equal(t, ps[k], e.First)
	}

	without := c.Host(func(o *daemon.Options) { fast(o); o.Engine.OrderAhead = -1 })
	w := without.Open(o.URL+"/f", pieces.Options{})
	waited := step(t, without, w, o.data, ps)
	require.EqualValues(t, read, waited)

	with := c.Host(fast)
	g := with.Open(o.URL+"/f", pieces.Options{})
	led := step(t, with, g, o.data, ps)
	t.Logf("%d reads: %d waited without the order, %d with it; %.2f × what was read is here", read, waited, led, float64(here(t, g))/(read*pieces.MinPieceSize))
	require.LessOrEqual(t, 3*led, waited)
	require.LessOrEqual(t, here(t, g), int64(read*pieces.MinPieceSize))

	differs := append([]int(nil), ps...)
	for k := 4; k < read; k += 5 {
		differs[k] = 2 * perm[read+k]
	}
	other := c.Host(fast)
	k := other.Open(o.URL+"/f", pieces.Options{})
	strayed := step(t, other, k, o.data, differs)
	t.Logf("a fifth differs: %d waited, %.2f × what was read is here", strayed, float64(here(t, k))/(read*pieces.MinPieceSize))
	require.LessOrEqual(t, strayed, waited/2)
	require.LessOrEqual(t, 10*here(t, k), int64(12*read*pieces.MinPieceSize))
	// Each piece once, of the facts' answer the first 64 KiB.
	require.LessOrEqual(t, o.bytes.Load(), int64((read+read/5)*pieces.MinPieceSize+64<<10))

	// Who leaves the order is left alone.
	leaver := c.Host(fast)
	l := leaver.Open(o.URL+"/f", pieces.Options{})
	step(t, leaver, l, o.data, ps[:16])
	var elsewhere []int
	for _, i := range perm[2*read : 2*read+8] {
		elsewhere = append(elsewhere, 2*i)
	}
	step(t, leaver, l, o.data, elsewhere)
	held := here(t, l)
	for _, i := range perm[2*read+8 : 2*read+24] {
		elsewhere = append(elsewhere[:0], 2*i)
		step(t, leaver, l, o.data, elsewhere)
	}
	require.EqualValues(t, 16*pieces.MinPieceSize, here(t, l)-held, "only what it reads itself")
}
