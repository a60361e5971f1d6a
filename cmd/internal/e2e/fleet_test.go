package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
	"damselfly/cmd/internal/e2e/origin"
	"damselfly/daemon/upload"
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// opener is a simulated host that opens a file and reads all of it: it asks
// for everything, takes as held what the scheduler says somebody holds, checks
// the digests it is given, and reads from the origin what is leased to it.
type opener struct {
	*simulated
	task  *pieces.Task
	f     content.File
	sums  []pieces.Sum // right ones
	facts pieces.Facts
	geo   pieces.Geometry

	// Of the stream's goroutine.
	held, known pieces.Set
	result      chan error
}

// ask learns the facts, as a lookup does.
func (o *opener) ask(ctx context.Context) error {
	m := &schedulerpb.StatTaskRequest{HostId: string(o.ID), Task: wire.TaskTo(o.task), CanFetch: true, OwnerTried: true}
	for {
		r, err := o.rpc.StatTask(ctx, m)
		switch {
		case err != nil:
			return err
		case r.Facts != nil:
			o.facts, err = wire.FactsFrom(r.Facts)
			return err
		case r.LeaseId != 0:
			m.LeaseId = r.LeaseId
			head, etag, err := o.fromOrigin(ctx, 0, 64*kiB, nil)
			if err != nil {
				return err
			}
			if err := o.f.Check(head, 0); err != nil {
				return err
			}
			m.Facts = wire.FactsTo(pieces.Facts{Size: o.f.Size, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: etag}})
		default:
			time.Sleep(time.Duration(r.WaitMs) * time.Millisecond)
		}
	}
}

// fromOrigin reads a range; progress, if not nil, hears of each part of it.
func (o *opener) fromOrigin(ctx context.Context, off, n int64, progress func(so int64) error) (b []byte, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.task.URL, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	resp, err := o.w.origin.Host.Client().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b = make([]byte, n)
	for done := int64(0); done < n; {
		part := min(n-done, 256*kiB)
		if _, err := io.ReadFull(resp.Body, b[done:done+part]); err != nil {
			return nil, "", err
		}
		if done += part; progress != nil {
			if err := progress(done); err != nil {
				return nil, "", err
			}
		}
	}
	return b, resp.Header.Get("ETag"), nil
}

// run opens the file and reports in result how reading it ended.
func (o *opener) run(ctx context.Context) error {
	if err := o.ask(ctx); err != nil {
		return fmt.Errorf("facts: %w", err)
	}
	var err error
	if o.geo, err = o.facts.Geometry(); err != nil {
		return err
	}
	if _, err := o.register(ctx, o.task); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := o.tell(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Want{Want: &schedulerpb.Want{
		Extents: wire.ExtentsTo([]pieces.Extent{o.geo.All()}), Class: schedulerpb.Class_WINDOW}}}); err != nil {
		return err
	}
	select {
	case err = <-o.result:
	case <-ctx.Done():
		err = fmt.Errorf("it waits still: %w", context.Cause(ctx))
	}
	return err
}

// tell says something as the file's Peer.
func (o *opener) tell(m *schedulerpb.PeerMessage) error {
	m.Task, m.Version = string(o.task.ID), string(o.facts.VersionID())
	return o.say(m)
}

// hear takes what the scheduler says, until all is held and all digests known.
func (o *opener) hear(m *schedulerpb.SchedulerMessage) bool {
	err := o.take(m)
	all := o.held.Count() == len(o.sums) && o.known.Count() == len(o.sums)
	if err != nil || all {
		o.result <- err
	}
	return err == nil && !all
}

func (o *opener) take(m *schedulerpb.SchedulerMessage) error {
	switch {
	case m.GetDigests() != nil:
		runs, err := wire.SumRunsFrom(m.GetDigests().Sums)
		if err != nil {
			return err
		}
		for _, run := range runs {
			for i, sum := range run.Sums {
				if p := run.First + i; sum != o.sums[p] {
					return fmt.Errorf("wrong digest for piece %d", p)
				}
				o.known.Add(run.First + i)
			}
		}
	case m.GetHolders() != nil:
		var got []*commonpb.Extent
		for _, h := range m.GetHolders().Holders {
			es, err := wire.ExtentsFrom(h.Held)
			if err != nil {
				return err
			}
			for _, e := range es {
				if o.held.AddExtent(e) > 0 {
					got = append(got, wire.ExtentsTo([]pieces.Extent{e})...)
				}
			}
		}
		if len(got) > 0 {
			return o.tell(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{Extents: got}}})
		}
	case m.GetLease() != nil:
		return o.lent(m.GetLease())
	case m.GetOriginError() != nil, m.GetRejected() != nil, m.GetMoved() != nil:
		return fmt.Errorf("the scheduler says %v", m)
	}
	return nil
}

