package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/rules"
	"damselfly/scheduler/swarm"
)

// A config is laid over what was given at start, which stays as it is; one with
// a value that makes no sense is refused as a whole.
func TestConfigIsLaidOverTheStart(t *testing.T) {
	start := Options{Limits: rules.Limits{MaxTasks: 9}}.withDefaults()
	c, err := parseConfig(&start, 1, `{"scheduler":{"rules":{"max_versions":3,"max_hosts":5,"rule_of_the_future":1}}}`)
	require.NoError(t, err)
	require.Equal(t, 3, c.swarm.MaxVersions)
	want := rules.DefaultLimits()
	want.MaxTasks, want.MaxHosts = 9, 5
	require.Equal(t, want, c.limits)
	require.Equal(t, swarm.Defaults(), *start.Swarm)
	require.Equal(t, rules.DefaultLimits().MaxHosts, start.Limits.MaxHosts)

	_, err = parseConfig(&start, 1, `{"scheduler":{"rules":{"max_versions":3,"max_hosts":0}}}`)
	require.ErrorContains(t, err, "max_hosts")
	require.Equal(t, pieces.Invalid, pieces.KindOf(err))
}

// The limits on hosts, Tasks and Tasks of a host change while the scheduler
// runs: what is there stays, what comes finds the new ones.
func TestLimitsChangeInARunningScheduler(t *testing.T) {
	f := &fakeManager{serial: 1, config: `{}`, pushed: make(chan *managerpb.GetConfigReply, 1)}
	f.interval = 3600_000
	s := startServer(t, Options{Managers: []string{serveManager(t, f)}, KeepAlive: time.Hour})
	heard := func(version uint64) {
		t.Helper()
		require.Eventually(t, func() bool { return s.config.Load().version == version }, patience, time.Millisecond)
	}
	heard(1)
	serial := uint64(1)
	limit := func(rules string) {
		serial++
		f.pushed <- &managerpb.GetConfigReply{Version: serial, Config: `{"scheduler":{"rules":{` + rules + `}}}`}
		heard(serial)
	}
	full := func(err error, name string) {
		t.Helper()
		require.Equal(t, pieces.Full, pieces.KindOf(err))
		require.ErrorContains(t, err, name)
	}
	urls := 0
	// Contents of one part of the table, so that its share is what counts.
	sameShard := func() content {
		for {
			c := newContent(t, fmt.Sprintf("http://example.com/%d", urls), 2)
			if urls++; s.tasks.shard(c.task.ID) == &s.tasks.shards[0] {
				return c
			}
		}
	}
	d := newDaemon(t, s.addr).open(quick)
	one, two, three := sameShard(), sameShard(), sameShard()
	d.register(one)

	limit(`"max_hosts":1,"max_tasks":64`)
	other := pieces.Host{ID: pieces.NewHostID([16]byte{1}), IP: "127.0.0.1", PeerPort: 1, UploadPort: 1}
	announce := func() error {
		_, err := d.rpc.AnnounceHost(d.ctx(), &schedulerpb.AnnounceHostRequest{Host: wire.HostTo(other)})
		return err
	}
	full(announce(), "max_hosts")
	d.announce() // who is known stays
	_, err := d.tryRegister(two)
	full(err, "max_tasks")
	d.register(one)
	d.want(one, 0, 2)
	next(d, getLease)

	limit(`"max_tasks_per_host":1`) // the others are as they were at start
	require.NoError(t, announce())
	_, err = d.tryRegister(two)
	full(err, "max_tasks_per_host")
	limit(``)
	d.register(two)
	d.register(three)
}
