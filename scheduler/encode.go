package scheduler

import (
	"time"

	"damselfly/pieces"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// encode makes the wire message of what a machine says to a Peer.
func encode(id pieces.TaskID, v pieces.VersionID, msg swarm.Message) *schedulerpb.SchedulerMessage {
	m := &schedulerpb.SchedulerMessage{Task: string(id), Version: string(v)}
	switch msg := msg.(type) {
	case swarm.Parents:
		m.Body = &schedulerpb.SchedulerMessage_Parents{Parents: &schedulerpb.Parents{Parents: wire.ParentsTo(msg.Parents)}}
	case swarm.Holders:
		m.Body = &schedulerpb.SchedulerMessage_Holders{Holders: &schedulerpb.Holders{Holders: wire.HoldersTo(msg.Holders)}}
	case swarm.Digests:
		m.Body = &schedulerpb.SchedulerMessage_Digests{Digests: &schedulerpb.Digests{
			Sums: wire.SumRunsTo(msg.Sums), Corrected: msg.Corrected,
		}}
	case swarm.Lease:
		m.Body = &schedulerpb.SchedulerMessage_Lease{Lease: &schedulerpb.Lease{
			Id: uint64(msg.ID), Extent: wire.ExtentTo(msg.Extent), Class: wire.ClassTo(msg.Class), Reread: msg.Reread,
		}}
	case swarm.LeaseEnd:
		m.Body = &schedulerpb.SchedulerMessage_LeaseEnd{LeaseEnd: &schedulerpb.LeaseEnd{Id: uint64(msg.ID), Reason: msg.Reason}}
	case swarm.AccessOrder:
		m.Body = &schedulerpb.SchedulerMessage_AccessOrder{AccessOrder: &schedulerpb.AccessOrder{Extents: wire.ExtentsTo(msg.Order)}}
	case swarm.NewFacts:
		m.Body = &schedulerpb.SchedulerMessage_TaskFacts{TaskFacts: &schedulerpb.TaskFacts{Facts: wire.FactsTo(msg.Facts)}}
	case swarm.OriginError:
		m.Body = &schedulerpb.SchedulerMessage_OriginError{OriginError: &schedulerpb.OriginError{
			Error: wire.ErrorTo(msg.Err), Extents: wire.ExtentsTo(msg.Extents),
		}}
	case swarm.Rejected:
		m.Body = &schedulerpb.SchedulerMessage_Rejected{Rejected: &schedulerpb.Rejected{
			Reason: msg.Reason, RetryAfterMs: millis(msg.Retry),
		}}
	}
	return m
}

func encodeRegistration(r *swarm.RegisterReply) *schedulerpb.RegisterPeerTaskReply {
	m := &schedulerpb.RegisterPeerTaskReply{
		Version: string(r.Version), Facts: wire.FactsTo(r.Facts), Scope: wire.ScopeTo(r.Scope),
		Parents: wire.ParentsTo(r.Parents), AccessOrder: wire.ExtentsTo(r.Order), Tiny: r.Tiny,
		Policy: wire.PolicyTo(r.Policy),
	}
	if r.Sums != nil {
		m.Sums = wire.SumRunTo(*r.Sums)
	}
	return m
}

// millis rounds up, so that no wait becomes none.
func millis(d time.Duration) uint32 {
	return uint32((d + time.Millisecond - 1) / time.Millisecond)
}
