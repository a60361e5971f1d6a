package load

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxUnderWay bounds the calls under way: later ones begin late, and that time
// counts as theirs.
const maxUnderWay = 4096

// Latencies are sorted.
type Latencies []time.Duration

// At returns the q-quantile (0 … 1), 0 without any: the smallest latency that
// at least a share q did not exceed.
func (l Latencies) At(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	return l[min(max(int(math.Ceil(q*float64(len(l))))-1, 0), len(l)-1)]
}

// Outcome is what came of one Open.
type Outcome struct {
	// Calls were begun, Failed of them ended in an error, the first being Err.
	Calls, Failed int
	Err           error
	// Took is from the first call's time to the last answer.
	Took time.Duration
	// Latency of the calls that were answered, from their due times; Late is
	// how long after its due time each call began.
	Latency, Late Latencies
}

// Rate is the answered calls per second.
func (o *Outcome) Rate() float64 {
	if o.Took <= 0 {
		return 0
	}
	return float64(o.Calls-o.Failed) / o.Took.Seconds()
}

// Open makes n calls at rate per second, as a Poisson process: gaps are drawn
// from random. call gets its number, from 0. It returns when all calls have
// ended; when ctx ends no more begin.
func Open(ctx context.Context, n int, rate float64, random *rand.Rand, call func(ctx context.Context, i int) error) *Outcome {
	latency, late := make([]time.Duration, n), make([]time.Duration, n)
	failed := make([]bool, n)
	var firstErr atomic.Pointer[error]
	var running sync.WaitGroup
	slots := make(chan struct{}, maxUnderWay)
	start := time.Now()
	due, begun := start, 0
	for ; begun < n && ctx.Err() == nil; begun++ {
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		slots <- struct{}{}
		i, due := begun, due
		running.Go(func() {
			defer func() { <-slots }()
			late[i] = time.Since(due)
			if err := call(ctx, i); err != nil {
				failed[i] = true
				firstErr.CompareAndSwap(nil, &err)
			}
			latency[i] = time.Since(due)
		})
	}
	running.Wait()
	o := &Outcome{Calls: begun, Took: time.Since(start)}
	for i := range begun {
		o.Late = append(o.Late, late[i])
		if failed[i] {
			o.Failed++
		} else {
			o.Latency = append(o.Latency, latency[i])
		}
	}
	slices.Sort(o.Late)
	slices.Sort(o.Latency)
	if err := firstErr.Load(); err != nil {
		o.Err = *err
	}
	return o
}
