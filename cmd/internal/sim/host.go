package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"damselfly/daemon/picker"
	"damselfly/pieces"
	"damselfly/scheduler/swarm"
)

// The daemon's numbers: defaults of daemon/engine, exchange, upload, fetch and
// announce.
const (
	maxNeighbours  = 64
	hedgeStart     = 500 * time.Millisecond
	hedgeMin       = 50 * time.Millisecond
	hedgeMax       = 2 * time.Second
	idleTimeout    = 2 * time.Second
	joinTimeout    = 2 * time.Second
	linkIdle       = 30 * time.Second
	engineTick     = time.Second
	registerRetry  = 3 * time.Second
	busyRetry      = 100 * time.Millisecond
	reportDelay    = 50 * time.Millisecond
	reportPieces   = 64
	heartbeatLimit = 3 * time.Second
)

// host is one daemon with one content: what daemon/engine keeps around the
// picker, without bytes.
type host struct {
	pieces.Host
	w        *world
	up, down *pipe
	idc      int

	pick    *picker.Picker
	seeding *picker.Seeding // seeds only
	held    *pieces.Set
	sums    *pieces.Set // pieces whose digest is known
	unasked *pieces.Set // lacking, and not told to the scheduler as wanted

	neighbours []*neighbour
	byID       map[pieces.HostID]*neighbour
	blocked    map[pieces.HostID]*block
	flights    []*request
	late       int // of flights
	reads      []*read
	waits      waits
	slots      int // uploads under way

	report   []swarm.Held
	reported int // pieces in report
	reporter timer

	registering, isPeer, started, dead, done bool
	joinAt, doneAt                           time.Duration

	// Kept by the scheduler's table of hosts.
	ok, failed int
	dirty      bool

	got traffic
}

// traffic counts bytes that one host received, by origin, and sent.
type traffic struct {
	peers, seed, origin, far, sent int64
	// wasted came twice, or was cut off.
	wasted float64
}

func newHost(w *world, n int, up, down float64, idc int, kind pieces.HostType) *host {
	h := &host{
		Host: pieces.Host{ID: hostID(n), Hostname: string(hostID(n)), Type: kind, UploadSlots: w.sc.ChildSlots, IDC: idcName(idc)},
		w:    w, up: newPipe(up), down: newPipe(down), idc: idc,
		held: &pieces.Set{}, sums: &pieces.Set{}, unasked: &pieces.Set{},
		byID: map[pieces.HostID]*neighbour{}, blocked: map[pieces.HostID]*block{},
	}
	if kind == pieces.SeedHost {
		h.seeding = picker.NewSeeding(w.geo, w.sc.Seeding)
		if !w.sc.Cold {
			h.held.AddExtent(w.geo.All())
			h.sums.AddExtent(w.geo.All())
		}
	}
	cfg := w.sc.Picker
	cfg.Self, cfg.Place = h.ID, h.IDC
	h.pick = picker.New(w.geo, h.held, cfg, rand.New(rand.NewPCG(w.sc.Seed, uint64(n)+1)))
	h.reporter.do = h.flushReport
	return h
}

func idcName(i int) string { return string(rune('a' + i%26)) }

// join starts the download: the daemon states its interest and registers.
func (h *host) join() {
	if h.started || h.dead {
		return
	}
	h.started, h.joinAt = true, h.w.clock.now
	if h.seeding == nil {
		h.pick.Want(h.w.geo.All(), pieces.Fill)
	}
	h.register()
	h.w.clock.after(engineTick, h.tick)
}

func (h *host) register() {
	h.registering = true
	h.w.brain.register(h)
}

// registered takes the reply of a registration.
func (h *host) registered(r swarm.RegisterReply) {
	if h.dead {
		return
	}
	h.registering = false
	if r.Err != nil {
		h.w.tally.refused++
		h.w.clock.after(registerRetry, h.register)
		return
	}
	h.isPeer = true
	h.pick.ParentsOnly(r.Policy == pieces.PolicyClassic)
	if r.Sums != nil {
		h.learn(r.Sums.Extent())
	}
	h.follow(r.Parents)
	h.forgetAsked(h.w.geo.All())
	h.schedule()
}

