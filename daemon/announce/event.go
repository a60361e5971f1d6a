package announce

import (
	"time"

	"damselfly/pieces"
	"damselfly/proto/trace"
)

// Handler gets what the scheduler says to one Peer, in order and never two
// events at once, from the session's goroutine: it must not block. It may call
// the Peer's reports.
type Handler interface{ HandleEvent(Event) }

// Event is one of the types below.
type Event interface{ event() }

// The events of a Peer.
type (
	// Parents replaces the whole list of the Peer's parents.
	Parents struct{ Parents []pieces.Parent }
	// Holders answers a Want: who has it, or is fetching it under a lease.
	Holders struct{ Holders []pieces.Holder }
	// Digests are recorded digests for wanted pieces.
	Digests struct{ Runs []pieces.SumRun }
	// Lease permits this Peer to read the extent from the origin.
	Lease struct {
		ID     pieces.LeaseID
		Extent pieces.Extent
		Class  pieces.Class
		// Reread: read the pieces even if they are held, and report them held
		// with the digests as read.
		Reread bool
		// Trace is the span it is done for, if there is one.
		Trace trace.Parent
	}
	// LeaseEnd takes a lease back.
	LeaseEnd struct {
		ID     pieces.LeaseID
		Reason string
	}
	// AccessOrder is that of earlier readers, known only after the Peer
	// registered.
	AccessOrder struct{ Order []pieces.Extent }
	// FactsChanged: the Task has a newer Version than this Peer's.
	FactsChanged struct{ Facts pieces.Facts }
	// OriginError answers wanted extents: the origin failed for whoever read
	// them under lease Lease.
	OriginError struct {
		Lease   pieces.LeaseID
		Extents []pieces.Extent
		Err     error
	}
	// SessionDown: no scheduler hears this Peer. Reports are dropped until
	// SessionUp; leases may be used up meanwhile. Final: it was put out of
	// the Task, or no scheduler takes it, and only a new Register helps.
	SessionDown struct {
		Err   error
		Final bool
		// Since is when this Peer was last heard. While there may be another
		// scheduler it is the moment of the event; if none can be reached the
		// event comes again, with the time that is true.
		Since time.Time
	}
	// SessionUp: registered again, perhaps with another scheduler. What is
	// held and which leases run was told already; wants have to be stated
	// again.
	SessionUp struct{ Registration Registration }
)

func (Parents) event()      {}
func (Holders) event()      {}
func (Digests) event()      {}
func (Lease) event()        {}
func (LeaseEnd) event()     {}
func (AccessOrder) event()  {}
func (FactsChanged) event() {}
func (OriginError) event()  {}
func (SessionDown) event()  {}
func (SessionUp) event()    {}

// whole reports whether the Registration is all there is to get.
func (r *Registration) whole() bool { return r.Scope == pieces.ScopeEmpty || r.Tiny != nil }

// Registration is the scheduler's answer to a Peer that registered.
type Registration struct {
	Facts   pieces.Facts
	Version pieces.VersionID
	Scope   pieces.SizeScope
	// Parents, best first: up to 4, at most one for a Small Task.
	Parents []pieces.Parent
	// AccessOrder is the order in which earlier readers first touched pieces.
	AccessOrder []pieces.Extent
	// Tiny is the whole content of a Tiny Task if the scheduler has it; it
	// matches Facts.Size and Sums, if there are any.
	Tiny []byte
	// Sums of Tiny and Small Tasks, if recorded.
	Sums   []pieces.SumRun
	Policy pieces.Policy
	// Scheduler is the address that answered.
	Scheduler string
}
