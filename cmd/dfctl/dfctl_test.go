package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/cmd/internal/cluster"
	"damselfly/cmd/internal/e2e/content"
	"damselfly/daemon"
	"damselfly/manager"
	"damselfly/manager/jobs"
	"damselfly/manager/store"
	"damselfly/manager/store/pgtest"
	"damselfly/proto/rpc"
	"damselfly/scheduler"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// startManager runs a manager on a database and answers its address; kill ends
// it as a kill would: its leases are not given back.
func startManager(t *testing.T, database string, o manager.Options) (addr string, kill func()) {
	o.LocalAdmin = true
	return startManagerAt(t, "127.0.0.1:0", database, o)
}

func startManagerAt(t *testing.T, at, database string, o manager.Options) (addr string, kill func()) {
	db, err := store.Open(t.Context(), database)
	require.NoError(t, err)
	o.Store = db
	m, err := manager.New(o)
	require.NoError(t, err)
	lis, err := net.Listen("tcp", at)
	require.NoError(t, err)
	srv := rpc.NewServer(rpc.ServerOptions{StopTimeout: time.Millisecond})
	m.Register(srv)
	m.RegisterAdmin(srv)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() { srv.Serve(ctx, lis); done <- struct{}{} }()
	go func() { m.Run(ctx); done <- struct{}{} }()
	var ended atomic.Bool
	kill = func() {
		if !ended.Swap(true) {
			db.Close() // first, so that nothing it still says is heard
			cancel()
			<-done
			<-done
		}
	}
	t.Cleanup(kill)
	return lis.Addr().String(), kill
}

// ctl runs dfctl and answers its exit code and what it printed.
type ctl struct {
	t        *testing.T
	managers string
}

func (c ctl) try(args ...string) (code int, out, errs string) {
	c.t.Helper()
	var o, e bytes.Buffer
	code = boot.Execute(c.t.Context(), newCommand(), append([]string{"--manager", c.managers}, args...), &o, &e)
	return code, o.String(), e.String()
}

func (c ctl) run(args ...string) string {
	c.t.Helper()
	code, out, errs := c.try(args...)
	require.Zero(c.t, code, "%v: %s", args, errs)
	return out
}

// reply is run with --json, read into a map.
func (c ctl) reply(args ...string) (m map[string]any) {
	c.t.Helper()
	require.NoError(c.t, json.Unmarshal([]byte(c.run(append(args, "--json")...)), &m))
	return m
}

func TestClustersHostsAndTasksFromTheCommandLine(t *testing.T) {
	addr, _ := startManager(t, "sqlite:"+filepath.Join(t.TempDir(), "m.db"), manager.Options{Version: "v9"})
	c := ctl{t, "127.0.0.1:1," + addr} // the first does not answer
	require.Contains(t, c.run("overview"), "v9")
	require.Contains(t, c.run("cluster", "create", "eu", "--cidr", "10.0.0.0/8", "--idc", "fra,ams"), "fra ams")
	c.run("cluster", "set", "eu", "--description", "y")
	require.Equal(t, `y\x1b[2J`, visible("y\x1b[2J"), "a terminal obeys nothing of what others wrote")
	_, _, errs := c.try("cluster", "set", "eu", "--etag", "1")
	require.Contains(t, errs, "revision 2")
	require.Contains(t, c.run("cluster", "ls"), "eu")

	file := filepath.Join(t.TempDir(), "c.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"scheduler":{"candidate_parent_limit":6}}`), 0o600))
	require.Contains(t, c.run("config", "set", "eu", file), "v2")
	require.Contains(t, c.run("config", "get", "eu"), `"candidate_parent_limit": 6`)
	require.JSONEq(t, `{"scheduler":{"candidate_parent_limit":6}}`, c.run("config", "get", "eu", "--changes"))
	c.run("cluster", "rm", "eu")

	id := c.reply("task", "add", "https://example.org/a", "--name", "a", "--tag", "t")["id"].(string)
	require.Contains(t, c.run("task", "ls", "EXAMPLE"), id[:12])
	require.Contains(t, c.run("task", "expire", id, "2h"), "in 1h")
	require.Contains(t, c.run("task", "show", id), "https://example.org/a")
	c.run("task", "unname", "a")
	c.run("task", "rm", id)
	require.Empty(t, c.reply("task", "ls")["tasks"])
	require.Contains(t, c.run("host", "ls"), "HOSTNAME")
	require.Contains(t, c.run("scheduler", "ls"), "ADDRESS")

	for _, bad := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"task", "show", id}, boot.ExitOrigin, "not in the catalogue"},
		{[]string{"task", "add", "https://u:hunter2@example.org/a"}, boot.ExitUsage, "credential"},
		{[]string{"task"}, boot.ExitUsage, "want one of its commands"},
		{[]string{"task", "wash"}, boot.ExitUsage, ""},
		{[]string{"task", "show"}, boot.ExitUsage, "want the id of a task"},
		{[]string{"preheat", "https://example.org/a", "--to", "moon"}, boot.ExitUsage, "--to"},
		{[]string{"preheat"}, boot.ExitUsage, "want URLs"},
		{[]string{"collect"}, boot.ExitUsage, "want --to"},
		{[]string{"config", "set", "eu", "/nonexistent"}, boot.ExitUsage, "/nonexistent"},
		{[]string{"host", "show", "x"}, boot.ExitUsage, ""},
	} {
		code, out, errs := c.try(bad.args...)
		require.Equal(t, bad.code, code, "%v: %s", bad.args, errs)
		require.Contains(t, errs, bad.want)
		require.NotContains(t, out+errs, "hunter2")
		require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	}
	code, _, errs := ctl{t, "127.0.0.1:1"}.try("overview")
	require.Equal(t, boot.ExitFailed, code)
	require.Contains(t, errs, "127.0.0.1:1")
}