// told takes what the scheduler says on the session.
func (h *host) told(m swarm.Message) {
	if h.dead {
		return
	}
	switch m := m.(type) {
	case swarm.Parents:
		h.follow(m.Parents)
	case swarm.Holders:
		for _, x := range m.Holders {
			h.holder(x)
		}
	case swarm.Digests:
		for _, r := range m.Sums {
			h.learn(r.Extent())
		}
	case swarm.Lease:
		h.startRead(m.ID, m.Extent)
	case swarm.LeaseEnd:
		h.endLease(m.ID)
	case swarm.OriginError:
		h.w.tally.originErrors++
	case swarm.Rejected:
		h.isPeer = false
		if !h.registering {
			h.registering = true
			h.w.clock.after(max(m.Retry, time.Millisecond), h.register)
		}
		return
	}
	h.schedule()
}

func (h *host) learn(e pieces.Extent) {
	h.sums.AddExtent(e)
	h.pick.Verifiable(e)
}

// schedule starts whatever can be started now. It is called after every change
// of what is held, offered or permitted.
func (h *host) schedule() {
	if h.dead || h.done || h.seeding != nil {
		return
	}
	// With its places taken the picker answers nothing; that is most calls.
	if most := h.w.sc.Picker.MaxRequests; len(h.flights)-h.late < most && len(h.flights) < 4*most {
		for _, r := range h.pick.Next(epoch.Add(h.w.clock.now)) {
			h.request(r)
		}
	}
	h.ask()
}

// ask tells the scheduler what no neighbour can give.
func (h *host) ask() {
	if !h.isPeer || h.unasked.Count() == 0 {
		return
	}
	var need pieces.Set
	for i, ok := h.unasked.Next(0); ok; i, ok = h.unasked.Next(i + 1) {
		if !h.pick.Flying(i) && !(h.sums.Has(i) && h.pick.Nearby(i)) {
			need.Add(i)
		}
	}
	if need.Count() == 0 {
		return
	}
	h.unasked.SubtractSet(&need)
	es := need.List()
	h.tellScheduler(swarm.Want{From: h.w.brain.from(h), Extents: es, Class: pieces.Fill, Failed: h.blockedHosts()})
}

// tick is the engine's: complete neighbours of a complete host part.
func (h *host) tick() {
	if h.dead {
		return
	}
	idle := h.done || h.seeding != nil && h.held.Count() == h.w.geo.Count()
	if idle && h.w.clock.now-h.doneAt > linkIdle {
		for k := len(h.neighbours) - 1; k >= 0; k-- {
			if n := h.neighbours[k]; n.host.done {
				h.removeNeighbour(n)
			}
		}
	}
	for _, r := range h.reads {
		h.tellScheduler(swarm.Progress{From: h.w.brain.from(h), Lease: r.lease})
	}
	h.w.clock.after(engineTick, h.tick)
}

// block remembers a failed host; the time doubles with each failure.
type block struct {
	until time.Duration
	times int
}

// block stops using a host for 1 s, 2 s, … 64 s.
func (h *host) block(o *host) {
	b := h.blocked[o.ID]
	if b == nil {
		b = &block{}
		h.blocked[o.ID] = b
	}
	b.until = h.w.clock.now + time.Second<<min(b.times, 6)
	b.times++
	h.abandon(o)
	if n := h.byID[o.ID]; n != nil {
		h.removeNeighbour(n)
	}
}

func (h *host) isBlocked(id pieces.HostID) bool {
	b := h.blocked[id]
	return b != nil && h.w.clock.now < b.until
}

// blockedHosts are named to the scheduler, so that it names others.
func (h *host) blockedHosts() (ids []pieces.HostID) {
	for id := range h.blocked {
		if h.isBlocked(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// forgetAsked makes what is missing of e worth asking for again. A seed wants
// nothing.
func (h *host) forgetAsked(e pieces.Extent) {
	if h.seeding != nil {
		return
	}
	for m := range h.held.Missing(e) {
		h.unasked.AddExtent(m)
	}
}
