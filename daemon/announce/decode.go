package announce

import (
	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/trace"
	"damselfly/proto/wire"
)

// moved and rejected are events for the Client, not for handlers.
type (
	moved    struct{ address string }
	rejected struct {
		reason       string
		retryAfterMs uint32
	}
)

func (moved) event()    {}
func (rejected) event() {}

// decode reads a message for one Peer. An error is Invalid and says what is
// wrong with it; nil, nil is a message that this version does not know.
func decode(m *schedulerpb.SchedulerMessage) (Event, error) {
	switch b := m.Body.(type) {
	case *schedulerpb.SchedulerMessage_Parents:
		ps, err := wire.ParentsFrom(b.Parents.GetParents())
		return Parents{ps}, err
	case *schedulerpb.SchedulerMessage_Holders:
		hs, err := wire.HoldersFrom(b.Holders.GetHolders())
		return Holders{hs}, err
	case *schedulerpb.SchedulerMessage_Digests:
		rs, err := wire.SumRunsFrom(b.Digests.GetSums())
		return Digests{rs}, err
	case *schedulerpb.SchedulerMessage_Lease:
		return decodeLease(b.Lease)
	case *schedulerpb.SchedulerMessage_LeaseEnd:
		return LeaseEnd{ID: pieces.LeaseID(b.LeaseEnd.GetId()), Reason: b.LeaseEnd.GetReason()}, nil
	case *schedulerpb.SchedulerMessage_AccessOrder:
		es, err := wire.ExtentsFrom(b.AccessOrder.GetExtents())
		return AccessOrder{es}, err
	case *schedulerpb.SchedulerMessage_TaskFacts:
		f, err := wire.FactsFrom(b.TaskFacts.GetFacts())
		return FactsChanged{f}, err
	case *schedulerpb.SchedulerMessage_OriginError:
		return decodeOriginError(b.OriginError)
	case *schedulerpb.SchedulerMessage_Moved:
		return moved{b.Moved.GetAddress()}, nil
	case *schedulerpb.SchedulerMessage_Rejected:
		return rejected{b.Rejected.GetReason(), b.Rejected.GetRetryAfterMs()}, nil
	}
	return nil, nil
}

func decodeLease(m *schedulerpb.Lease) (Event, error) {
	e, err := wire.ExtentFrom(m.GetExtent())
	if err != nil {
		return nil, err
	}
	class, err := wire.ClassFrom(m.GetClass())
	if err != nil {
		return nil, err
	}
	if m.GetId() == 0 {
		return nil, pieces.Errorf(pieces.Invalid, "a lease without number")
	}
	return Lease{ID: pieces.LeaseID(m.GetId()), Extent: e, Class: class, Reread: m.GetReread(), Trace: trace.Parse(m.GetTraceparent())}, nil
}

func decodeOriginError(m *schedulerpb.OriginError) (Event, error) {
	es, err := wire.ExtentsFrom(m.GetExtents())
	if err != nil {
		return nil, err
	}
	cause := wire.ErrorFrom(m.GetError())
	if cause == nil {
		return nil, pieces.Errorf(pieces.Invalid, "an origin error without error")
	}
	return OriginError{Lease: pieces.LeaseID(m.GetLeaseId()), Extents: es, Err: cause}, nil
}

// fits refuses events that speak of pieces the content does not have.
func fits(e Event, g pieces.Geometry) bool {
	inside := func(es ...pieces.Extent) bool {
		for _, e := range es {
			if !g.Contains(e) {
				return false
			}
		}
		return true
	}
	switch e := e.(type) {
	case Lease:
		return inside(e.Extent)
	case OriginError:
		return inside(e.Extents...)
	case AccessOrder:
		return inside(e.Order...)
	case Digests:
		for _, r := range e.Runs {
			if !inside(r.Extent()) {
				return false
			}
		}
	case Holders:
		for _, h := range e.Holders {
			if !inside(h.Held...) || !inside(h.Fetching...) {
				return false
			}
		}
	}
	return true
}

// decodeRegistration reads the answer to a registration, which is not Moved.
// What can be checked without a digest is checked here.
func decodeRegistration(m *schedulerpb.RegisterPeerTaskReply, from string) (Registration, error) {
	r := Registration{Scheduler: from}
	var err error
	if r.Facts, err = wire.FactsFrom(m.Facts); err != nil {
		return r, err
	}
	if r.Version, err = pieces.ParseVersionID(m.Version); err != nil {
		return r, err
	}
	g, err := r.Facts.Geometry()
	if err != nil {
		return r, err
	}
	if r.Facts.VersionID() != r.Version {
		return r, pieces.Errorf(pieces.Invalid, "the facts answered for version %s are those of another one", r.Version)
	}
	if r.Scope, err = wire.ScopeFrom(m.Scope); err != nil {
		return r, err
	}
	if r.Parents, err = wire.ParentsFrom(m.Parents); err != nil {
		return r, err
	}
	if r.AccessOrder, err = wire.ExtentsFrom(m.AccessOrder); err != nil {
		return r, err
	}
	if r.Policy, err = wire.PolicyFrom(m.Policy); err != nil {
		return r, err
	}
	if m.Sums != nil {
		if r.Sums, err = wire.SumRunsFrom([]*commonpb.Sums{m.Sums}); err != nil {
			return r, err
		}
	}
	if !fits(Digests{r.Sums}, g) || !fits(AccessOrder{r.AccessOrder}, g) {
		return r, pieces.Errorf(pieces.Invalid, "the answer speaks of pieces that version %s does not have", r.Version)
	}
	r.Tiny = tinyOf(m.Tiny, r)
	return r, nil
}

// tinyOf returns b if it can be the whole content, else nil: then the Task is
// read as any other.
func tinyOf(b []byte, r Registration) []byte {
	if len(b) == 0 || int64(len(b)) != r.Facts.Size || len(b) > pieces.TinySize {
		return nil
	}
	if len(r.Sums) > 0 && pieces.SumOf(b) != r.Sums[0].Sums[0] {
		return nil
	}
	return b
}
