package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// reportEvery is a daemon's batch of reports.
const reportEvery = 50 * time.Millisecond

// Traffic counts the bytes that a crowd of hosts exchanges with the scheduler
// while each downloads one content at DownloadRate and reports as a daemon
// does: its want, its pieces with their costs in batches, heartbeats. It takes
// as long as the download would.
func (b *Bench) Traffic(ctx context.Context) (*Report, error) {
	t, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	r, err := b.traffic(ctx, t)
	return r, t.close(err)
}

func (b *Bench) traffic(ctx context.Context, t *target) (*Report, error) {
	f, err := newFleet(ctx, t.address, b.o.Crowd, b.o.Conns)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if err := f.stream(ctx); err != nil {
		return nil, err
	}
	c, err := settle(ctx, f, "traffic", 1, 1, b.o.Size)
	if err != nil {
		return nil, err
	}
	begin := f.sent.Load() + f.received.Load()
	sent := f.sent.Load()
	var out *Outcome
	spent, _, err := t.measured(ctx, func() { out, err = b.download(ctx, c) })
	if err == nil {
		err = f.err()
	}
	if err != nil {
		return nil, err
	}
	moved := float64(c.contents[0].facts.Size) * float64(len(f.hosts)-1)
	all := float64(f.sent.Load() + f.received.Load() - begin)
	up := float64(f.sent.Load() - sent)
	return &Report{
		Scenario: "traffic",
		Setting: b.setting(t, f, fmt.Sprintf("%d hosts download %d MiB at %.0f Mbit/s each in %.1f s; %.0f bytes per piece to the scheduler, %.0f back; scheduler at %.1f %% of a core",
			len(f.hosts)-1, b.o.Size>>20, b.o.DownloadRate*8/1e6, out.Took.Seconds(),
			up/float64(c.contents[0].pieces*(len(f.hosts)-1)), (all-up)/float64(c.contents[0].pieces*(len(f.hosts)-1)),
			100*time.Duration(spent).Seconds()/out.Took.Seconds())),
		Goals: []Goal{{What: "scheduler traffic / bytes downloaded", Value: all / moved, Limit: goalTraffic}},
	}, nil
}

// download lets every host but the first get the content.
func (b *Bench) download(ctx context.Context, c *crowd) (*Outcome, error) {
	x := c.contents[0]
	var failed error
	var once sync.Once
	start := time.Now()
	var running sync.WaitGroup
	for i, h := range c.fleet.hosts[1:] {
		running.Go(func() {
			random := rand.New(rand.NewPCG(b.o.Seed, uint64(i)))
			if err := b.downloadOne(ctx, h, x, random); err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	running.Wait()
	return &Outcome{Took: time.Since(start)}, failed
}

func (b *Bench) downloadOne(ctx context.Context, h *host, x *content, random *rand.Rand) error {
	if err := h.stat(ctx, x); err != nil {
		return err
	}
	parents, err := h.register(ctx, x)
	if err != nil {
		return err
	}
	if err := h.want(x, x.all()); err != nil {
		return err
	}
	order := arrivals(x.pieces, random)
	start := time.Now()
	every := time.NewTicker(reportEvery)
	defer every.Stop()
	for done := 0; done < len(order); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-every.C:
			bytes := now.Sub(start).Seconds() * b.o.DownloadRate
			upTo := min(len(order), int(bytes*float64(x.pieces)/float64(x.facts.Size)))
			if upTo > done {
				if err := h.report(x, order[done:upTo], parents, b.o.DownloadRate); err != nil {
					return err
				}
				done = upTo
			}
		}
	}
	return nil
}

// arrivals is the order in which a daemon gets pieces: four of five in order,
// one at random.
func arrivals(n int, random *rand.Rand) []int {
	var order []int
	got := make([]bool, n)
	next := 0
	left := random.Perm(n)
	for len(order) < n {
		for got[next] {
			next++
		}
		i := next
		if random.IntN(5) == 0 {
			for got[left[0]] {
				left = left[1:]
			}
			i = left[0]
		}
		got[i] = true
		order = append(order, i)
	}
	return order
}

// report says that pieces arrived from parents, as one batch.
func (h *host) report(x *content, arrived []int, parents []*schedulerpb.Parent, rate float64) error {
	m := &schedulerpb.Held{Rate: rate}
	for k := range arrived {
		if len(parents) > 0 {
			m.Costs = append(m.Costs, &schedulerpb.ParentCost{HostId: parents[k%len(parents)].Host.Id, MsPerMib: 80 + float64(k)/7})
		}
	}
	m.Extents = extents(arrived)
	return h.say(message(x, &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Held{Held: m}}))
}

// extents are the runs of pieces in any order.
func extents(is []int) []*commonpb.Extent {
	is = slices.Sorted(slices.Values(is))
	var es []pieces.Extent
	for _, i := range is {
		if n := len(es); n > 0 && es[n-1].End == i {
			es[n-1].End++
		} else {
			es = append(es, pieces.Extent{First: i, End: i + 1})
		}
	}
	return wire.ExtentsTo(es)
}
