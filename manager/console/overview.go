package console

import (
	"damselfly/proto/commonpb"
	"damselfly/proto/managerpb"
)

// overviewView is the cluster at a glance.
type overviewView struct {
	*managerpb.Overview
	Traffic traffic
	Nodes   []nodeView
	Silent  []string
	Jobs    []*managerpb.Job
}

// Idle reports whether nothing is set up yet.
func (o overviewView) Idle() bool { return o.KnownHosts == 0 && len(o.Nodes) == 0 }

// nodeView is a scheduler as the database and as itself sees it.
type nodeView struct {
	*managerpb.SchedulerNode
	// Totals is nil if it did not answer.
	Totals *commonpb.SchedulerTotals
}

// traffic is verified bytes by where they came from.
type traffic struct{ Origin, Seeds, Peers int64 }

func (t traffic) All() int64 { return t.Origin + t.Seeds + t.Peers }

// Saved is how much of what hosts got the origin did not send, in percent.
func (t traffic) Saved() int { return percent(t.Seeds+t.Peers, t.All()) }

// bar is a piece of a picture in thousandths of its width.
type bar struct {
	Class, Name string
	X, Width    int64
	Bytes       int64
}

// Bars of all sources, side by side.
func (t traffic) Bars() (all []bar) {
	x := int64(0)
	for _, b := range []bar{{Class: "origin", Name: "Origin", Bytes: t.Origin}, {Class: "seeds", Name: "Seeds", Bytes: t.Seeds}, {Class: "peers", Name: "Peers", Bytes: t.Peers}} {
		b.X, b.Width = x, 0
		if t.All() > 0 {
			b.Width = int64(float64(b.Bytes) / float64(t.All()) * 1000)
		}
		x += b.Width
		all = append(all, b)
	}
	return all
}

// runningShown bounds the jobs of the overview.
const runningShown = 5

func (v *visit) overview() error {
	counts, err := v.admin().GetOverview(v.ctx, &managerpb.GetOverviewRequest{})
	if err != nil {
		return err
	}
	o := overviewView{Overview: counts}
	said, err := v.admin().GetTraffic(v.ctx, &managerpb.GetTrafficRequest{})
	if err != nil {
		return err
	}
	for _, t := range said.Schedulers {
		o.Traffic.Origin += t.OriginBytes
		o.Traffic.Seeds += t.SeedBytes
		o.Traffic.Peers += t.PeerBytes
	}
	o.Silent = said.Silent
	if o.Nodes, err = v.nodes("", said); err != nil {
		return err
	}
	jobs, err := v.admin().ListJobs(v.ctx, &managerpb.ListJobsRequest{State: "running", PageSize: runningShown})
	if err != nil {
		return err
	}
	o.Jobs = jobs.Jobs
	return v.ok("overview", "Overview", o)
}

// nodes lists schedulers, of one cluster or all, with what they said.
func (v *visit) nodes(cluster string, said *managerpb.Traffic) ([]nodeView, error) {
	list, err := v.admin().ListSchedulerNodes(v.ctx, &managerpb.ListSchedulerNodesRequest{Cluster: cluster})
	if err != nil {
		return nil, err
	}
	totals := map[string]*commonpb.SchedulerTotals{}
	for _, t := range said.Schedulers {
		totals[t.Scheduler] = t
	}
	var all []nodeView
	for _, n := range list.Schedulers {
		all = append(all, nodeView{n, totals[n.Address]})
	}
	return all, nil
}
