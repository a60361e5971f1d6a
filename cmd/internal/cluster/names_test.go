package cluster

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/daemon"
	"damselfly/daemon/control"
	"damselfly/pieces"
)

// by-name in all its cases: a name that another host gave, a clash, a rename, a
// removal, a name that comes to mean another file, and no manager at all.
func TestNames(t *testing.T) {
	c := New(t, 0)
	o := newOrigin(t, 1000)
	at := listen(t)
	addr := at.Addr().String()
	_, stop := c.manageUntil(at)
	member := func(o *daemon.Options) {
		o.Managers = []string{addr}
		o.FailureMemo = 10 * time.Millisecond
	}
	a, b := c.Host(member), c.Host(member)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	spec := func(path string) *pieces.Task {
		s, err := a.Control().NewTask(o.URL+path, pieces.Options{})
		require.NoError(t, err)
		return s
	}
	add := func(h *Host, path, name string) error { return h.Control().Add(ctx, spec(path), name, control.Owner{}) }
	means := func(h *Host, name string, want pieces.TaskID) {
		t.Helper()
		require.Eventually(t, func() bool {
			id, err := h.LookupName(ctx, name)
			if want == "" {
				return pieces.KindOf(err) == pieces.NotFound && err != nil
			}
			return err == nil && id == want
		}, 20*time.Second, 5*time.Millisecond, "%s means %s", name, want.Short())
	}
	one, two := spec("/one").ID, spec("/two").ID

	// What one host names, the other finds.
	require.NoError(t, add(a, "/one", "model"))
	means(b, "model", one)
	names, err := b.Names(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"model"}, names)

	// A clash, here or at the manager.
	for _, h := range []*Host{a, b} {
		require.Equal(t, pieces.Exists, pieces.KindOf(add(h, "/two", "model")))
	}
	require.NoError(t, add(b, "/two", "other"))
	_, _, err = a.Control().Rename(ctx, "model", "other")
	require.Equal(t, pieces.Exists, pieces.KindOf(err))

	// A rename: the manager follows.
	_, elsewhere, err := a.Control().Rename(ctx, "model", "model-v1")
	require.NoError(t, err)
	require.False(t, elsewhere)
	means(a, "model-v1", one)
	means(a, "model", "")
	means(b, "model-v1", one)
	means(b, "model", "")
	_, _, err = b.Control().Rename(ctx, "model-v1", "x")
	require.ErrorContains(t, err, "changed with dfctl")

	// While no manager answers, names mean what they meant, and a local one wins.
	stop()
	means(b, "model-v1", one)
	names, err = b.Names(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"model-v1", "other"}, names)
	_, err = b.LookupName(ctx, "never-seen")
	require.Equal(t, pieces.Unavailable, pieces.KindOf(err), "unreachable is not unknown: %v", err)
	require.NoError(t, add(b, "/three", "model"))
	means(b, "model", spec("/three").ID)

	// Removed is removed, and the name is free for another file.
	lis, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	c.manageUntil(lis) // an empty catalogue: what it does not know is gone
	means(a, "model", spec("/three").ID)
	_, err = a.Control().Remove(ctx, one)
	require.NoError(t, err)
	means(a, "model-v1", "")
	means(b, "model-v1", "")
	require.Eventually(t, func() bool { return add(a, "/two", "model-v1") == nil }, 20*time.Second, 50*time.Millisecond)
	means(a, "model-v1", two)
	means(b, "model-v1", two)
}
