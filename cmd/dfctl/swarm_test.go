package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/cmd/internal/boot"
	"damselfly/manager"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
)

// screen collects what a watch prints.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// last is the last whole look.
func (s *screen) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	looks := strings.Split(s.text.String(), "\n\n")
	if len(looks) < 2 {
		return ""
	}
	return looks[len(looks)-2]
}

// A person watches a file go from the origin over the seed to the hosts.
func TestASwarmIsWatched(t *testing.T) {
	addr, _ := startManager(t, "sqlite:"+filepath.Join(t.TempDir(), "m.db"), manager.Options{})
	c := ctl{t, addr}
	const hosts, size = 2, 8<<20 + 5
	fleet(t, []string{addr}, hosts)
	require.Eventually(t, func() bool { return len(c.reply("host", "ls", "--active")["hosts"].([]any)) == hosts+1 }, time.Minute, 20*time.Millisecond)
	url, open := gated(t, size)
	require.Contains(t, c.run("swarm", url), "nobody takes part")
	require.Empty(t, c.reply("swarm", url)["swarms"])

	ctx, stop := context.WithCancel(t.Context())
	seen, ended := &screen{}, make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		ended <- boot.Execute(ctx, newCommand(), []string{"--manager", addr, "swarm", url, "--watch=50ms"}, seen, &errs)
	}()
	shows := func(what ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			for _, w := range what {
				if !strings.Contains(seen.last(), w) {
					return false
				}
			}
			return true
		}, time.Minute, 10*time.Millisecond, "%v", what)
	}
	job := c.reply("preheat", url, "--to", "all")["id"].(string)
	shows("3 hosts, 0 of them", "seed", "reads the origin", "FOLLOWS", " 0 %")
	open()
	shows("3 hosts, 3 of them with everything", "100 %", "FROM", "origin")
	require.NotContains(t, seen.last(), "reads the origin")
	stop()
	require.Equal(t, boot.ExitOK, <-ended, "an interrupt is how a watch ends: %s", &errs)
	c.run("job", "wait", job)

	swarm := c.reply("swarm", url)["swarms"].([]any)[0].(map[string]any)
	require.Len(t, swarm["peers"], hosts+1)
	require.Len(t, c.reply("swarm", swarm["task"].(string), "--max-peers", "1")["swarms"].([]any)[0].(map[string]any)["peers"], 1)
	require.Contains(t, c.run("swarm", url, "--max-peers", "1"), "and 2 more")
	code, _, said := c.try("swarm", "x")
	require.Equal(t, boot.ExitUsage, code, said)

	// A scheduler that is listed and does not answer is named.
	conn, err := rpc.Dial(addr, rpc.DialOptions{})
	require.NoError(t, err)
	defer conn.Close()
	_, err = managerpb.NewManagerClient(conn).KeepAlive(t.Context(), &managerpb.KeepAliveRequest{Kind: managerpb.NodeKind_SCHEDULER, Address: "127.0.0.1:1"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(c.run("traffic"), "127.0.0.1:1 does not answer") }, time.Minute, 20*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(c.run("swarm", url), "127.0.0.1:1 does not answer") }, time.Minute, 20*time.Millisecond)
	r := c.reply("traffic")
	require.Equal(t, []any{"127.0.0.1:1"}, r["silent"])
	totals := r["schedulers"].([]any)[0].(map[string]any)
	require.Equal(t, "8388613", totals["origin_bytes"])
	require.Regexp(t, `SAVED\n127.* 8 MiB .* 6\d %\n`, c.run("traffic"), "two thirds came from hosts")
}

func TestTrafficOfSeveralSchedulersIsSummedUp(t *testing.T) {
	var b bytes.Buffer
	tb := newTable(&b)
	printTraffic(tb, &managerpb.Traffic{Schedulers: []*commonpb.SchedulerTotals{
		{Scheduler: "a:1", OriginBytes: 1 << 20, PeerBytes: 2 << 20, SeedBytes: 1 << 20, UptimeSeconds: 7200, ConfigVersion: 3},
		{Scheduler: "b:1\x1b[2J"},
	}, Silent: []string{"c:1"}})
	require.NoError(t, tb.flush())
	require.Equal(t, []string{
		"SCHEDULER   UP  CONFIG  TASKS  HOSTS  ORIGIN  SEEDS  HOSTS GAVE  SAVED",
		"a:1         2h  v3      0      0      1 MiB   1 MiB  2 MiB       75 %",
		`b:1\x1b[2J  0s  v0      0      0      0 B     0 B    0 B         -`,
		"all         -   -       -      -      1 MiB   1 MiB  2 MiB       75 %",
		"scheduler c:1 does not answer",
	}, strings.Split(strings.TrimSpace(b.String()), "\n"))
}

