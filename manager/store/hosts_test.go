package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

func TestNodesLiveByTheirBeats(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		last, err := s.LastSeen(ctx)
		require.NoError(t, err)
		require.True(t, last.IsZero())

		early, late := now, now.Add(10*time.Second)
		a := Scheduler{Cluster: "default", Address: "a:8002", Version: "v1", Seen: early}
		b := Scheduler{Cluster: "default", Address: "b:8002", Version: "v1", Seen: late}
		p := Host{Cluster: "default", Host: seed(1), Added: late, Seen: late}
		other := Host{Cluster: "other", Host: seed(2), Added: late, Seen: late}
		normal := Host{Cluster: "default", Host: seed(3), Added: late, Seen: late}
		normal.Host.Type = pieces.NormalHost
		require.NoError(t, s.Beat(ctx, []Scheduler{b, a}, []Host{p, other, normal}, nil))
		got, err := s.Schedulers(ctx, early)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a, b}, got)
		got, err = s.Schedulers(ctx, early.Add(time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, []Scheduler{b}, got)
		seeds := func() []Host {
			seeds, err := s.Hosts(ctx, HostFilter{Cluster: "default", Seeds: true, Since: late}, "", 100)
			require.NoError(t, err)
			return seeds
		}
		require.Equal(t, []Host{p}, seeds())
		last, err = s.LastSeen(ctx)
		require.NoError(t, err)
		require.Equal(t, late, last)
		c, err := s.Count(ctx, late)
		require.NoError(t, err)
		require.Equal(t, Counts{Hosts: 3, Seeds: 2, AllHosts: 3, Schedulers: 1}, c)

		// A later beat wins over an earlier one that arrives after it.
		a.Seen, a.Version = late, "v2"
		p.Host.IP, p.Seen = "10.0.0.9", late.Add(time.Second)
		require.NoError(t, s.Beat(ctx, []Scheduler{a}, []Host{p}, nil))
		stale, staleHost := Scheduler{Cluster: "default", Address: "a:8002", Version: "v0", Seen: early}, p
		staleHost.Host.IP, staleHost.Seen = "10.0.0.1", early
		require.NoError(t, s.Beat(ctx, []Scheduler{stale}, []Host{staleHost}, nil))
		require.NoError(t, s.Beat(ctx, nil, nil, []Host{staleHost}))
		got, err = s.Schedulers(ctx, late)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a, b}, got)
		require.Equal(t, []Host{p}, seeds())

		require.NoError(t, s.RemoveScheduler(ctx, "default", "b:8002"))
		require.NoError(t, s.RemoveHost(ctx, p.Host.ID))
		require.NoError(t, s.RemoveHost(ctx, p.Host.ID), "again is no error")
		got, err = s.Schedulers(ctx, early)
		require.NoError(t, err)
		require.Equal(t, []Scheduler{a}, got)
		require.Empty(t, seeds())

		require.NoError(t, s.Forget(ctx, late))
		_, err = s.Host(ctx, other.Host.ID)
		require.NoError(t, err)
		require.NoError(t, s.Forget(ctx, late.Add(time.Millisecond)))
		last, err = s.LastSeen(ctx)
		require.NoError(t, err)
		require.True(t, last.IsZero())
	})
}

// Beats of hosts that say nothing new are one statement; who was taken off
// meanwhile comes back whole.
func TestBeatsWithoutNewsBringBackWhoIsMissing(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		var hosts []Host
		for i := range 50 {
			hosts = append(hosts, Host{Cluster: "default", Host: seed(byte(i)), Added: now, Seen: now})
		}
		require.NoError(t, s.Beat(ctx, nil, hosts, nil))
		require.NoError(t, s.RemoveHost(ctx, hosts[7].Host.ID))
		for i := range hosts {
			hosts[i].Seen = now.Add(time.Duration(i) * time.Millisecond)
		}
		hosts[7].Added = hosts[7].Seen
		require.NoError(t, s.Beat(ctx, nil, nil, hosts))
		got, err := s.Hosts(ctx, HostFilter{}, "", 100)
		require.NoError(t, err)
		require.ElementsMatch(t, hosts, got)
	})
}

func TestHostsAreFoundAndComeInPages(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		var hosts []Host
		for i := range 5 {
			h := Host{Cluster: "default", Host: seed(byte(i)), Seen: now}
			h.Host.Hostname, h.Host.IP = fmt.Sprintf("Node-%d_%%", i), fmt.Sprintf("10.0.0.%d", i)
			hosts = append(hosts, h)
		}
		require.NoError(t, s.Beat(ctx, nil, hosts, nil))
		var got []string
		for after := pieces.HostID(""); ; {
			page, err := s.Hosts(ctx, HostFilter{}, after, 2)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, h := range page {
				got = append(got, h.Host.Hostname)
			}
			after = page[len(page)-1].Host.ID
		}
		require.Len(t, got, 5)
		for search, want := range map[string]int{
			"node-3": 1, "NODE": 5, "10.0.0.4": 1, "_%": 5, "%": 5, "e%": 0, `\`: 0, "' OR 1=1 --": 0, string(hosts[2].Host.ID): 1,
		} {
			found, err := s.Hosts(ctx, HostFilter{Search: search}, "", 100)
			require.NoError(t, err)
			require.Len(t, found, want, search)
		}
		_, err := s.Host(ctx, "nobody")
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	})
}

func TestClustersHaveRevisions(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		all, err := s.Clusters(ctx)
		require.NoError(t, err)
		require.Equal(t, []Cluster{{Name: "default", Revision: 1}}, all)
		c := Cluster{Name: "eu", Description: "x", Created: now, Revision: 1, Scopes: Scopes{CIDRs: []string{"10.0.0.0/8"}, IDCs: []string{"a"}}}
		require.NoError(t, s.AddCluster(ctx, c))
		require.Equal(t, pieces.Exists, pieces.KindOf(s.AddCluster(ctx, c)))
		got, err := s.Cluster(ctx, "eu")
		require.NoError(t, err)
		require.Equal(t, c, got)

		c.Description = "y"
		require.NoError(t, s.ChangeCluster(ctx, c))
		err = s.ChangeCluster(ctx, c)
		require.Equal(t, pieces.Changed, pieces.KindOf(err), "the revision is old")
		require.ErrorContains(t, err, "revision 2")
		_, err = s.PutConfig(ctx, "eu", `{"a":1}`, 0)
		require.NoError(t, err)
		require.Equal(t, pieces.Changed, pieces.KindOf(s.RemoveCluster(ctx, "eu", 2)), "its config changed")
		require.NoError(t, s.RemoveCluster(ctx, "eu", 3))
		for _, err := range []error{s.RemoveCluster(ctx, "eu", 3), s.ChangeCluster(ctx, c)} {
			require.Equal(t, pieces.NotFound, pieces.KindOf(err))
		}
	})
}
