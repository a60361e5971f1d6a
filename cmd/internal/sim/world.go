package sim

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// world is one run. Everything in it happens on one goroutine.
type world struct {
	sc      Scenario
	clock   *clock
	net     *network
	geo     pieces.Geometry
	seed    *host
	hosts   []*host // the seed is the last
	byID    map[pieces.HostID]*host
	brain   *brain
	origin  *pipe
	exits   []*pipe // of each data centre; nil = not limited
	digests []pieces.Sum
	left    int // hosts that live and lack something
	tally   tally
	curve   curve
}

// tally counts what a run has of its own.
type tally struct {
	hedges, deferred, busy, full, refused, originErrors int64
}

// slack of the fluid network's levels.
const slack = 0.02

// spread is by how much the weights of flows differ from 1 at most.
const spread = 0.2

// Run simulates sc. It returns ctx's error if that ends first.
func Run(ctx context.Context, sc Scenario) (*Result, error) {
	if err := sc.check(); err != nil {
		return nil, err
	}
	geo, err := pieces.GeometryOf(sc.Size)
	if err != nil {
		return nil, err
	}
	w := newWorld(sc, geo)
	end := time.Duration(float64(sc.Bound()) * sc.Limit)
	for n := 0; w.left > 0 && w.clock.step(end); n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return w.result(), nil
}

func newWorld(sc Scenario, geo pieces.Geometry) *world {
	w := &world{
		sc: sc, geo: geo, clock: &clock{}, byID: map[pieces.HostID]*host{}, origin: newPipe(sc.OriginRate),
		left: sc.Hosts,
	}
	r := rand.New(rand.NewPCG(sc.Seed, 1<<32))
	w.net = &network{clock: w.clock, slack: slack, weigh: func() float64 { return 1 + spread*(2*r.Float64()-1) }}
	for i := range geo.Count() {
		w.digests = append(w.digests, pieces.SumOf(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	for range sc.IDCs {
		if sc.IDCRate > 0 {
			w.exits = append(w.exits, newPipe(sc.IDCRate))
		}
	}
	for i := range sc.Hosts {
		w.add(newHost(w, i, sc.up(i), sc.Down, i*sc.IDCs/sc.Hosts, pieces.NormalHost))
	}
	w.seed = newHost(w, sc.Hosts, sc.SeedRate, sc.SeedRate, 0, pieces.SeedHost)
	w.add(w.seed)
	w.brain = newBrain(w)
	w.plan()
	return w
}

func (w *world) add(h *host) {
	w.hosts = append(w.hosts, h)
	w.byID[h.ID] = h
}

// plan puts joins, failures and samples on the clock. A warm seed is a peer from
// the beginning; a cold one is woken.
func (w *world) plan() {
	if !w.sc.Cold {
		w.seed.join()
	}
	r := rand.New(rand.NewPCG(w.sc.Seed, 0))
	for i, h := range w.hosts[:w.sc.Hosts] {
		w.clock.after(w.warm()+w.sc.joins(i, r.Float64()), h.join)
	}
	bound := w.sc.Bound()
	if w.sc.Kill > 0 {
		w.clock.after(w.warm()+time.Duration(float64(bound)*w.sc.KillAt), w.kill)
	}
	w.curve.every = bound / 100
	w.clock.after(w.warm(), w.sample)
}

// warm is how long the seed is there before the hosts: time counts from its end.
func (w *world) warm() time.Duration { return time.Second }

func (w *world) classic() bool { return w.sc.Policy == pieces.PolicyClassic }

// latency is one way between two hosts.
func (w *world) latency(a, b *host) time.Duration {
	if a.idc == b.idc {
		return w.sc.Latency
	}
	return w.sc.FarLatency
}

// start sends bytes from one host to another.
func (w *world) start(from, to *host, bytes int64, done func()) *flow {
	if from.idc != to.idc && w.exits != nil {
		return w.net.start(float64(bytes), done, from.up, w.exits[from.idc], to.down)
	}
	return w.net.start(float64(bytes), done, from.up, to.down)
}

// sums are the digests of e as setter reports them.
func (w *world) sums(e pieces.Extent, setter pieces.HostID) pieces.SumRun {
	return pieces.SumRun{First: e.First, Sums: w.digests[e.First:e.End:e.End], Setter: setter}
}

// finished counts h out.
func (w *world) finished(h *host) {
	if h != w.seed {
		w.left--
	}
}

// kill unplugs the hosts that are to die: what they send stops without a word,
// requests to them time out, the scheduler misses their heartbeats.
func (w *world) kill() {
	for i, h := range w.hosts[:w.sc.Hosts] {
		if w.sc.dies(i) {
			h.dead = true
			if !h.done {
				w.left--
			}
			for _, f := range slices.Clone(h.flights) {
				f.land()
				f.cut()
			}
			for _, r := range slices.Clone(h.reads) {
				r.end()
			}
			w.clock.after(heartbeatLimit, func() { w.brain.step(swarm.SessionDown{Host: h.ID, Session: session}, nil) })
		}
	}
	for _, h := range w.hosts {
		for _, f := range h.flights {
			if f.from.dead && f.flow != nil {
				f.cut()
				w.clock.after(idleTimeout, f.lost)
			}
		}
	}
}

// failed says that h can't reach o.
func failed(h, o *host) swarm.Failed {
	return swarm.Failed{From: h.w.brain.from(h), Parent: o.ID, Reason: pieces.FailUnreachable}
}
