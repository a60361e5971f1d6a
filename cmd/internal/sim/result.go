package sim

import (
	"slices"
	"time"

	"damselfly/scheduler/swarm"
)

// Result is what came of a run. Times count from the first join.
type Result struct {
	Scenario Scenario
	Pieces   int
	Bound    time.Duration
	// Last, Mean and the quantiles are of the hosts that finished; Unfinished
	// ones live and lack something at the end.
	Last, Mean, Half, Ninety time.Duration
	Unfinished               int
	// Own is each finished host's time since it joined, the worst and the mean.
	OwnWorst, OwnMean time.Duration
	// OriginCopies, SeedUpload and FarCopies are bytes over Size; Wasted is the
	// share of all bytes that came for nothing.
	OriginCopies, SeedUpload, FarCopies, Wasted float64
	// Hedges, Deferred (409 of a seed) and Busy (503) count requests; Full counts
	// neighbours that found no place.
	Hedges, Deferred, Busy, Full int64
	RepeatBytes                  int64
	// Steps of the scheduler's machine, Events of the clock, and Levels that the
	// network solved: the cost of the run.
	Steps, Events, Levels int64
	Curve                 []Sample
	Hosts                 []HostResult
}

// Ratio is the last host's time over the lower bound.
func (r *Result) Ratio() float64 { return over(r.Last, r.Bound) }

func over(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

// HostResult is one host's run. Finished is 0 for a host that did not finish.
type HostResult struct {
	Name             string
	Joined, Finished time.Duration
	Killed           bool
	FromPeers        int64
	FromSeed         int64
	FromOrigin       int64
	Sent             int64
}

// Sample is how far the hosts were at one moment, as shares of Size. Killed
// hosts are left out, those that are yet to join hold nothing.
type Sample struct {
	At                                     time.Duration
	Least, Tenth, Half, Ninety, Most, Mean float64
}

type curve struct {
	every   time.Duration
	samples []Sample
}

// sample notes where everybody is, and plans the next look.
func (w *world) sample() {
	var held []float64
	sum := 0.0
	for _, h := range w.hosts[:w.sc.Hosts] {
		if !h.dead {
			x := float64(h.held.Count()) / float64(w.geo.Count())
			held = append(held, x)
			sum += x
		}
	}
	slices.Sort(held)
	at := func(q float64) float64 { return held[int(q*float64(len(held)-1))] }
	w.curve.samples = append(w.curve.samples, Sample{
		At: w.clock.now - w.warm(), Least: at(0), Tenth: at(0.1), Half: at(0.5), Ninety: at(0.9), Most: at(1),
		Mean: sum / float64(len(held)),
	})
	w.clock.after(w.curve.every, w.sample)
}

func (w *world) result() *Result {
	w.sample()
	r := &Result{
		Scenario: w.sc, Pieces: w.geo.Count(), Bound: w.sc.Bound(), Unfinished: w.left,
		Hedges: w.tally.hedges, Deferred: w.tally.deferred, Busy: w.tally.busy, Full: w.tally.full,
		RepeatBytes: w.brain.counted[swarm.RepeatBytes],
		Steps:       w.brain.steps, Events: w.clock.ran, Levels: w.net.solve, Curve: w.curve.samples,
	}
	var ends, own []time.Duration
	var wasted, all, far, origin float64
	for _, h := range w.hosts {
		g := h.got
		wasted += g.wasted
		all += g.wasted + float64(g.peers+g.seed+g.origin)
		far += float64(g.far)
		origin += float64(g.origin)
		if h == w.seed {
			continue
		}
		x := HostResult{
			Name: string(h.ID), Joined: h.joinAt - w.warm(), Killed: h.dead,
			FromPeers: g.peers, FromSeed: g.seed, FromOrigin: g.origin, Sent: g.sent,
		}
		if h.done {
			x.Finished = h.doneAt - w.warm()
			if !h.dead {
				ends, own = append(ends, x.Finished), append(own, x.Finished-x.Joined)
			}
		}
		r.Hosts = append(r.Hosts, x)
	}
	f := float64(w.sc.Size)
	r.OriginCopies, r.SeedUpload, r.FarCopies, r.Wasted = origin/f, float64(w.seed.got.sent)/f, far/f, wasted/all
	if len(ends) > 0 {
		slices.Sort(ends)
		r.Last, r.Mean = ends[len(ends)-1], mean(ends)
		r.Half, r.Ninety = ends[len(ends)/2], ends[len(ends)*9/10]
		r.OwnWorst, r.OwnMean = slices.Max(own), mean(own)
	}
	return r
}

func mean(ds []time.Duration) time.Duration {
	sum := time.Duration(0)
	for _, d := range ds {
		sum += d
	}
	return sum / time.Duration(len(ds))
}
