package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"damselfly/cmd/internal/e2e/content"
	"damselfly/cmd/internal/e2e/lab"
)

// crowdRun is what happened when a number of hosts took one file.
type crowdRun struct {
	// own is the time of each host from its own start, last the end of the last
	// from the common start.
	own     []time.Duration
	last    time.Duration
	traffic traffic
	samples []sample
}

// crowd runs take for every host i, start[i] after the common start (nil: at
// once), and waits for all. limit ends the run with an error.
func (r *rig) crowd(ctx context.Context, hosts []*lab.Host, start []time.Duration, limit time.Duration, take func(ctx context.Context, i int) error) (crowdRun, error) {
	if err := r.o.ballast.Fill(ctx); err != nil {
		return crowdRun{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit.Round(time.Second)))
	defer cancel()
	rec, err := record(r.lab, hosts)
	if err != nil {
		return crowdRun{}, err
	}
	run := crowdRun{own: make([]time.Duration, len(hosts))}
	var g errgroup.Group
	for i, h := range hosts {
		g.Go(func() error {
			if start != nil {
				select {
				case <-ctx.Done():
					return context.Cause(ctx)
				case <-time.After(time.Until(rec.began.Add(start[i]))):
				}
			}
			began := time.Now()
			if err := take(ctx, i); err != nil {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				return fmt.Errorf("%s: %w", h.Name, err)
			}
			run.own[i] = time.Since(began)
			return nil
		})
	}
	err = g.Wait()
	run.last = time.Since(rec.began)
	t, rerr := rec.end()
	run.traffic, run.samples = t, rec.samples
	if err == nil {
		err = rerr
	}
	return run, err
}

// crowdWarm has all hosts of the cluster take the file into their caches, from
// where their mounts serve it: one copy on each host's disk, as with BitTorrent
// and curl. What they got is checked afterwards.
func (r *rig) crowdWarm(ctx context.Context, start []time.Duration, limit time.Duration, f content.File, url string) (crowdRun, error) {
	run, err := r.crowd(ctx, r.hosts, start, limit, func(ctx context.Context, i int) error {
		return r.fetch(ctx, r.daemons[i], url)
	})
	if err != nil {
		return run, err
	}
	return run, r.checkGot(ctx, r.daemons, f, url)
}

// checkGot checks what hosts have in their caches, copied out by dfget.
func (r *rig) checkGot(ctx context.Context, hosts []*lab.Daemon, f content.File, url string) error {
	var g errgroup.Group
	g.SetLimit(2)
	for _, d := range hosts {
		g.Go(func() error {
			out, err := r.get(ctx, d, url)
			if err != nil {
				return err
			}
			return checkFile(f, out)
		})
	}
	return g.Wait()
}

// crowdCurl is a crowd of curl, one on each host, checked afterwards.
func (r *rig) crowdCurl(ctx context.Context, hosts []*lab.Host, limit time.Duration, f content.File, url string) (crowdRun, error) {
	outs := make([]string, len(hosts))
	run, err := r.crowd(ctx, hosts, nil, limit, func(ctx context.Context, i int) (err error) {
		outs[i], _, err = r.curl(ctx, hosts[i], url)
		return err
	})
	if err != nil {
		return run, err
	}
	return run, checkAll(f, outs)
}

// checkAll checks the outputs of a run and removes them.
func checkAll(f content.File, outs []string) error {
	var g errgroup.Group
	g.SetLimit(2)
	for _, out := range outs {
		g.Go(func() error { return checkFile(f, out) })
	}
	return g.Wait()
}
