package swarm

import (
	"time"

	"damselfly/pieces"
)

// Event is something that happened to a Task. Extents outside the content are
// clipped; numbers of sessions, leases and calls are the wrapper's.
type Event interface{ isEvent() }

// From names the Peer that speaks, and on which session.
type From struct {
	Host    pieces.HostID
	Session uint64
	Version pieces.VersionID
}

// The unary calls.
type (
	// Stat asks for facts, or (Lease ≠ 0) brings the result of a facts lease:
	// Facts, or Err, or neither when the caller gave it up. Answered by one
	// StatReply with the same Call, maybe in a later Step.
	Stat struct {
		Call     uint64
		Host     pieces.HostID
		CanFetch bool
		Lease    pieces.LeaseID
		Facts    *pieces.Facts
		Err      *pieces.Error
		// Tiny is the whole content, with Facts, if small and public.
		Tiny []byte
	}
	// StatGone: the caller of a Stat no longer waits.
	StatGone struct{ Call uint64 }
	// Register makes a host a Peer. Answered in the same Step by one
	// RegisterReply. Session is the host's present one, 0 if none.
	Register struct {
		Host     pieces.HostID
		Session  uint64
		Version  pieces.VersionID // empty = current
		CanFetch bool
		Resumed  bool
		Leases   []RunningLease
		Facts    *pieces.Facts
		Held     []pieces.Extent
		// Sums of held pieces: all for small content; others follow as Held.
		Sums []pieces.SumRun
	}
	// Leave takes a host's Peer out of a Version, or of all if it is empty.
	Leave struct {
		Host    pieces.HostID
		Version pieces.VersionID
	}
)

// RunningLease is a lease that a resumed peer still works on.
type RunningLease struct {
	ID      pieces.LeaseID
	Extents []pieces.Extent
}

// Cost is one piece download from Host, as its child measured it.
type Cost struct {
	Host     pieces.HostID
	MsPerMiB float64
}

// What peers say on their session. Lease progress of a facts lease has an empty
// Version.
type (
	Held struct {
		From
		Extents []pieces.Extent
		Sums    []pieces.SumRun
		Lease   pieces.LeaseID
		Costs   []Cost
		Rate    float64 // bytes/s, 0 = unknown
	}
	Lost struct {
		From
		Extents []pieces.Extent
	}
	Failed struct {
		From
		Parent  pieces.HostID
		Extents []pieces.Extent
		Reason  pieces.FailReason
	}
	Want struct {
		From
		Extents []pieces.Extent
		Class   pieces.Class
		Failed  []pieces.HostID
	}
	Cancel struct {
		From
		Extents []pieces.Extent
	}
	Progress struct {
		From
		Lease pieces.LeaseID
		Bytes int64
	}
	OriginFailed struct {
		From
		Lease pieces.LeaseID
		Err   *pieces.Error
	}
	Touched struct {
		From
		Extents []pieces.Extent
	}
)

// What happens around the Task.
type (
	// SessionUp: a host without session has one now.
	SessionUp struct {
		Host    pieces.HostID
		Session uint64
	}
	// SessionDown: this session of the host ended.
	SessionDown struct {
		Host    pieces.HostID
		Session uint64
	}
	// WakeFailed: the seed could not be woken.
	WakeFailed struct {
		Seed    string
		Version pieces.VersionID
	}
	// Recalled is the access order of a Version that a catalogue kept.
	Recalled struct {
		Version pieces.VersionID
		Order   []pieces.Extent
	}
	// PutOut takes everybody out of the Task: it is not served any more.
	PutOut struct{ Err *pieces.Error }
	// Tick lets time pass; due at Task.Next.
	Tick struct{}
)

func (Stat) isEvent()         {}
func (StatGone) isEvent()     {}
func (Register) isEvent()     {}
func (Leave) isEvent()        {}
func (Held) isEvent()         {}
func (Lost) isEvent()         {}
func (Failed) isEvent()       {}
func (Want) isEvent()         {}
func (Cancel) isEvent()       {}
func (Progress) isEvent()     {}
func (OriginFailed) isEvent() {}
func (Touched) isEvent()      {}
func (SessionUp) isEvent()    {}
func (SessionDown) isEvent()  {}
func (WakeFailed) isEvent()   {}
func (Recalled) isEvent()     {}
func (PutOut) isEvent()       {}
func (Tick) isEvent()         {}

// View is the world of one Step. Hosts and Options are immutable.
type View struct {
	Now     time.Time
	Hosts   *Hosts
	Options *Options
	Origin  OriginRest
}

// OriginRest is what Tasks of the same origin (scheme, host, port) have found,
// this one or others: it answers 429 or 503. The zero value: nothing of the kind.
type OriginRest struct {
	Err *pieces.Error
	// Until: nobody asks it before. In the past: this Task finds out whether it
	// has recovered.
	Until time.Time
}
