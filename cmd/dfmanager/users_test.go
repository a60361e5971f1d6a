package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
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
