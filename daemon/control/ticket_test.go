package control

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func tempFile(t *testing.T) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	require.NoError(t, os.WriteFile(path, []byte("bytes"), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	return f
}

func TestTicketRules(t *testing.T) {
	now := time.Unix(1000, 0)
	ts := newTickets(30*time.Second, func() time.Time { return now })
	denied := func(id ticket, uid uint32, why string) {
		t.Helper()
		_, err := ts.redeem(id, uid)
		require.Equal(t, pieces.Denied, pieces.KindOf(err))
		require.ErrorContains(t, err, why)
	}
	closed := func(f *os.File) {
		t.Helper()
		_, err := f.Stat()
		require.ErrorIs(t, err, os.ErrClosed)
	}

	f := tempFile(t)
	id, err := ts.issue(f, 7)
	require.NoError(t, err)
	denied(id, 8, "no such ticket")
	denied(ticket{}, 7, "no such ticket")
	got, err := ts.redeem(id, 7)
	require.NoError(t, err)
	require.Same(t, f, got)
	denied(id, 7, "used already")
	ts.revoke(id)
	_, err = f.Stat()
	require.NoError(t, err, "revoking a used ticket does not close the file")
	f.Close()

	late := tempFile(t)
	id, err = ts.issue(late, 7)
	require.NoError(t, err)
	now = now.Add(30*time.Second + 1)
	denied(id, 7, "expired")
	closed(late)

	revoked := tempFile(t)
	id, err = ts.issue(revoked, 7)
	require.NoError(t, err)
	ts.revoke(id)
	closed(revoked)
	denied(id, 7, "no such ticket")

	for range maxTickets {
		_, err := ts.issue(nil, 7)
		require.NoError(t, err)
	}
	over := tempFile(t)
	_, err = ts.issue(over, 7)
	require.Equal(t, pieces.Full, pieces.KindOf(err))
	closed(over)
}

func TestDescriptorSocket(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "d.sock"), false)
	require.NoError(t, err)
	s := NewServer(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
		require.True(t, Served(l.Path()), "the path is kept until Close")
		require.NoError(t, l.Close())
		require.False(t, Served(l.Path()))
	}()
	socket := DescriptorPath(l.Path())

	id, err := s.tickets.issue(tempFile(t), uint32(os.Getuid()))
	require.NoError(t, err)
	f, err := fetchFile(ctx, socket, id[:])
	require.NoError(t, err)
	defer f.Close()
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "bytes", string(got))

	_, err = fetchFile(ctx, socket, id[:])
	require.Equal(t, pieces.Denied, pieces.KindOf(err))
	require.ErrorContains(t, err, "used already")

	// Half a ticket is no ticket, and takes no slot for long.
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	conn.Write(id[:16])
	conn.Close()
}

func TestAccessRules(t *testing.T) {
	s := &Server{self: 5}
	public := TaskInfo{Owner: Owner{UID: 100}}
	private := TaskInfo{Owner: Owner{UID: 100}, Private: true}
	for _, c := range []struct {
		uid                          uint32
		usePublic, usePrivate, alter bool
	}{
		{0, true, true, true},
		{5, true, true, true},
		{100, true, true, true},
		{101, true, false, false},
	} {
		who := caller{Owner: Owner{UID: c.uid}}
		require.Equal(t, c.usePublic, s.mayUse(who, public), c.uid)
		require.Equal(t, c.usePrivate, s.mayUse(who, private), c.uid)
		require.Equal(t, c.alter, s.mayChange(who, public), c.uid)
		require.Equal(t, c.alter, s.mayChange(who, private), c.uid)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   Range
		size int64
		want Range
		ok   bool
	}{
		{Whole, 10, Range{0, 10}, true},
		{Whole, 0, Range{0, 0}, true},
		{Range{3, 4}, 10, Range{3, 4}, true},
		{Range{3, 40}, 10, Range{3, 7}, true},
		{Range{9, -1}, 10, Range{9, 1}, true},
		{Range{10, 1}, 10, Range{}, false},
		{Range{-1, 1}, 10, Range{}, false},
	} {
		got, err := c.in.clip(c.size)
		require.Equal(t, c.ok, err == nil, "%v", c.in)
		if c.ok {
			require.Equal(t, c.want, got)
		} else {
			require.Equal(t, pieces.Invalid, pieces.KindOf(err))
		}
	}
}
