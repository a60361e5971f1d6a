package cluster

import (
	"archive/zip"
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/daemon/readahead"
	"damselfly/pieces"
)

// openFilled opens a URL as a mount with option fill does.
func (h *Host) openFilled(url string, fill readahead.Fill) *daemon.File {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	spec, err := h.Control().NewTask(url, pieces.Options{})
	require.NoError(h.t, err)
	require.NoError(h.t, h.Control().Add(ctx, spec, "", control.Owner{}))
	info, err := h.Lookup(ctx, spec.ID)
	require.NoError(h.t, err)
	f, err := h.OpenFilled(ctx, info.Key, fill)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { f.Close() })
	return f
}

// quiet waits until nothing of f is on its way any more.
func quiet(t *testing.T, f *daemon.File) {
	t.Helper()
	require.Eventually(t, func() bool {
		state, _ := f.Attr("state")
		return state != string(control.StateFetching)
	}, time.Minute, time.Millisecond)
}

// A file is fetched whole when its reader has come far from its start, or at
// once, or never, as was said for the mount or when it was added.
func TestFill(t *testing.T) {
	const size = 128 << 20
	c := New(t, 0)
	o := newOrigin(t, size)
	read := func(f *daemon.File, to int) {
		t.Helper()
		buf := make([]byte, 1<<20)
		for off := 0; off < to; off += len(buf) {
			n, err := f.ReadAt(context.Background(), buf, int64(off))
			require.NoError(t, err)
			require.True(t, bytes.Equal(o.data[off:off+n], buf[:n]))
		}
		quiet(t, f)
	}
	auto := c.Host(nil).openFilled(o.URL+"/f", readahead.FillAuto)
	read(auto, size/8)
	require.Less(t, here(t, auto), int64(size/2), "an eighth is no evidence")
	read(auto, size/4+1<<20)
	require.EqualValues(t, size, here(t, auto))

	never := c.Host(nil).openFilled(o.URL+"/f", readahead.FillNever)
	read(never, size/2)
	require.Less(t, here(t, never), int64(size))

	always := c.Host(nil).openFilled(o.URL+"/f", readahead.FillAlways)
	require.Eventually(t, func() bool { return here(t, always) == size }, time.Minute, 5*time.Millisecond)

	// What was said of the Task counts more than the mount.
	host := c.Host(nil)
	spec, err := host.Control().NewTask(o.URL+"/f", pieces.Options{})
	require.NoError(t, err)
	require.NoError(t, host.Control().Add(context.Background(), spec, "", control.Owner{}))
	require.NoError(t, host.Control().SetFill(context.Background(), spec.ID, "never"))
	require.Equal(t, pieces.Invalid, pieces.KindOf(host.Control().SetFill(context.Background(), spec.ID, "often")))
	said := host.openFilled(o.URL+"/f", readahead.FillAlways)
	read(said, 1<<20)
	require.Less(t, here(t, said), int64(size/2))
}

// The directory of a zip file comes with its first bytes.
func TestTheFooterComesWithTheHead(t *testing.T) {
	c := New(t, 0)
	o := newOrigin(t, 16<<20)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	m, err := w.CreateHeader(&zip.FileHeader{Name: "member", Method: zip.Store})
	require.NoError(t, err)
	_, err = m.Write(o.data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	o.data = b.Bytes()
	h := c.Host(nil)
	f := h.openFilled(o.URL+"/f", readahead.FillAuto)
	_, err = f.ReadAt(context.Background(), make([]byte, 4096), 0)
	require.NoError(t, err)
	quiet(t, f)
	stalls := h.Reads().Stalls
	z, err := zip.NewReader(reader{f}, int64(len(o.data)))
	require.NoError(t, err)
	require.Equal(t, "member", z.File[0].Name)
	require.Equal(t, stalls, h.Reads().Stalls, "nothing was waited for")
	require.LessOrEqual(t, here(t, f), int64(3*pieces.MinPieceSize))
}

// reader reads a File without a deadline.
type reader struct{ f *daemon.File }

func (r reader) ReadAt(p []byte, off int64) (int, error) {
	return r.f.ReadAt(context.Background(), p, off)
}

// A fill stands in nobody's way: a read of what it would bring last comes long
// before that.
func TestAFillYieldsToReaders(t *testing.T) {
	const size = 32 << 20
	c := New(t, 0)
	o := newOrigin(t, size)
	h := c.Host(func(o *daemon.Options) { o.OriginRate = 4 << 20 })
	f := h.openFilled(o.URL+"/f", readahead.FillAlways)
	require.Eventually(t, func() bool { return here(t, f) > pieces.MinPieceSize }, time.Minute, time.Millisecond, "the fill is under way")
	buf := make([]byte, 64<<10)
	for _, off := range []int{size - len(buf), size / 2} {
		_, err := f.ReadAt(context.Background(), buf, int64(off))
		require.NoError(t, err)
		require.Equal(t, o.data[off:off+len(buf)], buf)
	}
	require.Less(t, here(t, f), int64(size/2))
}