// lent reads a leased extent.
func (o *opener) lent(l *schedulerpb.Lease) error {
	es, err := wire.ExtentsFrom([]*commonpb.Extent{l.Extent})
	if err != nil {
		return err
	}
	off, n := o.geo.Bytes(es[0])
	b, _, err := o.fromOrigin(o.w.ctx, off, n, func(so int64) error {
		return o.tell(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_LeaseProgress{LeaseProgress: &schedulerpb.LeaseProgress{LeaseId: l.Id, Bytes: so}}})
	})
	if err != nil {
		return err
	}
	if err := o.f.Check(b, off); err != nil {
		return err
	}
	o.held.AddExtent(es[0])
	o.known.AddExtent(es[0])
	return o.tell(&schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Held{Held: &schedulerpb.Held{
		Extents: []*commonpb.Extent{l.Extent}, LeaseId: l.Id,
		Sums: wire.SumRunsTo([]pieces.SumRun{{First: es[0].First, Sums: o.sums[es[0].First:es[0].End]}})}}})
}

// A thousand hosts open and read a cold file in the same second: the origin
// reads each byte once, and everybody learns where every piece is, and its
// right digest.
func TestThousandHostsOpenAColdFile(t *testing.T) {
	const hosts = 1000
	w := newWorld(t, 3*time.Minute)
	// A thousand hosts in one process may all be late at once.
	times := filepath.Join(w.lab.Dir, "scheduler.yaml")
	w.ok(os.WriteFile(times, []byte("times: {heartbeat: 10s}\n"), 0o644))
	s, err := w.host("sched").StartScheduler(w.ctx, "--config", times)
	w.ok(err)
	// So slow that everybody comes before the end.
	seedDaemon := w.daemon("seed", lab.DaemonOptions{Seed: true, Schedulers: []string{s.Addr}, Extra: []string{"--origin-rate", "8MiB"}})
	f, url := w.serve("thousand.bin", 16*miB)
	geo, err := pieces.GeometryOf(f.Size)
	w.ok(err)
	sums := make([]pieces.Sum, geo.Count())
	for i := range sums {
		b := make([]byte, geo.Len(i))
		_, err := f.ReadAt(b, geo.Offset(i))
		w.ok(err)
		sums[i] = pieces.SumOf(b)
	}

	from, task := w.host("crowd"), w.task(url)
	all := make([]*opener, hosts)
	var joining errgroup.Group
	joining.SetLimit(50)
	for i := range all {
		joining.Go(func() error {
			h, err := w.simulate(w.ctx, from, s, i)
			if err != nil {
				return err
			}
			o := &opener{simulated: h, task: task, f: f, sums: sums, result: make(chan error, 1)}
			all[i] = o
			return h.open(w.ctx, o.hear, func(err error) { o.result <- fmt.Errorf("its session: %w", err) })
		})
	}
	w.ok(joining.Wait())
	defer func() {
		var leaving errgroup.Group
		for _, o := range all {
			leaving.Go(func() error { o.stop(); return nil })
		}
		_ = leaving.Wait()
	}()

	var reading errgroup.Group
	var asked atomic.Int64
	gate := make(chan struct{})
	for _, o := range all {
		reading.Go(func() error {
			<-gate
			asked.Add(1)
			return o.run(w.ctx)
		})
	}
	began := time.Now()
	close(gate)
	for asked.Load() < hosts {
		time.Sleep(time.Millisecond)
	}
	opened := time.Since(began)
	w.ok(reading.Wait())
	t.Logf("%d hosts asked within %v; the last one had all after %v", hosts, opened, time.Since(began))
	bound(w, "the time in which they open it", opened, time.Second)
	require.GreaterOrEqual(t, w.calls(s, "RegisterPeerTask"), float64(hosts))
	require.Zero(t, w.gauge(s, "origin_repeat_bytes_total"))
	w.sentAtMost(f, f.Size)

	// What the seed has is what the digests say.
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet,
		fmt.Sprintf("http://%s:65002/v1/tasks/%s/%s", seedDaemon.Host.IP, task.ID, all[0].facts.VersionID()), nil)
	w.ok(err)
	req.Header.Set("Range", fmt.Sprintf("bytes=0-%d", f.Size-1))
	req.Header.Set(upload.HeaderHost, string(all[0].ID))
	resp, err := from.Client().Do(req)
	w.ok(err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusPartialContent, resp.StatusCode)
	w.ok(f.CheckReader(resp.Body, 0, f.Size))
}

