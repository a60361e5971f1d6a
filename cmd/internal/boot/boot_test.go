package boot

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestDefaultPaths(t *testing.T) {
	vars := func(kv map[string]string) func(string) string { return func(k string) string { return kv[k] } }
	root := Env{UID: 0, Getenv: vars(map[string]string{"HOME": "/root", "XDG_STATE_HOME": "/s"})}
	require.Equal(t, "/var/lib/damselfly", root.DataDir())
	require.Equal(t, "/run/damselfly/daemon.sock", root.Socket())
	require.Equal(t, "/etc/damselfly/dfget.yaml", root.ConfigFile("dfget"))

	user := Env{UID: 7, Getenv: vars(map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"})}
	require.Equal(t, "/h/.local/state/damselfly", user.DataDir())
	require.Equal(t, "/run/user/7/damselfly.sock", user.Socket())
	require.Equal(t, "/h/.config/damselfly/dfget.yaml", user.ConfigFile("dfget"))

	bare := Env{UID: 7, Getenv: vars(map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "relative"})}
	require.Equal(t, "/s/damselfly", bare.DataDir())
	require.Equal(t, "/s/damselfly/damselfly.sock", bare.Socket())

	chosen := Env{UID: 0, Getenv: vars(map[string]string{"DAMSELFLY_SOCKET": "/x"})}
	require.Equal(t, "/x", chosen.Socket())
}

func TestListen(t *testing.T) {
	ctx := context.Background()
	lis, err := Listen(ctx, "listen", "127.0.0.1:0")
	require.NoError(t, err)
	defer lis.Close()
	require.NotZero(t, lis.Addr().(*net.TCPAddr).Port)

	_, err = Listen(ctx, "listen", lis.Addr().String())
	require.ErrorContains(t, err, "--listen "+lis.Addr().String()+": the port is in use")
	other, err := ListenDefault(ctx, "listen", lis.Addr().String())
	require.NoError(t, err)
	defer other.Close()

	for _, bad := range []string{"", "8002", "h:x", "h:-1", "h:65536", "::1"} {
		_, err := Listen(ctx, "listen", bad)
		require.Equal(t, pieces.Invalid, pieces.KindOf(err), bad)
		require.ErrorContains(t, err, "want HOST:PORT", bad)
	}
}

func TestCheckPeerAddrs(t *testing.T) {
	require.NoError(t, CheckPeerAddrs("manager", []string{"a:1", "[::1]:65003"}))
	for _, bad := range []string{"a", ":1", "a:0", "a:b", "http://a:1"} {
		require.Equal(t, pieces.Invalid, pieces.KindOf(CheckPeerAddrs("manager", []string{bad})), bad)
	}
}

func TestLogger(t *testing.T) {
	var buf bytes.Buffer
	log, err := LogOptions{Level: "warn", Format: "json"}.Logger(&buf, "dfx")
	require.NoError(t, err)
	log.Info("hidden")
	require.Empty(t, buf.String())
	log.Warn("shown")
	require.Contains(t, buf.String(), `"app":"dfx"`)
	for _, bad := range []LogOptions{{Level: "loud"}, {Format: "xml"}} {
		_, err := bad.Logger(&buf, "dfx")
		require.Equal(t, pieces.Invalid, pieces.KindOf(err))
	}
}

func TestDebugServer(t *testing.T) {
	lis, err := Listen(context.Background(), "metrics", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	unready := errors.New("still starting")
	done := make(chan error, 1)
	go func() {
		done <- ServeHTTP(ctx, lis, DebugHandler(NewRegistry(), func() error { return unready }))
	}()
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + lis.Addr().String() + path)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	code, body := get("/healthz")
	require.Equal(t, 503, code)
	require.Equal(t, "still starting\n", body)
	code, body = get("/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, body, "go_goroutines")
	code, _ = get("/debug/pprof/")
	require.Equal(t, 200, code)
	cancel()
	require.NoError(t, <-done)
}

func TestProfilesAreForLoopbackOnly(t *testing.T) {
	h := DebugHandler(NewRegistry(), nil)
	for _, c := range []struct {
		local, remote string
		want          int
	}{
		{"127.0.0.1:1", "127.0.0.1:2", 200},
		{"10.0.0.1:1", "10.0.0.2:2", 404},
		{"10.0.0.1:1", "127.0.0.1:2", 404},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.local)
		require.NoError(t, err)
		ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, net.Addr(addr))
		req, err := http.NewRequestWithContext(ctx, "GET", "/debug/pprof/cmdline", nil)
		require.NoError(t, err)
		req.RemoteAddr = c.remote
		rec := &recorder{header: http.Header{}, code: 200}
		h.ServeHTTP(rec, req)
		require.Equal(t, c.want, rec.code)
	}
}

type recorder struct {
	header http.Header
	code   int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }
func (r *recorder) WriteHeader(code int)        { r.code = code }
