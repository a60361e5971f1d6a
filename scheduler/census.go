package scheduler

import (
	"context"
	"time"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
	"damselfly/proto/schedulerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/swarm"
)

// census is the Census service: what managers show to people. Its answers are
// bounded.
type census struct {
	schedulerpb.UnimplementedCensusServer
	*Server
}

// Bounds of an answer.
const (
	defaultListed = 200
	maxListed     = 1000
	// listedExtents of each Peer, and of all; some 10 bytes each.
	listedExtents, totalExtents = 512, 1 << 18
	// flowsPerPeer listed; the busiest come first.
	flowsPerPeer = 8
)

// GetSwarm answers the swarms of a Task as they are now. From the first call on
// who sends to whom is counted, until nobody has asked for 30 s.
func (c census) GetSwarm(_ context.Context, m *schedulerpb.GetSwarmRequest) (*schedulerpb.GetSwarmReply, error) {
	id, err := pieces.ParseTaskID(m.Task)
	if err != nil {
		return nil, err
	}
	if m.MaxPeers > maxListed {
		return nil, pieces.Errorf(pieces.Invalid, "max_peers %d: want 1 to %d, or 0 for %d", m.MaxPeers, maxListed, defaultListed)
	}
	most := int(m.MaxPeers)
	if most == 0 {
		most = defaultListed
	}
	e := c.tasks.find(id)
	if e == nil {
		return nil, errNoSwarm(id)
	}
	standings, flows := c.look(e, most)
	if len(standings) == 0 {
		return nil, errNoSwarm(id)
	}
	hosts, reply := c.hosts.view.Load(), &schedulerpb.GetSwarmReply{}
	for i, s := range standings {
		v := standingTo(s, hosts)
		v.Scheduler, v.Task, v.Flows = c.o.Advertise, string(id), flowsTo(flows[i][:min(len(flows[i]), flowsPerPeer*most)])
		reply.Versions = append(reply.Versions, v)
	}
	return reply, nil
}

func errNoSwarm(id pieces.TaskID) error {
	return pieces.Errorf(pieces.NotFound, "nobody takes part in task %s here", id.Short())
}

// look takes a picture of a Task and has its flows counted from now on.
func (c census) look(e *entry, most int) (standings []swarm.Standing, flows [][]sent) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flows == nil || now.After(e.flows.until) {
		e.flows = newFlows(now)
	}
	e.flows.until = now.Add(watchFor)
	standings = e.task.Standings(most, listedExtents, totalExtents)
	for _, s := range standings {
		flows = append(flows, e.flows.list(now, s.Version))
	}
	return standings, flows
}

func standingTo(s swarm.Standing, hosts *swarm.Hosts) *commonpb.Swarm {
	m := &commonpb.Swarm{
		Version: string(s.Version), Replaced: s.Replaced, Size: s.Geometry.Size, PieceSize: s.Geometry.PieceSize,
		Pieces: uint32(s.Geometry.Count()), PeerCount: uint32(s.Peers), CompleteCount: uint32(s.Complete),
	}
	for _, p := range s.Listed {
		to := &commonpb.SwarmPeer{
			HostId: string(p.Host), Seed: p.Seed, Complete: p.Complete, Silent: p.Silent, Held: uint32(p.Held),
			Extents: wire.ExtentsTo(p.Extents), Leases: uint32(p.Leases), Wants: uint32(p.Wants), BestRate: p.Rate,
		}
		for _, o := range p.Parents {
			to.Parents = append(to.Parents, string(o))
		}
		if h := hosts.Get(p.Host); h != nil {
			to.Hostname, to.Ip = h.Hostname, h.IP
		}
		m.Peers = append(m.Peers, to)
	}
	return m
}

func flowsTo(all []sent) (ms []*commonpb.SwarmFlow) {
	for _, f := range all {
		ms = append(ms, &commonpb.SwarmFlow{From: string(f.from), To: string(f.to), Rate: f.rate, Bytes: f.bytes})
	}
	return ms
}

// GetTotals answers what was counted since the start.
func (c census) GetTotals(context.Context, *schedulerpb.GetTotalsRequest) (*commonpb.SchedulerTotals, error) {
	hosts, sessions := c.hosts.counts()
	return &commonpb.SchedulerTotals{
		Scheduler: c.o.Advertise, Tasks: uint32(c.tasks.count()), Hosts: uint32(hosts), Sessions: uint32(sessions),
		OriginBytes: c.totals.origin.Load(), SeedBytes: c.totals.seeds.Load(), PeerBytes: c.totals.peers.Load(),
		ConfigVersion: c.config.Load().version, UptimeSeconds: int64(time.Since(c.started).Seconds()),
	}, nil
}