// lookupTime is how long a lookup waits for facts.
const lookupTime = 10 * time.Second

// An origin that asks to be left alone for a while is left alone by the whole
// fleet, for the facts and for the bytes; a file that it does not have is asked
// for once, not by each host.
func TestFleetLeavesTheOriginAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2*time.Minute)
	c := w.cluster(1, 6, 0)
	o := w.hostile()
	openAll := func(f *origin.File) []error {
		path := w.add(c.Hosts[0], f.URL())
		errs := make([]error, len(c.Hosts))
		var g errgroup.Group
		for i, d := range c.Hosts {
			g.Go(func() error {
				errs[i] = checkFile(f.Content(1), d.Path(path))
				return nil
			})
		}
		_ = g.Wait()
		return errs
	}

	t.Run("429", func(t *testing.T) {
		rest := either[time.Duration](3, 10) * time.Second
		f := o.Add("busy.bin", 8*miB)
		status := origin.Status(http.StatusTooManyRequests, fmt.Sprint(rest.Seconds()))
		// From the first such answer on, until it has been left alone for
		// long enough, all requests get it.
		facts := f.Misbehave(origin.First(1, origin.Facts), status)
		data := f.Misbehave(origin.First(1, origin.Data), status)
		// Lookups wait, as reads do; one that waited for its whole deadline
		// ends in ETIMEDOUT, and its host tries again.
		var g errgroup.Group
		path, failed := w.add(c.Hosts[0], f.URL()), make([]int, len(c.Hosts))
		wrong := make([]error, len(c.Hosts))
		for i, d := range c.Hosts {
			g.Go(func() error {
				return lab.Until(w.ctx, healTime+2*rest, d.Host.Name+" to read", func() error {
					err := checkFile(f.Content(1), d.Path(path))
					switch {
					case errors.Is(err, unix.ETIMEDOUT):
						failed[i]++
					case err != nil && wrong[i] == nil:
						wrong[i] = err
					}
					return err
				})
			})
		}
		w.ok(g.Wait())
		t.Logf("lookups that ended in ETIMEDOUT, by host: %v", failed)
		for i, err := range wrong {
			require.NoError(t, err, "%s: neither a deadline nor right bytes", c.Hosts[i].Host.Name)
		}
		// The kernel asks twice, and what failed is remembered for a second.
		require.LessOrEqual(t, slices.Max(failed), 2*int(rest/lookupTime), "a rest of %v", rest)
		require.Equal(t, 1, facts.Fired())
		require.Equal(t, 1, data.Fired())
		asked := f.Asked()
		for i, a := range asked {
			t.Logf("%6.3f s: bytes %d to %d: %d", a.At.Sub(asked[0].At).Seconds(), a.First, a.Last, a.Status)
			if a.Status != http.StatusTooManyRequests {
				continue
			}
			for _, later := range asked[i+1:] {
				// Requests that were on their way already can't be stopped.
				pause := later.At.Sub(a.At)
				require.False(t, pause > rest/4 && pause < rest, "asked again after %v", pause)
			}
		}
		require.LessOrEqual(t, f.Sent(), f.Size+f.Size/100)
	})

	t.Run("404", func(t *testing.T) {
		f := o.Add("missing.bin", 8*miB)
		f.Misbehave(origin.Every, origin.Status(http.StatusNotFound, ""))
		began := time.Now()
		for range 3 {
			for _, err := range openAll(f) {
				require.ErrorIs(t, err, unix.ENOENT)
			}
			for _, d := range c.Hosts {
				_, err := os.Stat(d.Path(string(w.task(f.URL()).ID)))
				require.ErrorIs(t, err, unix.ENOENT)
			}
			time.Sleep(1100 * time.Millisecond) // what a host itself remembers is over
		}
		most := 1 + int(time.Since(began)/(10*time.Second))
		require.LessOrEqual(t, f.Requests(), most, "requests in %v", time.Since(began))
		require.Positive(t, f.Requests())
	})
}
