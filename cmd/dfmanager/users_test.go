package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
)

// safeBuffer may be written while it is read.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// passwordIn finds it in what was shown.
func passwordIn(t *testing.T, shown string) string {
	t.Helper()
	_, rest, found := strings.Cut(shown, "password  ")
	require.True(t, found, shown)
	password, _, _ := strings.Cut(rest, "\n")
	return password
}

func (p *process) login(t *testing.T, password string) int {
	body := fmt.Sprintf(`{"user":"admin","password":%q}`, password)
	resp, err := http.Post("http://"+p.http+"/api/v1/session", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestTheFirstPasswordIsShownOnce(t *testing.T) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "m.db")
	var shown, logged safeBuffer
	p := startShowing(t, &shown, &logged, "--database", database, "--log-level", "trace")
	password := passwordIn(t, shown.String())
	code, _ := p.get(t, "/api/v1/overview")
	require.Equal(t, 401, code, "being on this machine is not enough")
	require.Equal(t, 401, p.login(t, "admin"))
	require.Equal(t, 200, p.login(t, password))
	require.Equal(t, boot.ExitOK, p.stop())
	require.NotContains(t, logged.String(), password)

	var again safeBuffer
	p = startShowing(t, &again, io.Discard, "--database", database)
	require.Empty(t, again.String())
	var out, errs bytes.Buffer
	code = boot.Execute(context.Background(), newCommand(), []string{"users", "reset-password", "--database", database}, &out, &errs)
	require.Equal(t, boot.ExitOK, code, errs.String())
	require.Equal(t, 401, p.login(t, password))
	require.Equal(t, 200, p.login(t, passwordIn(t, out.String())), "while the manager runs")
	code = boot.Execute(context.Background(), newCommand(), []string{"users", "reset-password", "nobody", "--database", database}, &out, &errs)
	require.Equal(t, boot.ExitOrigin, code)
	require.Contains(t, errs.String(), `no user "nobody"`)
	require.Equal(t, boot.ExitOK, p.stop())
}

// A manager that knows a provider sends browsers there, with what it needs to
// know them again.
func TestLoginElsewhere(t *testing.T) {
	var provider *httptest.Server
	provider = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/.well-known/openid-configuration", r.URL.Path)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":"%[1]s/auth","token_endpoint":"%[1]s/token","jwks_uri":"%[1]s/keys"}`, provider.URL)
	}))
	defer provider.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("hush\n"), 0o600))
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
database: sqlite:%s/m.db
url: https://manager.example.org
oidc:
  issuer: %s
  client-id: dfmanager
  client-secret-file: %[1]s/secret
  roles: {ops: operator}
`, dir, provider.URL), 0o600))
	p := startShowing(t, io.Discard, io.Discard, "--config", config)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get("http://" + p.http + "/auth/oidc/login")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 302, resp.StatusCode)
	to := resp.Header.Get("Location")
	for _, want := range []string{provider.URL + "/auth?", "client_id=dfmanager", "code_challenge_method=S256", "manager.example.org%2Fauth%2Foidc%2Fcallback", "nonce=", "state="} {
		require.Contains(t, to, want)
	}
	require.Contains(t, resp.Header.Get("Set-Cookie"), "Secure")
	_, page := p.get(t, "/login")
	require.Contains(t, page, "/auth/oidc/login")
	require.Equal(t, boot.ExitOK, p.stop())
}

// What a manager knew when a backup was made, the one started on the copy knows:
// users with their passwords, tokens, and the catalogue.
func TestBackupAndRestore(t *testing.T) {
	dir := t.TempDir()
	database, backup := "sqlite:"+filepath.Join(dir, "m.db"), filepath.Join(dir, "copy.db")
	var shown safeBuffer
	p := startShowing(t, &shown, io.Discard, "--database", database)
	password := passwordIn(t, shown.String())
	task, err := pieces.NewTask("https://example.org/a", pieces.Options{}, nil)
	require.NoError(t, err)
	_, err = p.client.PutTask(t.Context(), &managerpb.PutTaskRequest{Task: wire.TaskTo(task), Name: "a"})
	require.NoError(t, err)
	run := func(args ...string) (int, string) {
		var errs bytes.Buffer
		code := boot.Execute(context.Background(), newCommand(), append(args, "--database", database), io.Discard, &errs)
		return code, errs.String()
	}
	code, errs := run("backup", backup)
	require.Equal(t, boot.ExitOK, code, errs)
	code, errs = run("backup", backup)
	require.Equal(t, boot.ExitUsage, code, errs)
	code, errs = run("backup")
	require.Equal(t, boot.ExitUsage, code, errs)
	require.Equal(t, boot.ExitOK, p.stop())
	for _, lost := range []string{"m.db", "m.db-wal", "m.db-shm"} {
		_ = os.Remove(filepath.Join(dir, lost))
	}
	require.NoError(t, os.Rename(backup, filepath.Join(dir, "m.db")))

	var again safeBuffer
	p = startShowing(t, &again, io.Discard, "--database", database)
	require.Empty(t, again.String(), "its users are there")
	require.Equal(t, 200, p.login(t, password))
	reply, err := p.client.ResolveTask(t.Context(), &managerpb.ResolveTaskRequest{Name: "a"})
	require.NoError(t, err)
	require.Equal(t, string(task.ID), reply.Task.Id)
	require.Equal(t, boot.ExitOK, p.stop())
}
