package console

import (
	"cmp"

	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

// flowsShown bounds the table of exchanges.
const flowsShown = 30

// swarmView is a live swarm.
type swarmView struct {
	*managerpb.TaskEntry
	Swarms []swarmPicture
	Silent []string
}

type swarmPicture struct {
	*commonpb.Swarm
	Graph graph
	Rows  []flowRow
	Peers []mapRow
	// Rates by source, bytes/s.
	Origin, Seeds, Exchange float64
}

// flowRow is one exchange with names.
type flowRow struct {
	*commonpb.SwarmFlow
	FromName, ToName string
}

// swarm shows who takes part in a Task now, and who sends to whom.
func (v *visit) swarm() error {
	id := v.r.PathValue("id")
	t, err := v.admin().GetTask(v.ctx, &managerpb.GetTaskRequest{Id: id})
	if err != nil {
		return err
	}
	now, err := v.admin().GetSwarm(v.ctx, &managerpb.GetTaskSwarmRequest{Id: id})
	if err != nil {
		return err
	}
	view := swarmView{TaskEntry: t, Silent: now.Silent}
	for _, s := range now.Swarms {
		view.Swarms = append(view.Swarms, picture(s))
	}
	return v.ok("swarm", "Swarm of "+short(id), view)
}

func picture(s *commonpb.Swarm) swarmPicture {
	p := swarmPicture{Swarm: s, Graph: newGraph(s)}
	names, seeds := map[string]string{origin: "origin"}, map[string]bool{}
	for _, o := range s.Peers {
		names[o.HostId], seeds[o.HostId] = cmp.Or(o.Hostname, short(o.HostId)), o.Seed
		if len(p.Peers) < maxNodes {
			p.Peers = append(p.Peers, mapRow{o, newPieceMap(o.Extents, int(s.Pieces))})
		}
	}
	for _, f := range s.Flows {
		switch {
		case f.From == origin:
			p.Origin += f.Rate
		case seeds[f.From]:
			p.Seeds += f.Rate
		default:
			p.Exchange += f.Rate
		}
		if len(p.Rows) < flowsShown {
			p.Rows = append(p.Rows, flowRow{f, cmp.Or(names[f.From], short(f.From)), cmp.Or(names[f.To], short(f.To))})
		}
	}
	return p
}
