package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// The goals of the design.
const (
	goalRate    = 10_000
	goalMemory  = 1 << 30
	goalTasks   = 1.25 // of what does not grow; the rest is noise
	goalHot     = 1.5
	goalTraffic = 0.001
)

// How the search for the highest rate goes.
const (
	searchFrom  = 1000 // per second; doubled until it is too much
	searchLeast = 100
	searchMost  = 200_000
	searchGap   = 1.06 // ends when the good and the bad rate are that close
	searchKept  = 0.97 // share of the offered rate that must be answered
	searchTries = 2    // a rate counts as bad when so many runs missed
	warmUp      = time.Second
)

// Rate finds out how many registrations per second are answered with parents
// while the 99th percentile of their latency stays within the limit.
func (b *Bench) Rate(ctx context.Context) (*Report, error) {
	t, err := b.target(ctx)
	if err != nil {
		return nil, err
	}
	r, err := b.rate(ctx, t)
	return r, t.close(err)
}

func (b *Bench) rate(ctx context.Context, t *target) (*Report, error) {
	f, err := b.fleet(ctx, t, b.o.Hosts)
	if err != nil {
		return nil, err
	}
	defer f.close()
	c, err := settle(ctx, f, "rate", b.o.Tasks, max(standing, b.o.Peers/b.o.Tasks), b.o.Size)
	if err != nil {
		return nil, err
	}
	r := &Report{Scenario: "rate", Setting: b.setting(t, f, fmt.Sprintf(
		"%d tasks of %d MiB with %d peers each, half done; new peers register open-loop", b.o.Tasks, b.o.Size>>20, c.each))}
	m := &meter{b: b, t: t, c: c, random: rand.New(rand.NewPCG(b.o.Seed, 1))}
	if _, err := m.run(ctx, "warm up", searchFrom, warmUp, false); err != nil {
		return nil, err
	}
	m.profile = b.o.Profiles != "" && b.o.Rate > 0
	if b.o.Rate > 0 {
		best, err := m.run(ctx, "", b.o.Rate, b.o.Duration, false)
		if err != nil {
			return nil, err
		}
		r.Rows = append(r.Rows, best)
		r.Goals = b.rateGoals(best)
		return r, nil
	}
	best, err := m.search(ctx, &r.Rows)
	if err != nil {
		return nil, err
	}
	// Once more for longer, and with a profile.
	m.profile = b.o.Profiles != ""
	final, err := m.run(ctx, "final", best.Offered, 2*b.o.Duration, false)
	if err != nil {
		return nil, err
	}
	r.Rows = append(r.Rows, final)
	r.Goals = b.rateGoals(final)
	return r, nil
}

func (b *Bench) rateGoals(x Row) []Goal {
	return []Goal{
		{What: "registrations with parents per second", Value: x.Rate, Limit: goalRate, AtLeast: true},
		{What: "p99 at that rate, ms", Value: x.P99, Limit: ms(b.o.P99)},
	}
}

// fleet makes n hosts with their streams.
func (b *Bench) fleet(ctx context.Context, t *target, n int) (*fleet, error) {
	f, err := newFleet(ctx, t.address, n, b.o.Conns)
	if err != nil {
		return nil, err
	}
	if err := f.stream(ctx); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// meter measures one crowd.
type meter struct {
	b       *Bench
	t       *target
	c       *crowd
	random  *rand.Rand
	profile bool // take one of the next runs
	// idle is what the scheduler spends without calls, as a share of a core:
	// rows count only what is beyond it.
	idle float64
}

// run registers at rate for d.
func (m *meter) run(ctx context.Context, what string, rate float64, d time.Duration, churn bool) (Row, error) {
	var spent, rss int64
	var cost error
	o, parents, err := m.c.open(ctx, max(1, int(rate*d.Seconds())), rate, m.random, churn, func(f func()) {
		spent, rss, cost = m.t.measured(ctx, func() {
			if m.profile {
				m.b.profiled(ctx, m.t, d, f)
			} else {
				f()
			}
		})
	})
	if err == nil {
		err = cost
	}
	if err != nil {
		return Row{}, err
	}
	spent = max(0, spent-int64(m.idle*float64(o.Took)))
	x := row(what, rate, o, parents, spent, rss)
	fmt.Fprintf(m.b.o.Progress, "%s %.0f/s: %.0f/s, p99 %.2f ms, %.4f cpu s per 1,000, %d failed %s\n",
		what, rate, x.Rate, x.P99, x.CPU, x.Failed, x.Error)
	return x, ctx.Err()
}

// rest measures what heartbeats and announcements alone cost.
func (m *meter) rest(ctx context.Context) error {
	spent, _, err := m.t.measured(ctx, func() { sleep(ctx, m.b.o.Duration) })
	m.idle = time.Duration(spent).Seconds() / m.b.o.Duration.Seconds()
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// search returns the best row that keeps the limits, or the last if none does;
// all go to rows.
func (m *meter) search(ctx context.Context, rows *[]Row) (best Row, err error) {
	good, bad := 0.0, 0.0
	for rate := float64(searchFrom); rate <= searchMost; {
		x, err := m.try(ctx, rate)
		if err != nil {
			return best, err
		}
		*rows = append(*rows, x)
		if m.keeps(x) {
			good, best = rate, x
		} else {
			bad = rate
		}
		switch {
		case bad == 0:
			rate = 2 * good
		case good == 0:
			if rate = bad / 2; rate < searchLeast {
				return x, nil
			}
		case bad/good <= searchGap:
			return best, nil
		default:
			rate = (good + bad) / 2
		}
	}
	return best, nil
}

// try gives a rate that misses another chance: others may use the machine.
func (m *meter) try(ctx context.Context, rate float64) (x Row, err error) {
	for range searchTries {
		if x, err = m.run(ctx, "", rate, m.b.o.Duration, false); err != nil || m.keeps(x) {
			break
		}
	}
	return x, err
}

func (m *meter) keeps(x Row) bool {
	return x.Failed == 0 && x.Rate >= searchKept*x.Offered && x.P99 <= ms(m.b.o.P99)
}
