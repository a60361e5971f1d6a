package sim

import (
	"time"

	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// brain is the scheduler: one Task's machine and the way to it.
type brain struct {
	w     *world
	task  *swarm.Task
	opts  swarm.Options
	view  *swarm.Hosts
	tick  *timer
	facts pieces.Facts
	id    pieces.VersionID
	// dirty hosts have counters that the snapshot does not show yet.
	dirty   []*host
	counted [swarm.Counters]int64
	steps   int64
}

// epoch is the machine's time at the start of a run.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// foldEvery is how often the scheduler's snapshot of hosts takes up counters.
const foldEvery = time.Second

func newBrain(w *world) *brain {
	b := &brain{
		w: w, opts: w.sc.Rules, view: &swarm.Hosts{},
		task:  swarm.New(swarm.Identity{ID: "simulated", Public: true, SeedsCanFetch: true}, w.sc.Seed, 1),
		facts: pieces.Facts{Size: w.sc.Size, Ranges: true, Validator: pieces.Validator{Kind: pieces.StrongETag, Value: "1"}},
	}
	b.opts.Policy, b.id = w.sc.Policy, b.facts.VersionID()
	states := make([]*swarm.HostState, len(w.hosts))
	for i, h := range w.hosts {
		states[i] = &swarm.HostState{Host: h.Host}
	}
	b.view = b.view.With(states...).WithSeeds([]swarm.Seed{{Key: string(w.seed.ID), Host: w.seed.ID}})
	b.tick = &timer{do: func() { b.step(swarm.Tick{}, nil) }}
	b.fold()
	return b
}

// fold renews the snapshot of hosts, now and then.
func (b *brain) fold() {
	if len(b.dirty) > 0 {
		states := make([]*swarm.HostState, len(b.dirty))
		for i, h := range b.dirty {
			states[i] = &swarm.HostState{Host: h.Host, UploadOK: h.ok, UploadFailed: h.failed}
			h.dirty = false
		}
		b.view, b.dirty = b.view.With(states...), b.dirty[:0]
	}
	b.w.clock.after(foldEvery, b.fold)
}

// say brings an event from h to the machine, one latency later.
func (b *brain) say(h *host, ev swarm.Event) {
	b.w.clock.after(b.w.sc.Latency, func() {
		if !h.dead {
			b.step(ev, h)
		}
	})
}

// step lets ev happen and carries out what the machine wants done. A reply goes
// to from.
func (b *brain) step(ev swarm.Event, from *host) {
	b.steps++
	w := b.w
	for _, a := range b.task.Step(swarm.View{Now: epoch.Add(w.clock.now), Hosts: b.view, Options: &b.opts}, ev) {
		switch a := a.(type) {
		case swarm.RegisterReply:
			w.clock.after(w.sc.Latency, func() { from.registered(a) })
		case swarm.Send:
			h := w.byID[a.Host]
			w.clock.after(w.sc.Latency, func() { h.told(a.Msg) })
		case swarm.Wake:
			w.clock.after(w.sc.Latency, w.seed.join)
		case swarm.Uploads:
			h := w.byID[a.Host]
			h.ok, h.failed = h.ok+a.OK, h.failed+a.Failed
			if !h.dirty {
				h.dirty = true
				b.dirty = append(b.dirty, h)
			}
		case swarm.Count:
			b.counted[a.What] += a.N
		}
	}
	if next := b.task.Next(); next.IsZero() {
		w.clock.stop(b.tick)
	} else {
		w.clock.move(b.tick, next.Sub(epoch))
	}
}

// from names h to the machine.
func (b *brain) from(h *host) swarm.From {
	return swarm.From{Host: h.ID, Session: session, Version: b.id}
}

// session is the number of every host's one session.
const session = 1

// register makes h a Peer.
func (b *brain) register(h *host) {
	ev := swarm.Register{
		Host: h.ID, Session: session, Version: b.id, CanFetch: true, Facts: &b.facts, Held: h.held.List(),
	}
	for _, e := range ev.Held {
		ev.Sums = append(ev.Sums, b.w.sums(e, h.ID))
	}
	b.say(h, ev)
}
