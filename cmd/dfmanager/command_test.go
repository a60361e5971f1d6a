package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// process is a dfmanager run by a test, as main would run it.
type process struct {
	grpc, http string
	client     managerpb.ManagerClient
	// stop ends it as a signal does and answers the exit code.
	stop func() int
}

// startProcess starts one that takes the test for an administrator.
func startProcess(t *testing.T, args ...string) *process {
	return startShowing(t, io.Discard, io.Discard, append([]string{"--insecure-local-admin"}, args...)...)
}

// startShowing starts one whose stdout and log are also written to shown and
// logged.
func startShowing(t *testing.T, shown, logged io.Writer, args ...string) *process {
	ctx, cancel := context.WithCancel(context.Background())
	logRead, logWrite := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- boot.Execute(ctx, newCommand(), append([]string{
			"--log-format", "json", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"}, args...), shown, io.MultiWriter(logged, logWrite))
		logWrite.Close()
	}()
	p := &process{stop: func() int {
		cancel()
		return <-code
	}}
	lines := bufio.NewScanner(logRead)
	for p.grpc == "" {
		require.True(t, lines.Scan(), "it ended before it was ready")
		var line struct{ Msg, GRPC, HTTP string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		if line.Msg == "manager is ready" {
			p.grpc, p.http = line.GRPC, line.HTTP
		}
	}
	go io.Copy(io.Discard, logRead)
	conn, err := rpc.Dial(p.grpc, rpc.DialOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	p.client = managerpb.NewManagerClient(conn)
	return p
}

func (p *process) get(t *testing.T, path string) (int, string) {
	resp, err := http.Get("http://" + p.http + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestServesAndKeepsItsCatalogueOverARestart(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "m.db")
	p := startProcess(t, "--database", database)
	task, err := pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	_, err = p.client.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(task), Name: "a"})
	require.NoError(t, err)
	for range 2 {
		reply, err := p.client.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Address: "127.0.0.1:8002"})
		require.NoError(t, err)
		require.EqualValues(t, 5000, reply.IntervalMs, "the default")
	}

	code, body := p.get(t, "/healthz")
	require.Equal(t, 200, code, body)
	code, body = p.get(t, "/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, body, `damselfly_rpc_handled_total{code="OK",method="damselfly.manager.v1.Manager/KeepAlive"} 2`)
	require.Contains(t, body, "damselfly_manager_nodes 1")
	code, body = p.get(t, "/api/v1/tasks?search=example")
	require.Equal(t, 200, code, body)
	require.Contains(t, body, string(task.ID))
	code, body = p.get(t, "/api/v1/nothing")
	require.Equal(t, 404, code, body)
	code, _ = p.get(t, "/debug/pprof/cmdline")
	require.Equal(t, 200, code)
	require.Equal(t, boot.ExitOK, p.stop())

	p = startProcess(t, "--database", database)
	reply, err := p.client.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Name: "a"})
	require.NoError(t, err)
	require.Equal(t, string(task.ID), reply.Task.Id)
	list, err := p.client.ListSchedulers(t.Context(), &managerpb.ListSchedulersRequest{})
	require.NoError(t, err)
	require.Len(t, list.Schedulers, 1)
	require.Equal(t, boot.ExitOK, p.stop())
}

func TestConfigFileAndFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "c.yaml")
	text := "grpc: nonsense\ndatabase: sqlite:" + filepath.Join(dir, "sub", "m.db") + "\nlog: {level: info}\nkeep-alive: 7s\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p := startProcess(t, "--config", file)
	require.FileExists(t, filepath.Join(dir, "sub", "m.db"))
	reply, err := p.client.KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Address: "127.0.0.1:8002"})
	require.NoError(t, err)
	require.EqualValues(t, 7000, reply.IntervalMs)
	require.Equal(t, boot.ExitOK, p.stop())
}

func TestUsageErrorsAreOneLineAndExitTwo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	unknown := write("unknown.yaml", "grpc: :0\ndatabse: x\n")
	wrong := write("wrong.yaml", "grpc: [1]\n")
	letter := write("letter.txt", strings.Repeat("dear reader, ", 1000))
	database := "sqlite:" + filepath.Join(dir, "m.db")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--config", unknown}, `unknown.yaml:2: unknown key "databse"`},
		{[]string{"--config", wrong}, "wrong.yaml:1"},
		{[]string{"--config", filepath.Join(dir, "none.yaml")}, "no such file"},
		{[]string{"--database", "oracle:x"}, "--database: database \"oracle\"…: want sqlite:PATH"},
		{[]string{"--database", "postgres:u:hunter2@h/db"}, "want sqlite:PATH or postgres://"},
		{[]string{"--database", "postgres://u:hunter2@h:port/db"}, "--database"},
		{[]string{"--database", "sqlite:" + letter}, "not a database"},
		{[]string{"--database", "sqlite:" + letter + "/m.db"}, "letter.txt"},
		{[]string{"--database", database, "--grpc", "65003"}, "--grpc"},
		{[]string{"--database", database, "--http", "h:x"}, "--http"},
		{[]string{"--database", database, "--log-level", "loud"}, "loud"},
		{[]string{"--database", database, "--oidc-issuer", "https://i"}, "the manager's own URL"},
		{[]string{"--database", database, "--oidc-issuer", "https://i", "--url", "https://m", "--oidc-client-id", "c"}, "nobody would get a role"},
		{[]string{"--database", database, "--oidc-issuer", "https://i", "--url", "https://m", "--oidc-client-id", "c", "--oidc-role", "ops=king"}, "king"},
		{[]string{"--database", database, "--oidc-issuer", "https://i", "--url", "https://m", "--oidc-client-id", "c", "--oidc-role", "ops=admin", "--oidc-client-secret-file", "/nonexistent"}, "/nonexistent"},
		{[]string{"--database", database, "--url", "manager"}, "https://HOST"},
		{[]string{"--database", database, "--job-lease", "0"}, "--job-lease 0s: want 1s or more"},
		{[]string{"--database", database, "--keep-alive", "1ms"}, "--keep-alive 1ms: want 10ms to 10m0s"},
		{[]string{"--no-such-flag"}, "--no-such-flag"},
		{[]string{"surplus"}, "surplus"},
	} {
		args := append([]string{"--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"}, c.args...)
		var out, errOut bytes.Buffer
		code := boot.Execute(t.Context(), newCommand(), args, &out, &errOut)
		require.Equal(t, boot.ExitUsage, code, "%v: %s", c.args, &errOut)
		require.Empty(t, out.String())
		line := errOut.String()
		require.Equal(t, 1, strings.Count(line, "\n"), line)
		require.Contains(t, line, c.want)
		require.NotContains(t, line, "hunter2")
		require.True(t, strings.HasPrefix(line, "dfmanager: "), line)
	}
}

func TestPortInUse(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer lis.Close()
	var errOut bytes.Buffer
	code := boot.Execute(t.Context(), newCommand(), []string{"--grpc", lis.Addr().String(),
		"--database", "sqlite:" + filepath.Join(t.TempDir(), "m.db")}, io.Discard, &errOut)
	require.Equal(t, boot.ExitFailed, code)
	require.Contains(t, errOut.String(), "the port is in use")
}
