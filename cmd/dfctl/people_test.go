package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/manager"
	"damselfly/manager/people"
	"damselfly/manager/store"
)

// startTown runs a manager that knows an administrator, and answers its
// password.
func startTown(t *testing.T) (c ctl, password string) {
	database := "sqlite:" + filepath.Join(t.TempDir(), "m.db")
	addr, _ := startManagerAt(t, "127.0.0.1:0", database, manager.Options{})
	db, err := store.Open(t.Context(), database)
	require.NoError(t, err)
	defer db.Close()
	password, err = people.New(people.Options{Store: db}).Bootstrap(t.Context())
	require.NoError(t, err)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return ctl{t, addr}, password
}

// typed runs dfctl with lines on its stdin.
func (c ctl) typed(lines string, args ...string) (code int, out, errs string) {
	c.t.Helper()
	cmd := newCommand()
	cmd.SetIn(strings.NewReader(lines))
	var o, e bytes.Buffer
	code = boot.Execute(context.Background(), cmd, append([]string{"--manager", c.managers}, args...), &o, &e)
	return code, o.String(), e.String()
}

func (c ctl) login(user, password string) {
	c.t.Helper()
	code, _, errs := c.typed(password+"\n", "login", user)
	require.Zero(c.t, code, errs)
}

func TestUsersTokensAndAuditFromTheCommandLine(t *testing.T) {
	c, password := startTown(t)
	denied := func(want string, args ...string) {
		t.Helper()
		code, _, errs := c.try(args...)
		require.Equal(t, boot.ExitDenied, code, errs)
		require.Contains(t, errs, want)
		require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
	denied("log in first", "overview")
	code, _, errs := c.typed("wrong\n", "login")
	require.Equal(t, boot.ExitDenied, code)
	require.Contains(t, errs, "wrong user or password")
	code, out, errs := c.typed(password+"\n", "login")
	require.Zero(t, code, errs)
	require.Contains(t, out, "admin")
	require.NotContains(t, out, "dfs_")
	info, err := os.Stat(sessionFile())
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, "session", c.reply("whoami")["via"])

	_, annsPassword, _ := strings.Cut(strings.TrimSpace(c.run("user", "add", "ann", "--role", "operator")), "password  ")
	c.run("user", "add", "robot", "--no-password")
	require.Contains(t, c.run("user", "ls"), "tokens only")
	require.Len(t, c.reply("user", "ls", "nn")["users"], 1)
	require.Equal(t, "viewer", c.reply("user", "set", "robot", "--disabled")["role"])
	require.Contains(t, c.run("user", "set", "robot", "--disabled=false"), "enabled")
	code, _, errs = c.try("user", "set", "robot", "--role", "king")
	require.Equal(t, boot.ExitUsage, code, errs)
	code, _, errs = c.try("user", "rm", "robot", "--etag", "1")
	require.Equal(t, boot.ExitOrigin, code, errs)
	denied("last administrator", "user", "rm", "admin")

	file := filepath.Join(t.TempDir(), "token")
	token := c.run("token", "create", "nightly", "--user", "robot", "--scope", "read", "--life", "1h")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	robot := ctl{t, c.managers}
	withToken := func(args ...string) (int, string, string) {
		return robot.try(append([]string{"--token-file", file}, args...)...)
	}
	code, out, _ = withToken("whoami", "--json")
	require.Zero(t, code)
	require.Contains(t, out, `"robot"`)
	code, _, errs = withToken("task", "add", "https://example.org/a")
	require.Equal(t, boot.ExitDenied, code)
	require.Contains(t, errs, "viewer")
	id := c.reply("token", "ls", "--all")["tokens"].([]any)[0].(map[string]any)["id"].(string)
	require.Empty(t, c.reply("token", "ls")["tokens"], "not the caller's own")
	t.Setenv(tokenEnv, strings.TrimSpace(token))
	require.Equal(t, "token", c.reply("whoami")["via"])
	t.Setenv(tokenEnv, "")
	c.run("token", "rm", id)
	code, _, _ = withToken("whoami")
	require.Equal(t, boot.ExitDenied, code)

	c.login("ann", annsPassword)
	denied("operator", "user", "ls")
	c.run("task", "add", "https://example.org/a?sig=secret", "--name", "a")
	code, _, errs = c.typed("wrong\nanother long password\n", "passwd")
	require.Equal(t, boot.ExitDenied, code, errs)
	code, _, errs = c.typed(annsPassword+"\nanother long password\n", "passwd")
	require.Zero(t, code, errs)
	require.Equal(t, "ann", c.reply("whoami")["user"], "this session goes on")
	c.run("logout")
	denied("log in first", "whoami")

	c.login("admin", password)
	log := c.run("audit")
	for _, want := range []string{"AddTask", "name=a", "ChangePassword", "robot", "nightly", "unauthenticated", "127.0.0.1"} {
		require.Contains(t, log, want)
	}
	for _, secret := range []string{password, annsPassword, "wrong", "another long", "dft_", "dfs_", "sig="} {
		require.NotContains(t, log, secret)
	}
	lines := c.reply("audit", "AddTask", "--user", "ann")["lines"].([]any)
	require.Len(t, lines, 1)
	require.Equal(t, "ok", lines[0].(map[string]any)["result"])
	require.Len(t, c.reply("audit", "--limit", "2")["lines"], 2)
}

// A session is shown to the manager that gave it alone.
func TestASessionIsForItsManager(t *testing.T) {
	c, password := startTown(t)
	c.login("admin", password)
	require.NotEmpty(t, mustSecret(t, &app{}, c.managers))
	require.Empty(t, mustSecret(t, &app{}, "127.0.0.1:1"))
	_, err := (&app{tokenFile: "/nonexistent"}).secretFor(c.managers)
	require.Error(t, err)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\nx"), 0o600))
	code, _, errs := c.try("--token-file", empty, "whoami")
	require.Equal(t, boot.ExitUsage, code)
	require.Contains(t, errs, "first line is empty")
	require.NoError(t, os.WriteFile(sessionFile(), []byte("{"), 0o600))
	code, _, errs = c.try("whoami")
	require.Equal(t, boot.ExitUsage, code)
	require.Contains(t, errs, sessionFile())
}

func mustSecret(t *testing.T, a *app, addr string) string {
	s, err := a.secretFor(addr)
	require.NoError(t, err)
	return s
}
