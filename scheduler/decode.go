package scheduler

import (
	"math"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// decode turns a message of a session into an event; nil if this version does
// not know its kind. Errors are Invalid.
func decode(ses *session, m *schedulerpb.PeerMessage) (pieces.TaskID, swarm.Event, error) {
	id, err := pieces.ParseTaskID(m.Task)
	if err != nil {
		return "", nil, err
	}
	from := swarm.From{Host: ses.host, Session: ses.number}
	// The facts of a Task have no Version yet while somebody reads them.
	if p := m.GetLeaseProgress(); p != nil && m.Version == "" {
		return id, swarm.Progress{From: from, Lease: pieces.LeaseID(p.LeaseId), Bytes: p.Bytes}, nil
	}
	if from.Version, err = pieces.ParseVersionID(m.Version); err != nil {
		return "", nil, err
	}
	ev, err := decodeBody(from, m)
	return id, ev, err
}

func decodeBody(from swarm.From, m *schedulerpb.PeerMessage) (swarm.Event, error) {
	switch b := m.Body.(type) {
	case *schedulerpb.PeerMessage_Held:
		return decodeHeld(from, b.Held)
	case *schedulerpb.PeerMessage_Lost:
		es, err := wire.ExtentsFrom(b.Lost.GetExtents())
		return swarm.Lost{From: from, Extents: es}, err
	case *schedulerpb.PeerMessage_Failed:
		return decodeFailed(from, b.Failed)
	case *schedulerpb.PeerMessage_Want:
		return decodeWant(from, b.Want)
	case *schedulerpb.PeerMessage_Cancel:
		es, err := wire.ExtentsFrom(b.Cancel.GetExtents())
		return swarm.Cancel{From: from, Extents: es}, err
	case *schedulerpb.PeerMessage_LeaseProgress:
		p := b.LeaseProgress
		return swarm.Progress{From: from, Lease: pieces.LeaseID(p.GetLeaseId()), Bytes: p.GetBytes()}, nil
	case *schedulerpb.PeerMessage_OriginError:
		e := b.OriginError
		return swarm.OriginFailed{From: from, Lease: pieces.LeaseID(e.GetLeaseId()), Err: originError(wire.ErrorFrom(e.GetError()))}, nil
	case *schedulerpb.PeerMessage_Touched:
		es, err := wire.ExtentsFrom(b.Touched.GetExtents())
		return swarm.Touched{From: from, Extents: es}, err
	}
	return nil, nil
}

func decodeHeld(from swarm.From, m *schedulerpb.Held) (swarm.Event, error) {
	e := swarm.Held{From: from, Lease: pieces.LeaseID(m.GetLeaseId())}
	var err error
	if e.Extents, err = wire.ExtentsFrom(m.GetExtents()); err != nil {
		return nil, err
	}
	if e.Sums, err = wire.SumRunsFrom(m.GetSums()); err != nil {
		return nil, err
	}
	if r := m.GetRate(); r > 0 && !math.IsInf(r, 0) {
		e.Rate = r
	}
	for _, c := range m.GetCosts() {
		h, err := pieces.ParseHostID(c.GetHostId())
		if err != nil {
			return nil, err
		}
		e.Costs = append(e.Costs, swarm.Cost{Host: h, MsPerMiB: c.GetMsPerMib()})
	}
	return e, nil
}

func decodeFailed(from swarm.From, m *schedulerpb.Failed) (swarm.Event, error) {
	h, err := pieces.ParseHostID(m.GetHostId())
	if err != nil {
		return nil, err
	}
	es, err := wire.ExtentsFrom(m.GetExtents())
	if err != nil {
		return nil, err
	}
	reason, err := wire.FailReasonFrom(m.GetReason())
	return swarm.Failed{From: from, Parent: h, Extents: es, Reason: reason}, err
}

func decodeWant(from swarm.From, m *schedulerpb.Want) (swarm.Event, error) {
	e := swarm.Want{From: from}
	var err error
	if e.Extents, err = wire.ExtentsFrom(m.GetExtents()); err != nil {
		return nil, err
	}
	if e.Class, err = wire.ClassFrom(m.GetClass()); err != nil {
		return nil, err
	}
	for _, s := range m.GetFailedHosts() {
		h, err := pieces.ParseHostID(s)
		if err != nil {
			return nil, err
		}
		e.Failed = append(e.Failed, h)
	}
	return e, nil
}

// originError makes sure that an error is there and has a kind.
func originError(err error) *pieces.Error {
	if e, ok := err.(*pieces.Error); ok && e != nil {
		return e
	}
	return pieces.Errorf(pieces.Origin, "the origin failed without saying how")
}
