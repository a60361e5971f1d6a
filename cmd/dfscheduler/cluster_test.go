package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/manager"
	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// startManager runs a manager whose cluster eu has a config; stop ends it.
func startManager(t *testing.T, config string) (addr string, stop func()) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "m.db"))
	require.NoError(t, err)
	_, err = db.PutConfig(t.Context(), "eu", config, 0)
	require.NoError(t, err)
	m, err := manager.New(manager.Options{Store: db})
	require.NoError(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{StopTimeout: time.Millisecond})
	m.Register(srv)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Serve(ctx, lis) }()
	go func() { done <- m.Run(ctx) }()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			require.NoError(t, <-done)
			require.NoError(t, <-done)
			require.NoError(t, db.Close())
		}
	}
	t.Cleanup(stop)
	return lis.Addr().String(), stop
}

// A scheduler of a cluster that starts while no manager answers has that
// cluster's config of the last run: here, whom it lets in.
func TestAStartWithoutAManager(t *testing.T) {
	blocked := pieces.Host{ID: pieces.NewHostID([16]byte{1}), IP: "127.0.0.1", PeerPort: 1, UploadPort: 1}
	addr, stopManager := startManager(t, `{"blocklist":{"hosts":["`+string(blocked.ID)+`"]}}`)
	letIn := func(at ready) error {
		conn, err := rpc.Dial(at.Listen, rpc.DialOptions{})
		require.NoError(t, err)
		defer conn.Close()
		_, err = schedulerpb.NewSchedulerClient(conn).AnnounceHost(t.Context(), &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(blocked)})
		return err
	}
	file := filepath.Join(t.TempDir(), "state.json")
	args := []string{"--manager", addr, "--cluster", "eu", "--state-file", file}
	at, stop := start(t, args...)
	require.Eventually(t, func() bool { return pieces.KindOf(letIn(at)) == pieces.Denied }, time.Minute, 10*time.Millisecond)
	require.Equal(t, boot.ExitOK, stop())
	stopManager()

	at, stop = start(t, args...)
	require.Equal(t, pieces.Denied, pieces.KindOf(letIn(at)))
	require.Equal(t, boot.ExitOK, stop())
	at, stop = start(t, "--manager", addr)
	require.NoError(t, letIn(at), "another cluster, and no file")
	require.Equal(t, boot.ExitOK, stop())
}
