package swarm

import (
	"math/rand/v2"
	"slices"
	"time"

	"damselfly/pieces"
)

// Task is the machine of one Task. It is not safe for concurrent use.
type Task struct {
	id pieces.TaskID
	// public: no audience. seedsCanFetch: a seed needs no credential and no
	// filtered parameter that it lacks.
	public, seedsCanFetch bool
	rand                  *rand.Rand
	nextLease             pieces.LeaseID

	facts  factsState
	origin originState
	// versions holds the current one and older ones that still have peers.
	versions []*version
	order    accessOrder
	// maxChildren is what the eligible sets were indexed by; see heedChildren.
	maxChildren int
	// catalogued is an order that came before the facts.
	catalogued Recalled
	// hosts counts the Peers of each host in all versions.
	hosts map[pieces.HostID]int

	// idleSince is when the last peer left; zero while there are any.
	idleSince time.Time
	next      time.Time

	// Valid inside a Step.
	view View
	now  time.Time
	out  []Action
}

// Identity is what the machine must know of its Task.
type Identity struct {
	ID     pieces.TaskID
	Public bool
	// SeedsCanFetch: no audience and no filtered parameters, so that a seed
	// that knows only the public Task can read the origin.
	SeedsCanFetch bool
}

// New returns the machine of a Task that nobody takes part in. Seed feeds its
// choices; firstLease is the number of its first lease, so that leases of an
// earlier scheduler are not taken for its own (0 counts as 1).
func New(id Identity, seed uint64, firstLease pieces.LeaseID) *Task {
	return &Task{
		id: id.ID, public: id.Public, seedsCanFetch: id.SeedsCanFetch,
		rand:      rand.New(rand.NewPCG(seed, 0x64616d73656c666c)),
		nextLease: max(firstLease, 1),
		hosts:     map[pieces.HostID]int{},
	}
}

// Step lets ev happen and returns what must be done, in order. The caller owns
// the actions; slices in them are never changed later.
func (t *Task) Step(view View, ev Event) []Action {
	t.view, t.now, t.out = view, view.Now, nil
	t.heedChildren()
	switch e := ev.(type) {
	case Stat:
		t.stat(e)
	case StatGone:
		t.statGone(e.Call)
	case Register:
		t.register(e)
	case Leave:
		t.leave(e)
	case Held:
		t.speak(e.From, func(v *version, p *peer) { v.onHeld(p, e) })
	case Lost:
		t.speak(e.From, func(v *version, p *peer) { v.onLost(p, e) })
	case Failed:
		t.speak(e.From, func(v *version, p *peer) { v.onFailed(p, e) })
	case Want:
		t.speak(e.From, func(v *version, p *peer) { v.onWant(p, e) })
	case Cancel:
		t.speak(e.From, func(v *version, p *peer) { v.cancel(p, e.Extents) })
	case Progress:
		t.progress(e)
	case OriginFailed:
		t.speak(e.From, func(v *version, p *peer) { v.onOriginFailed(p, e) })
	case Touched:
		t.speak(e.From, func(v *version, p *peer) { v.onTouched(e.Extents) })
	case SessionUp:
		t.sessionUp(e)
	case SessionDown:
		t.sessionDown(e)
	case WakeFailed:
		t.wakeFailed(e)
	case Recalled:
		t.recalled(e)
	case PutOut:
		t.putOut(e.Err)
	case Tick:
		t.tick()
	}
	t.settle()
	out := t.out
	t.view, t.out = View{}, nil
	return out
}

// Next is when a Tick is due; zero means never.
func (t *Task) Next() time.Time { return t.next }

// Forgettable reports whether nothing would be lost by dropping the Task.
func (t *Task) Forgettable(now time.Time, o *Options) bool {
	return len(t.hosts) == 0 && t.facts.lease == 0 && len(t.facts.waiters) == 0 &&
		!t.idleSince.IsZero() && now.Sub(t.idleSince) >= o.TaskTTL
}

