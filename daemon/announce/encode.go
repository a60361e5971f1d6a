package announce

import (
	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
)

// encode gives the message of one report.
func encode(e *entry) *schedulerpb.PeerMessage {
	m := &schedulerpb.PeerMessage{Task: string(e.key.Task), Version: string(e.key.Version)}
	switch r := e.report.(type) {
	case *heldReport:
		m.Body = &schedulerpb.PeerMessage_Held{Held: encodeHeld(r.HeldReport)}
	case *lostReport:
		m.Body = &schedulerpb.PeerMessage_Lost{Lost: &schedulerpb.Lost{Extents: wire.ExtentsTo(r.extents)}}
	case *cancelReport:
		m.Body = &schedulerpb.PeerMessage_Cancel{Cancel: &schedulerpb.Cancel{Extents: wire.ExtentsTo(r.extents)}}
	case *touchedReport:
		m.Body = &schedulerpb.PeerMessage_Touched{Touched: &schedulerpb.Touched{Extents: wire.ExtentsTo(r.extents)}}
	case *failedReport:
		m.Body = &schedulerpb.PeerMessage_Failed{Failed: &schedulerpb.Failed{
			HostId: string(r.host), Extents: wire.ExtentsTo(r.extents), Reason: wire.FailReasonTo(r.reason)}}
	case *wantReport:
		want := &schedulerpb.Want{Extents: wire.ExtentsTo(r.extents), Class: wire.ClassTo(r.class), Traceparent: r.trace.String()}
		for _, h := range r.failed {
			want.FailedHosts = append(want.FailedHosts, string(h))
		}
		m.Body = &schedulerpb.PeerMessage_Want{Want: want}
	case *progressReport:
		m.Body = &schedulerpb.PeerMessage_LeaseProgress{LeaseProgress: &schedulerpb.LeaseProgress{LeaseId: uint64(r.lease), Bytes: r.bytes}}
	case *originErrorReport:
		m.Body = &schedulerpb.PeerMessage_OriginError{OriginError: &schedulerpb.OriginError{LeaseId: uint64(r.lease), Error: wire.ErrorTo(r.err)}}
	}
	return m
}

func encodeHeld(r HeldReport) *schedulerpb.Held {
	m := &schedulerpb.Held{
		Extents: wire.ExtentsTo(r.Extents),
		Sums:    wire.SumRunsTo(r.Sums),
		LeaseId: uint64(r.Lease),
		Rate:    r.Rate,
	}
	for _, c := range r.Costs {
		m.Costs = append(m.Costs, &schedulerpb.ParentCost{HostId: string(c.Host), MsPerMib: c.MsPerMiB})
	}
	return m
}

func hello(id pieces.HostID) *schedulerpb.PeerMessage {
	return &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Hello{Hello: &schedulerpb.Hello{HostId: string(id)}}}
}

func beat() *schedulerpb.PeerMessage {
	return &schedulerpb.PeerMessage{Body: &schedulerpb.PeerMessage_Heartbeat{Heartbeat: &schedulerpb.Heartbeat{}}}
}

func encodeLeases(leases map[pieces.LeaseID][]pieces.Extent) []*schedulerpb.RunningLease {
	var ms []*schedulerpb.RunningLease
	for id, es := range leases {
		ms = append(ms, &schedulerpb.RunningLease{LeaseId: uint64(id), Extents: wire.ExtentsTo(es)})
	}
	return ms
}
