package swarm

import (
	"time"

	"damselfly/pieces"
)

// Action is something the wrapper must do, in the order given.
type Action interface{ isAction() }

type (
	// StatReply answers a Stat: an error, or facts, or a lease, or both, or
	// (none of them) ask again after Wait.
	StatReply struct {
		Call  uint64
		Facts *pieces.Facts
		Lease pieces.LeaseID
		Wait  time.Duration
		Err   *pieces.Error
	}
	// RegisterReply answers a Register.
	RegisterReply struct {
		Err     *pieces.Error
		Version pieces.VersionID
		Facts   pieces.Facts
		Scope   pieces.SizeScope
		Parents []pieces.Parent
		Order   []pieces.Extent
		Tiny    []byte
		Sums    *pieces.SumRun
		Policy  pieces.Policy
	}
	// Send puts a message for a Peer on a host's session; if that session is
	// no longer the host's, it is dropped.
	Send struct {
		Host    pieces.HostID
		Session uint64
		Version pieces.VersionID
		Msg     Message
	}
	// Wake calls ObtainSeeds at a seed; an error comes back as WakeFailed.
	// Without Version only facts are wanted.
	Wake struct {
		Seed    string
		Version pieces.VersionID
		Facts   *pieces.Facts
	}
	// Joined and Left: the host's first Peer of this Task came, its last went.
	Joined struct{ Host pieces.HostID }
	Left   struct{ Host pieces.HostID }
	// Uploads counts pieces a host delivered, or failed to, as told by others.
	Uploads struct {
		Host       pieces.HostID
		OK, Failed int
	}
	// OriginRests: the origin asked to be left alone (429, 503), for all Tasks of
	// the same scheme, host and port. OriginAnswers: this Task, which was to find
	// out, got another answer.
	OriginRests   struct{ Err *pieces.Error }
	OriginAnswers struct{}
	// Count adds to a metric.
	Count struct {
		What Counter
		N    int64
	}
)

func (StatReply) isAction()     {}
func (RegisterReply) isAction() {}
func (Send) isAction()          {}
func (Wake) isAction()          {}
func (Joined) isAction()        {}
func (Left) isAction()          {}
func (Uploads) isAction()       {}
func (OriginRests) isAction()   {}
func (OriginAnswers) isAction() {}
func (Count) isAction()         {}

// Counter names a metric of the machine.
type Counter uint8

// The counters.
const (
	LeasesGranted Counter = iota
	LeasesEnded           // before all their pieces were held
	LeasedBytes
	RepeatBytes // leased though a live peer held them
	FactsLeases
	ParentsReplaced
	Conflicts       // hosts put out
	BadBytes        // hosts accused of wrong bytes, each once per child
	Disputes        // pieces about which peers disagreed
	RereadBytes     // read again from the origin to settle what a digest is
	Corrections     // records that turned out wrong
	Quarantines     // Versions of which the origin contradicted itself
	Counters    int = iota
)

var counterNames = [Counters]string{
	"leases_granted", "leases_ended", "leased_bytes", "origin_repeat_bytes", "facts_leases",
	"parents_replaced", "digest_conflicts",
	"bad_bytes", "digest_disputes", "origin_reread_bytes", "digest_corrections", "versions_quarantined",
}

func (c Counter) String() string { return counterNames[c] }

// Message travels to a Peer on its host's session.
type Message interface{ isMessage() }

type (
	// Parents replaces the whole list of the peer's parents, best first.
	Parents struct{ Parents []pieces.Parent }
	// Holders adds to what the peer knows of who holds or fetches.
	Holders struct{ Holders []pieces.Holder }
	// Digests of pieces the peer wants. Corrected: the record was wrong; what
	// is held with another digest is dropped and reported as Lost.
	Digests struct {
		Sums      []pieces.SumRun
		Corrected bool
	}
	// Lease permits reading the extent from the origin. Reread: others
	// disagree about it; it is read though it may be held, and judged by the
	// origin's bytes alone.
	Lease struct {
		ID     pieces.LeaseID
		Extent pieces.Extent
		Class  pieces.Class
		Reread bool
	}
	// LeaseEnd: stop reading.
	LeaseEnd struct {
		ID     pieces.LeaseID
		Reason string
	}
	// AccessOrder of earlier readers, for who registered before it was known.
	AccessOrder struct{ Order []pieces.Extent }
	// NewFacts: the Task has a newer Version than the peer's.
	NewFacts struct{ Facts pieces.Facts }
	// OriginError ends the wants for these extents.
	OriginError struct {
		Err     *pieces.Error
		Extents []pieces.Extent
	}
	// Rejected: the peer is unknown or put out; register again after Retry,
	// 0 = never.
	Rejected struct {
		Reason string
		Retry  time.Duration
	}
)

func (Parents) isMessage()     {}
func (Holders) isMessage()     {}
func (Digests) isMessage()     {}
func (Lease) isMessage()       {}
func (LeaseEnd) isMessage()    {}
func (AccessOrder) isMessage() {}
func (NewFacts) isMessage()    {}
func (OriginError) isMessage() {}
func (Rejected) isMessage()    {}
