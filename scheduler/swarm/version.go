package swarm

import (
	"time"

	"damselfly/pieces"
)

// version is the swarm of one Version.
type version struct {
	t     *Task
	id    pieces.VersionID
	facts pieces.Facts
	geo   pieces.Geometry
	n     int // pieces
	// replaced: a newer Version is current; no leases any more.
	replaced bool
	// changed: the origin no longer serves this Version, as a reader found;
	// no leases until the facts are confirmed.
	changed *pieces.Error
	// confirmed: the facts contradicted changed, and nothing was delivered
	// since.
	confirmed bool

	peers                                                           map[pieces.HostID]*peer
	seats                                                           seats
	eligible, orphans, wanters, completes, silent, bad, here, stuck pool
	// local are the eligible by data centre, of those who name one.
	local map[string]*pool
	// stuckTurn is where in stuck the next Tick begins to look.
	stuckTurn int
	// detached counts live peers without a session.
	detached int
	// firstDone: a normal peer has completed, seeds are no longer preferred.
	firstDone bool
	// expelled hosts contradicted the record; kept until the time given.
	expelled map[pieces.HostID]time.Time

	digests digests
	// disputes are pieces about whose digest peers disagree. doubted are those
	// and the ones whose record was struck out while somebody holds them:
	// rereads find out. proven digests were read alike by two.
	disputes map[int]*dispute
	doubted  pieces.Set
	rereads  []*reread
	proven   pieces.Set
	// early are digests that were told before their turn, by piece.
	early map[int]map[pieces.HostID]claim
	// lostDisputes counts, by host, what was passed on and turned out wrong.
	lostDisputes map[pieces.HostID]int
	// quarantined: the origin contradicted itself. No leases, parents or
	// holders before quarantineEnd.
	quarantined   *pieces.Error
	quarantineEnd time.Time

	holders []holderSlot // by piece; nil until somebody holds something

	leases []*lease
	leased pieces.Set // what running leases still cover
	// need holds, by class, pieces that are wanted and neither available nor
	// leased. It may hold more: pieces nobody wants any more are dropped when
	// their turn comes.
	need  [pieces.Classes]pieces.Set
	grace time.Time
	// allowance is what may be read again of what others hold.
	allowance allowance
	wake      wake
	// tired seeds did not come when woken; passed over until the time given.
	tired map[string]time.Time
	// starved is since when something needed has nobody to read it.
	starved time.Time

	// Gathered during one Step, carried out by settle.
	fresh     []int    // pieces that became available
	recorded  []int    // pieces whose digest became known
	started   []*lease // leases that began
	corrected []int    // pieces whose record was wrong
	touched   []*peer  // peers with a changed list of parents
	due       bool     // leases may be granted
	fed       bool     // someone became eligible
	unfed     bool     // orphans are left that a later Tick should look at
	epoch     uint64   // for marks in graph walks
}

func (t *Task) newVersion(facts pieces.Facts) (*version, *pieces.Error) {
	geo, err := facts.Geometry()
	if err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "facts of task %s: %w", t.id.Short(), err)
	}
	v := &version{
		t: t, id: facts.VersionID(), facts: facts, geo: geo, n: geo.Count(),
		peers: map[pieces.HostID]*peer{},
	}
	v.eligible.kind, v.orphans.kind, v.wanters.kind = inEligible, inOrphans, inWanters
	v.completes.kind, v.silent.kind, v.bad.kind = inComplete, inSilent, inBad
	v.here.kind, v.stuck.kind = inHere, inStuck
	v.replaced = t.facts.version != v.id
	t.versions = append(t.versions, v)
	return v, nil
}

// send puts a message on p's session. A peer without one gets nothing: what it
// missed is told when it attaches.
func (v *version) send(p *peer, m Message) {
	if p.state == live && p.session != 0 {
		v.t.do(Send{p.id, p.session, v.id, m})
	}
}

// settle does once per Step what several changes may have asked for.
func (v *version) settle() {
	if v.due {
		v.grantRereads() // who can't be believed goes before others are fed
	}
	v.feed()
	if v.due {
		v.due = false
		v.grant()
		v.feed() // from those who read the origin now
	}
	v.tellCorrected()
	v.notify()
	v.tellParents()
}

// replace ends all that needs the origin: it has a newer Version now.
func (v *version) replace() {
	v.replaced = true
	for len(v.leases) > 0 {
		v.endLease(v.leases[0], "the version was replaced")
	}
	v.dropDisputes("the version was replaced")
	v.failWants(pieces.Errorf(pieces.Changed, "version %s of task %s was replaced", v.id, v.t.id.Short()))
	for _, p := range v.sorted() {
		v.send(p, NewFacts{*v.t.facts.facts})
	}
}
