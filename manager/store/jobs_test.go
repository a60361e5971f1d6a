package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"damselfly/pieces"
)

const long = time.Hour // a lease that does not end in a test

func addJob(t *testing.T, s *Store, id string) {
	require.NoError(t, s.AddJob(t.Context(), Job{ID: id, Kind: "preheat", Cluster: "default", Spec: `{"x":1}`, Created: now, Timeout: time.Minute}))
}

func claim(t *testing.T, s *Store, owner string, lease time.Duration) Job {
	t.Helper()
	j, ok, err := s.Claim(t.Context(), owner, lease, now)
	require.NoError(t, err)
	require.True(t, ok)
	return j
}

func TestAJobFromItsStartToItsEnd(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		_, ok, err := s.Claim(ctx, "m1", long, now)
		require.NoError(t, err)
		require.False(t, ok, "there is none")
		addJob(t, s, "a")
		j := claim(t, s, "m1", long)
		require.Equal(t, Job{ID: "a", Kind: "preheat", Cluster: "default", Spec: `{"x":1}`, State: Running, Created: now, Started: now,
			Timeout: time.Minute, Owner: "m1", Fence: 1, Revision: 2}, j)
		_, ok, err = s.Claim(ctx, "m2", long, now)
		require.NoError(t, err)
		require.False(t, ok, "m1 has it")

		items := []JobItem{{Number: 1, Task: "t", Host: "h1", Hostname: "one"}, {Number: 2, Task: "t", Host: "h2", Hostname: "two"}, {Number: 3, Host: "h3"}}
		require.NoError(t, s.Plan(ctx, "a", j.Fence, items, now))
		items[0].State, items[0].Done, items[0].Total, items[0].Result, items[0].Updated = Succeeded, 10, 10, `{"a":1}`, now.Add(time.Second)
		items[1].State, items[1].Done, items[1].Total, items[1].Result, items[1].Error, items[1].Attempts = Failed, 3, 10, `{}`, "host is gone", 3
		items[1].Updated = now
		require.NoError(t, s.PutItems(ctx, "a", j.Fence, items[:2]))
		got, err := s.Items(ctx, "a", "", 0, 2)
		require.NoError(t, err)
		require.Equal(t, items[:2], got)
		got, err = s.Items(ctx, "a", Waiting, 0, 10)
		require.NoError(t, err)
		require.Equal(t, []JobItem{{Number: 3, Host: "h3", State: Waiting, Total: -1, Result: "{}", Updated: now}}, got)
		j, err = s.Job(ctx, "a")
		require.NoError(t, err)
		require.True(t, j.Planned)
		require.Equal(t, map[JobState]int{Succeeded: 1, Failed: 1, Waiting: 1}, j.Counts)
		require.Equal(t, []int64{13, 20}, []int64{j.Done, j.Total})

		require.NoError(t, s.Finish(ctx, "a", j.Fence, Failed, "1 of 3 failed", now))
		j, err = s.Job(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, map[JobState]int{Succeeded: 1, Failed: 2}, j.Counts)
		require.Equal(t, []any{Failed, "1 of 3 failed", "", now}, []any{j.State, j.Error, j.Owner, j.Finished})

		require.Equal(t, pieces.Changed, pieces.KindOf(s.RetryJob(ctx, "a", j.Revision+1)))
		require.NoError(t, s.RetryJob(ctx, "a", j.Revision))
		require.NoError(t, s.RetryJob(ctx, "a", 0), "again is no error")
		j = claim(t, s, "m2", long)
		require.True(t, j.Planned)
		got, err = s.Items(ctx, "a", Waiting, 0, 10)
		require.NoError(t, err)
		require.Len(t, got, 2, "what had succeeded stays")
		require.Zero(t, got[0].Attempts)
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.RetryJob(ctx, "z", 0)))
	})
}

func TestWhoLostItsLeaseWritesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		addJob(t, s, "a")
		old := claim(t, s, "m1", -time.Second) // a lease that has ended already
		next := claim(t, s, "m2", long)
		require.Equal(t, old.Fence+1, next.Fence)
		_, err := s.Renew(ctx, "a", old.Fence, long)
		for what, err := range map[string]error{
			"renew": err, "plan": s.Plan(ctx, "a", old.Fence, nil, now),
			"put": s.PutItems(ctx, "a", old.Fence, []JobItem{{Number: 1}}), "finish": s.Finish(ctx, "a", old.Fence, Failed, "", now),
		} {
			require.Equal(t, pieces.Changed, pieces.KindOf(err), what)
		}
		require.NoError(t, s.Release(ctx, "a", old.Fence))
		_, ok, err := s.Claim(ctx, "m3", long, now)
		require.NoError(t, err)
		require.False(t, ok, "m2 still has it")

		canceled, err := s.Renew(ctx, "a", next.Fence, long)
		require.NoError(t, err)
		require.False(t, canceled)
		require.NoError(t, s.CancelJob(ctx, "a", 0))
		require.NoError(t, s.CancelJob(ctx, "a", 0), "again is no error")
		canceled, err = s.Renew(ctx, "a", next.Fence, long)
		require.NoError(t, err)
		require.True(t, canceled)
		require.NoError(t, s.Release(ctx, "a", next.Fence))
		require.Equal(t, next.Fence+1, claim(t, s, "m3", long).Fence)
		require.Equal(t, pieces.NotFound, pieces.KindOf(s.CancelJob(ctx, "z", 0)))
		require.Equal(t, pieces.Changed, pieces.KindOf(s.CancelJob(ctx, "a", 77)))
	})
}

// Many managers claim at once: each job has one owner.
func TestJobsUnderRace(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		stores := []*Store{open(), open()}
		const jobs, managers = 20, 6
		for i := range jobs {
			addJob(t, stores[0], string(rune('a'+i)))
		}
		var mu sync.Mutex
		owners := map[string]int{}
		var all sync.WaitGroup
		for m := range managers {
			all.Go(func() {
				for misses := 0; misses < 50; {
					j, ok, err := stores[m%2].Claim(context.Background(), "m", long, now)
					if err != nil {
						t.Error(err)
						return
					}
					if !ok {
						misses++
						continue
					}
					mu.Lock()
					owners[j.ID]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		require.Len(t, owners, jobs)
		for id, n := range owners {
			require.Equal(t, 1, n, id)
		}
	})
}

func TestJobsAreListedAndForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, open func() *Store) {
		s, ctx := open(), t.Context()
		for _, id := range []string{"a", "b", "c"} {
			addJob(t, s, id)
		}
		j := claim(t, s, "m", long)
		require.Equal(t, "a", j.ID, "the oldest first")
		require.NoError(t, s.Finish(ctx, "a", j.Fence, Succeeded, "", now))
		list := func(f JobFilter, before string, n int) (ids []string) {
			jobs, err := s.Jobs(ctx, f, before, n)
			require.NoError(t, err)
			for _, j := range jobs {
				ids = append(ids, j.ID)
			}
			return ids
		}
		require.Equal(t, []string{"c", "b"}, list(JobFilter{}, "", 2))
		require.Equal(t, []string{"a"}, list(JobFilter{}, "b", 2))
		require.Equal(t, []string{"c", "b"}, list(JobFilter{State: Queued, Kind: "preheat", Cluster: "default"}, "", 9))
		require.Empty(t, list(JobFilter{Cluster: "eu"}, "", 9))
		n, err := s.RemoveJobs(ctx, now.Add(time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []string{"c", "b"}, list(JobFilter{}, "", 9))
		_, err = s.Job(ctx, "a")
		require.Equal(t, pieces.NotFound, pieces.KindOf(err))
	})
}