func TestSavedOfVeryMuch(t *testing.T) {
	require.Equal(t, "75 %", saved(&commonpb.SchedulerTotals{OriginBytes: math.MaxInt64 / 4, SeedBytes: math.MaxInt64 / 4, PeerBytes: math.MaxInt64 / 2}))
	require.Empty(t, saved(&commonpb.SchedulerTotals{}))
}

// Versions stand apart from each other.
func TestTwoVersionsOfATask(t *testing.T) {
	var b bytes.Buffer
	tb := newTable(&b)
	printSwarms(tb, &managerpb.TaskSwarm{Swarms: []*commonpb.Swarm{{Version: "new", Scheduler: "a:1"}, {Version: "old", Scheduler: "a:1", Replaced: true}}})
	require.NoError(t, tb.flush())
	require.Equal(t, []string{
		"version new at a:1: 0 B in 0 pieces, 0 hosts, 0 of them with everything",
		"HOST  TYPE  STATE  HOLDS  GETS  GIVES  FOLLOWS",
		"",
		"version old at a:1 (replaced): 0 B in 0 pieces, 0 hosts, 0 of them with everything",
		"HOST  TYPE  STATE  HOLDS  GETS  GIVES  FOLLOWS",
	}, strings.Split(strings.TrimSpace(b.String()), "\n"))
}

// A watch outlives a manager that does not answer for a moment, but not
// anything else, nor one that never did.
func TestAWatchGoesOnWithoutAManager(t *testing.T) {
	down, wrong := pieces.Errorf(pieces.Unavailable, "no manager"), pieces.Errorf(pieces.Denied, "no")
	for name, c := range map[string]struct {
		json bool
		say  []error
		want string
		err  error
	}{
		"goes on":     {say: []error{nil, down, nil, wrong}, want: "look\n\nno manager\n\nlook\n", err: wrong},
		"as json":     {json: true, say: []error{nil, down, nil, wrong}, want: "look\nlook\n", err: wrong},
		"never there": {say: []error{down}, err: down},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			a := &app{json: c.json, out: &b}
			n := 0
			err := (&watch{every: time.Millisecond}).run(t.Context(), a, func(context.Context) error {
				require.False(t, strings.HasSuffix(b.String(), "\n\n"), "the screen is not cleared before there is something to see")
				err := c.say[n]
				if n++; err == nil {
					fmt.Fprintln(a.out, "look")
				}
				return err
			})
			require.Equal(t, c.err, err)
			require.Len(t, c.say, n)
			require.Equal(t, c.want, b.String())
		})
	}
	a := &app{out: &bytes.Buffer{}}
	require.Equal(t, pieces.Invalid, pieces.KindOf((&watch{every: -1}).run(t.Context(), a, nil)))
	ctx, stop := context.WithCancel(t.Context())
	require.NoError(t, (&watch{every: time.Hour}).run(ctx, a, func(context.Context) error { stop(); return errors.New("interrupted") }))
}

// Each look of a watch is one line of JSON.
func TestAWatchInJSON(t *testing.T) {
	addr, _ := startManager(t, "sqlite:"+filepath.Join(t.TempDir(), "m.db"), manager.Options{})
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := &screen{}, make(chan int, 1)
	go func() {
		ended <- boot.Execute(ctx, newCommand(), []string{"--manager", addr, "--json", "traffic", "-w=1ms"}, seen, &bytes.Buffer{})
	}()
	count := func() []string {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		return strings.SplitAfter(seen.text.String(), "\n")
	}
	require.Eventually(t, func() bool { return len(count()) > 3 }, time.Minute, time.Millisecond)
	stop()
	require.Zero(t, <-ended)
	all := count()
	for _, line := range all[:len(all)-1] {
		require.True(t, json.Valid([]byte(line)), line)
	}
}
