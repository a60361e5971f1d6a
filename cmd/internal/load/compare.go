package load

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// comparisonSize of contents, so that ten thousand of them fit: 256 pieces.
const comparisonSize = 64 << 20

// rounds of a comparison, taken in turns: what else the machine does then falls
// on both sides.
const rounds = 3

// Tasks compares the cost of a registration with few and with many Tasks. Each
// peer leaves when it has registered, so that the Tasks stay as they are: the
// cost is of both.
func (b *Bench) Tasks(ctx context.Context) (*Report, error) {
	t, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	few, many := fmt.Sprintf("%d tasks", b.o.Few), fmt.Sprintf("%d tasks", b.o.Many)
	r, err := b.compare(ctx, t, b.o.Hosts, few, many, func(f *fleet) (x, y *crowd, err error) {
		if x, err = settle(ctx, f, "few", b.o.Few, standing, comparisonSize); err == nil {
			y, err = settle(ctx, f, "many", b.o.Many, standing, comparisonSize)
		}
		return x, y, err
	})
	if err != nil {
		return nil, t.close(err)
	}
	r.Scenario = "tasks"
	r.compared("cost of a registration in one of "+many+" / of "+few, cpu, goalTasks)
	return r, t.close(nil)
}

// Hot compares registering in a Task of thousands of peers with one of few.
func (b *Bench) Hot(ctx context.Context) (*Report, error) {
	t, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	cold, hot := fmt.Sprintf("a task of %d peers", 2*standing), fmt.Sprintf("a task of %d peers", b.o.HotPeers)
	hosts := max(b.o.Hosts, b.o.HotPeers+b.o.Hosts/4)
	r, err := b.compare(ctx, t, hosts, cold, hot, func(f *fleet) (x, y *crowd, err error) {
		if x, err = settle(ctx, f, "cold", 1, 2*standing, comparisonSize); err == nil {
			y, err = settle(ctx, f, "hot", 1, b.o.HotPeers, comparisonSize)
		}
		return x, y, err
	})
	if err != nil {
		return nil, t.close(err)
	}
	r.Scenario = "hot"
	r.compared("median latency in "+hot+" / in "+cold, func(x Row) float64 { return x.P50 }, goalHot)
	r.compared("cost of a registration in "+hot+" / in "+cold, cpu, goalHot)
	return r, t.close(nil)
}

// compared adds the ratio as a goal, unless the figures are too small (or, for
// want of a metrics port, not there) to be compared.
func (r *Report) compared(what string, of func(Row) float64, limit float64) {
	if v := ratio(r.Rows, of); v > 0 {
		r.Goals = append(r.Goals, Goal{What: what, Value: v, Limit: limit})
	}
}

func cpu(x Row) float64 { return x.CPU }

// compare measures two crowds of one fleet in turns.
func (b *Bench) compare(ctx context.Context, t *target, hosts int, first, second string, make func(*fleet) (x, y *crowd, err error)) (*Report, error) {
	f, err := b.fleet(ctx, t, hosts)
	if err != nil {
		return nil, err
	}
	defer f.close()
	x, y, err := make(f)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(b.o.Seed, 2))
	a, z := &meter{b: b, t: t, c: x, random: random}, &meter{b: b, t: t, c: y, random: random}
	for _, m := range []*meter{a, z} {
		if _, err := m.run(ctx, "warm up", b.o.FixedRate, warmUp, true); err != nil {
			return nil, err
		}
	}
	// Only now: what the standing peers said is worked off.
	if err := a.rest(ctx); err != nil {
		return nil, err
	}
	z.idle = a.idle
	r := &Report{Setting: b.setting(t, f, fmt.Sprintf(
		"each peer leaves when it has registered; in turns; costs without the %.0f %% of a core that heartbeats and announcements take", 100*a.idle))}
	for range rounds {
		for _, m := range []struct {
			*meter
			what string
		}{{a, first}, {z, second}} {
			row, err := m.run(ctx, m.what, b.o.FixedRate, b.o.Duration, true)
			if err != nil {
				return nil, err
			}
			if row.Failed > 0 {
				return nil, fmt.Errorf("%s: %d of %d registrations failed: %s", m.what, row.Failed, row.Calls, row.Error)
			}
			r.Rows = append(r.Rows, row)
		}
	}
	return r, nil
}

// ratio of the second kind of rows to the first, each the least of its rounds:
// what others do can only add. 0 if one of them is.
func ratio(rows []Row, of func(Row) float64) float64 {
	least := [2]float64{}
	for i, x := range rows {
		if v := of(x); i < 2 || v < least[i%2] {
			least[i%2] = v
		}
	}
	if least[0] == 0 {
		return 0
	}
	return least[1] / least[0]
}
