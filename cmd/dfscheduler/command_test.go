package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
	"damselfly/proto/rpc"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

type ready struct{ Msg, Listen, Advertise, Metrics string }

// start runs dfscheduler as main would; stop ends it as a signal does and
// answers the exit code.
func start(t *testing.T, args ...string) (at ready, stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	logRead, logWrite := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- boot.Execute(ctx, newCommand(), append([]string{
			"--log-format", "json", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"}, args...), io.Discard, logWrite)
		logWrite.Close()
	}()
	lines := bufio.NewScanner(logRead)
	for at.Msg != "scheduler is ready" {
		require.True(t, lines.Scan(), "it ended before it was ready")
		require.NoError(t, json.Unmarshal(lines.Bytes(), &at), lines.Text())
	}
	go io.Copy(io.Discard, logRead)
	return at, func() int {
		cancel()
		return <-code
	}
}

func TestServesUntilStopped(t *testing.T) {
	at, stop := start(t, "--policy", "classic")
	require.Equal(t, at.Listen, at.Advertise)
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": "damselfly_scheduler_tasks 0", "/debug/pprof/": "goroutine"} {
		r, err := http.Get("http://" + at.Metrics + path)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Contains(t, string(body), want)
	}
	conn, err := rpc.Dial(at.Listen, rpc.DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	client := schedulerpb.NewSchedulerClient(conn)
	host := pieces.Host{ID: pieces.NewHostID([16]byte{1}), IP: "127.0.0.1", PeerPort: 1, UploadPort: 1}
	_, err = client.AnnounceHost(t.Context(), &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(host)})
	require.NoError(t, err)
	task, err := pieces.NewTask("http://example.com/f", pieces.Options{}, nil)
	require.NoError(t, err)
	facts := pieces.Facts{Size: 1 << 20, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: "1"}}
	r, err := client.RegisterPeerTask(t.Context(), &schedulerpb.RegisterPeerTaskRequest{
		HostId: string(host.ID), Task: wire.TaskTo(task), Facts: wire.FactsTo(facts), CanFetch: true})
	require.NoError(t, err)
	require.Equal(t, schedulerpb.Policy_CLASSIC, r.Policy)
	require.Equal(t, boot.ExitOK, stop())
}

func TestUsageErrorsNameTheFix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte("listn: :1\n"), 0o600))
	times := filepath.Join(t.TempDir(), "t.yaml")
	require.NoError(t, os.WriteFile(times, []byte("times: {host-ttl: -1s}\n"), 0o600))
	for want, args := range map[string][]string{
		"times: want 0":            {"--config", times},
		"want swarm or classic":    {"--policy", "best"},
		"--listen \"nonsense\"":    {"--listen", "nonsense"},
		"--seed-peers \":65000\"":  {"--seed-peers", ":65000"},
		"--peers \"a:0\"":          {"--peers", "a:0"},
		"--advertise \"host\"":     {"--advertise", "host"},
		"--cluster: cluster \"E\"": {"--cluster", "E"},
		"unknown flag":             {"--nope"},
		"unknown command":          {"extra"},
		"unknown key \"listn\"":    {"--config", file},
		"no such file":             {"--config", file + "x"},
	} {
		var stderr bytes.Buffer
		code := boot.Execute(t.Context(), newCommand(), args, io.Discard, &stderr)
		require.Equal(t, boot.ExitUsage, code, "%v: %s", args, stderr.String())
		require.Contains(t, stderr.String(), want)
		require.Equal(t, 1, bytes.Count(stderr.Bytes(), []byte("\n")), stderr.String())
	}
}

func TestReachable(t *testing.T) {
	require.Equal(t, "127.0.0.1:5", reachable("127.0.0.1:5"))
	require.NotContains(t, reachable("[::]:5"), "[::]")
}
