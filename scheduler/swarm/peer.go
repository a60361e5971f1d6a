package swarm

import (
	"time"

	"damselfly/pieces"
)

// peerState is how far a Peer can be reached.
type peerState uint8

const (
	// live: registered. With session 0 it was not heard on a session yet:
	// messages for it are dropped and it gets no leases.
	live peerState = iota
	// silent: its session ended. It is nobody's parent or holder, and comes
	// back only by registering.
	silent
)

// peer is one host taking part in one Version.
//
// Invariants: a silent peer has no edges, wants or leases and is only in the
// pool of the silent. A complete peer has no parents. wants is the number of
// pieces in want, whose sets are disjoint and hold no held piece.
type peer struct {
	// What is read of each of many candidates stands first and together.
	id    pieces.HostID
	host  hostAt // look it up by version.host
	seat  seat
	mark  uint64
	state peerState
	seed  bool
	// canFetch: has all that the origin asks for.
	canFetch bool
	complete bool
	// badUntil: out of the eligible set before this.
	badUntil time.Time
	blocked  map[pieces.HostID]block
	// idc is under which it is in version.local; "" = not.
	idc      string
	children []*peer
	pos      [pools]int
	held     pieces.Set

	session uint64
	since   time.Time // of state or registration

	parents  []*peer   // best first when chosen
	relinked time.Time // the parents last changed

	leases int // running
	// lent are the pieces it ever had a lease for.
	lent pieces.Set
	// rest: no leases but demand before this.
	rest time.Time

	want  [pieces.Classes]*pieces.Set
	wants int
	// asked says when a demanded piece was first asked for, for the repeat rule.
	asked map[int]time.Time
	// stuck are wanted pieces that it can get from nobody, and may not read
	// again now: looked at again with each Tick. fed is when it last got a
	// piece from another peer, or began to want some.
	stuck pieces.Set
	fed   time.Time
	// failing are the children for which it failed since any got a piece from it.
	failing map[pieces.HostID]struct{}
	// named holds the peers that were named to it as holders.
	named map[*peer]struct{}
	// wasNamed: it may be in the named of others.
	wasNamed bool

	// accusers say that it sent them wrong bytes. accused are the hosts of
	// which it says so itself, fine counts the pieces it got in order.
	accusers map[pieces.HostID]struct{}
	accused  []pieces.HostID
	fine     int
	// stale are pieces it holds with digests that contradict the record: it is
	// not counted as their holder until it says that it lost them, or that it
	// holds them as recorded.
	stale   pieces.Set
	costs   costs
	rate    float64 // bytes/s, 0 = unknown
	replace time.Time

	// told: the list of parents changed since the peer was told.
	changed bool
	// lacking: lost a parent in this Step.
	lacking bool
}

// wantClass returns the class at which p wants piece i.
func (p *peer) wantClass(i int) (pieces.Class, bool) {
	for c, s := range p.want {
		if s != nil && s.Has(i) {
			return pieces.Class(c), true
		}
	}
	return 0, false
}

func (p *peer) wantsPiece(i int) bool {
	_, ok := p.wantClass(i)
	return ok
}

// block says until when a host is not named to this peer, and how long the
// block was.
type block struct {
	until  time.Time
	length time.Duration
}

func (p *peer) blocks(id pieces.HostID, now time.Time) bool {
	b, ok := p.blocked[id]
	return ok && now.Before(b.until)
}

const maxBlocked = 256

// blockHost blocks a host that failed for p: longer each time, forgotten when
// it has behaved for as long as it was blocked. What fails while it is blocked
// was under way before, and counts as the same failure.
func (p *peer) blockHost(id pieces.HostID, now time.Time, o *Options) {
	if p.blocked == nil {
		p.blocked = map[pieces.HostID]block{}
	}
	for k, b := range p.blocked {
		if now.After(b.until.Add(b.length)) {
			delete(p.blocked, k)
		}
	}
	b, again := p.blocked[id]
	if again && now.Before(b.until) {
		return
	}
	if !again && len(p.blocked) >= maxBlocked {
		return
	}
	if again {
		b.length = min(2*b.length, o.BlockMax)
	} else {
		b.length = o.BlockMin
	}
	b.until = now.Add(b.length)
	p.blocked[id] = b
}

// expected is the time p's whole download takes at its rate, at least 1 s.
func (p *peer) expected(size int64, o *Options) time.Duration {
	rate := p.rate
	if rate <= 0 {
		rate = o.DefaultRate
	}
	return max(time.Second, time.Duration(float64(size)/rate*float64(time.Second)))
}