// Peers returns how many Peers take part in all versions.
func (t *Task) Peers() int {
	n := 0
	for _, v := range t.versions {
		n += len(v.peers)
	}
	return n
}

func (t *Task) opts() *Options { return t.view.Options }

func (t *Task) do(a Action) { t.out = append(t.out, a) }

func (t *Task) count(c Counter, n int64) {
	if n != 0 {
		t.do(Count{c, n})
	}
}

func (t *Task) version(id pieces.VersionID) *version {
	for _, v := range t.versions {
		if v.id == id {
			return v
		}
	}
	return nil
}

// speak finds the Peer that a session message names and lets f handle it. A
// peer that is not here on this session is told to register again; messages of
// an older session are dropped.
func (t *Task) speak(from From, f func(*version, *peer)) {
	v := t.version(from.Version)
	var p *peer
	if v != nil {
		p = v.peers[from.Host]
	}
	switch {
	case p == nil || p.state == silent:
		t.reject(from, "not registered here", time.Millisecond)
		return
	case p.session == 0:
		v.attach(p, from.Session)
	case p.session > from.Session:
		return
	case p.session < from.Session:
		t.reject(from, "registered on an older session", time.Millisecond)
		return
	}
	f(v, p)
}

func (t *Task) reject(to From, why string, retry time.Duration) {
	t.do(Send{to.Host, to.Session, to.Version, Rejected{why, retry}})
}

// settle carries out what the event left to be done once per Step, and plans
// the next Tick.
func (t *Task) settle() {
	for _, v := range t.versions {
		v.settle()
	}
	t.versions = slices.DeleteFunc(t.versions, func(v *version) bool {
		return len(v.peers) == 0 && len(v.expelled) == 0 && v.inQuarantine() == nil
	})
	t.plan()
}

// tick does what time alone brings about.
func (t *Task) tick() {
	t.tickFacts()
	for _, v := range t.versions {
		v.inQuarantine()
		v.tickLeases()
		v.tickRereads()
		v.tickClassic()
		v.tickStuck()
		v.collect()
		v.forgive()
		v.due, v.fed = true, true
	}
}

// How often a Task with something running is looked at.
const (
	leasePace  = 500 * time.Millisecond
	wantPace   = 200 * time.Millisecond
	orphanPace = time.Second
)

func (t *Task) plan() {
	t.next = time.Time{}
	at := func(when time.Time) {
		if !when.IsZero() && (t.next.IsZero() || when.Before(t.next)) {
			t.next = when
		}
	}
	if t.facts.lease != 0 {
		at(t.facts.leaseUntil)
	}
	for _, w := range t.facts.waiters[:min(1, len(t.facts.waiters))] {
		at(w.until) // the first waits longest
		if t.facts.lease == 0 {
			at(t.facts.seedUntil)
		}
	}
	for _, v := range t.versions {
		if len(v.leases)+len(v.rereads)+len(v.disputes) > 0 {
			at(t.now.Add(leasePace))
		}
		if v.doubted.Count() > 0 || v.classic() && v.wanters.len() > 0 {
			at(t.now.Add(orphanPace))
		}
		at(v.quarantineEnd)
		if v.pending() || v.unfed || v.stuck.len() > 0 {
			at(t.now.Add(wantPace))
		}
		if v.bad.len() > 0 || v.orphans.len() > 0 && v.eligible.len() > 0 {
			at(t.now.Add(orphanPace))
		}
		if v.silent.len() > 0 || v.detached > 0 {
			at(t.now.Add(t.opts().PeerTTL))
		}
		if len(v.expelled) > 0 {
			at(t.now.Add(t.opts().PeerTTL))
		}
	}
	if len(t.hosts) > 0 {
		t.idleSince = time.Time{}
	} else {
		if t.idleSince.IsZero() {
			t.idleSince = t.now
		}
		// Once only: whoever ticks then forgets the Task.
		if end := t.idleSince.Add(t.opts().TaskTTL); end.After(t.now) {
			at(end)
		}
	}
}