// origin serves one file and counts the bytes it sent.
func origin(t *testing.T, size int64) (url string, sent *atomic.Int64) {
	sent = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(&counted{w, sent}, r, "f", time.Time{}, content.New(7, "f", size).Reader())
	}))
	t.Cleanup(s.Close)
	return s.URL + "/f", sent
}

type counted struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// fleet is a cluster of one scheduler, a seed and hosts that keep themselves
// alive at the managers.
func fleet(t *testing.T, managers []string, hosts int) *cluster.Cluster {
	c := cluster.With(t, 1, func(o *scheduler.Options) { o.Managers = managers })
	for i := range hosts + 1 {
		c.Host(func(o *daemon.Options) {
			o.Managers, o.Seed = managers, i == 0
			o.Labels = map[string]string{"n": fmt.Sprint(i)}
		})
	}
	return c
}

func TestAPreheatToAllHostsAndBack(t *testing.T) {
	addr, _ := startManager(t, "sqlite:"+filepath.Join(t.TempDir(), "m.db"), manager.Options{})
	c := ctl{t, addr}
	const hosts, size = 3, 8<<20 + 5
	fleet(t, []string{addr}, hosts)
	require.Eventually(t, func() bool { return len(c.reply("host", "ls", "--active")["hosts"].([]any)) == hosts+1 }, time.Minute, 20*time.Millisecond)
	url, sent := origin(t, size)
	list := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(list, []byte("# files\n\n"+url+"\n"), 0o600))

	j := c.reply("preheat", "--list", list, "--to", "all", "--wait")
	require.Equal(t, "succeeded", j["state"])
	require.Equal(t, map[string]any{"succeeded": float64(hosts + 1)}, j["items"])
	require.EqualValues(t, size, sent.Load(), "the origin is read once")
	id := j["task_ids"].([]any)[0].(string)
	require.Contains(t, c.run("job", "items", j["id"].(string)), "8 MiB of 8 MiB")
	known := c.reply("task", "show", id)["known"].(map[string]any)
	require.Equal(t, fmt.Sprint(size), known["size"], "the catalogue knows the version")

	holds := func() (n int) {
		j := c.reply("holders", id, "--wait")
		for _, i := range c.reply("job", "items", j["id"].(string))["items"].([]any) {
			for _, v := range i.(map[string]any)["result"].(map[string]any)["versions"].([]any) {
				if v := v.(map[string]any); v["bytes"] == float64(size) {
					require.Equal(t, []any{[]any{0.0, v["count"]}}, v["extents"])
					n++
				}
			}
		}
		return n
	}
	require.Equal(t, hosts+1, holds())
	j = c.reply("collect", "--to", "label:n=2", "--wait")
	require.Equal(t, fmt.Sprint(size), j["done"])
	require.Equal(t, hosts, holds())
	j = c.reply("preheat", id, "--to", "label:n=2", "--wait")
	require.Equal(t, map[string]any{"succeeded": 1.0}, j["items"])
	require.EqualValues(t, size, sent.Load(), "peers had it")
	c.run("delete", id, "--wait")
	require.Zero(t, holds())
	code, _, _ := c.try("task", "show", id)
	require.Equal(t, boot.ExitOrigin, code)
}

// gated serves a file of which only what comes with the facts can be had until
// open is called.
func gated(t *testing.T, size int64) (url string, open func()) {
	gate := make(chan struct{})
	open = sync.OnceFunc(func() { close(gate) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "bytes=0-65535" {
			select {
			case <-gate:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "f", time.Time{}, content.New(7, "f", size).Reader())
	}))
	t.Cleanup(s.Close)
	t.Cleanup(open) // s.Close waits for answers
	return s.URL + "/f", open
}

// The manager that runs a preheat is killed; the other finishes it, and hosts
// notice nothing.
func TestAPreheatOutlivesItsManager(t *testing.T) {
	database := pgtest.New(t)
	quick := manager.Options{Jobs: jobs.Options{Lease: time.Second, Renew: 50 * time.Millisecond, Poll: 50 * time.Millisecond}}
	first, kill := startManager(t, database, quick)
	url, open := gated(t, 24<<20) // until the first is killed, in the middle
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	second := lis.Addr().String()
	require.NoError(t, lis.Close())
	fleet(t, []string{first, second}, 2)
	c := ctl{t, first}
	require.Eventually(t, func() bool { return len(c.reply("host", "ls", "--active")["hosts"].([]any)) == 3 }, time.Minute, 20*time.Millisecond)
	id := c.reply("preheat", url, "--to", "all")["id"].(string)
	require.Eventually(t, func() bool {
		items, _ := c.reply("job", "show", id)["items"].(map[string]any)
		return items["running"] == 3.0
	}, time.Minute, 20*time.Millisecond)
	quick.LocalAdmin = true
	startManagerAt(t, second, database, quick)
	kill()
	at := time.Now()
	open()
	c.managers = second
	j := c.reply("job", "wait", id)
	t.Logf("finished %s after the kill, with leases of 1 s", time.Since(at))
	require.Equal(t, "succeeded", j["state"])
	require.Equal(t, map[string]any{"succeeded": 3.0}, j["items"])
}
