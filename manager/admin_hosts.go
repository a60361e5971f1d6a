package manager

import (
	"context"
	"time"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// ListSchedulerNodes answers all schedulers, by cluster and address.
func (a admin) ListSchedulerNodes(ctx context.Context, req *managerpb.ListSchedulerNodesRequest) (*managerpb.ListSchedulerNodesReply, error) {
	if _, err := clusterName(req.Cluster); err != nil {
		return nil, err
	}
	all, err := a.store.Schedulers(ctx, time.UnixMilli(0))
	if err != nil {
		return nil, err
	}
	since := a.nodes.activeSince()
	reply := &managerpb.ListSchedulerNodesReply{}
	for _, n := range all {
		if req.Cluster == "" || n.Cluster == req.Cluster {
			reply.Schedulers = append(reply.Schedulers, &managerpb.SchedulerNode{
				Cluster: n.Cluster, Address: n.Address, Version: n.Version, Seen: stamp(n.Seen), Active: !n.Seen.Before(since),
			})
		}
	}
	return reply, nil
}

// ListHosts answers a page of hosts, by id.
func (a admin) ListHosts(ctx context.Context, req *managerpb.ListHostsRequest) (*managerpb.ListHostsReply, error) {
	limit, after, err := page(req.PageSize, req.PageToken, req.Search)
	if err != nil {
		return nil, err
	}
	if _, err := clusterName(req.Cluster); err != nil {
		return nil, err
	}
	f := store.HostFilter{Cluster: req.Cluster, Seeds: req.Seeds, Search: req.Search}
	since := a.nodes.activeSince()
	if req.Active {
		f.Since = since
	}
	hosts, err := a.store.Hosts(ctx, f, pieces.HostID(after), limit)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListHostsReply{NextPageToken: tokenOf(len(hosts), limit, func() string { return string(hosts[limit-1].Host.ID) })}
	for _, h := range hosts {
		reply.Hosts = append(reply.Hosts, hostTo(h, since))
	}
	return reply, nil
}

func hostTo(n store.Host, since time.Time) *managerpb.HostInfo {
	h := n.Host
	return &managerpb.HostInfo{
		Id: string(h.ID), Cluster: n.Cluster, Hostname: h.Hostname, Ip: h.IP, PeerPort: uint32(h.PeerPort), UploadPort: uint32(h.UploadPort),
		Seed: h.Type == pieces.SeedHost, Idc: h.IDC, Location: h.Location, Labels: h.Labels, UploadSlots: uint32(h.UploadSlots),
		Version: h.SoftwareVersion, Added: stamp(n.Added), Seen: stamp(n.Seen), Active: !n.Seen.Before(since),
	}
}

// GetHost answers one host, or NotFound.
func (a admin) GetHost(ctx context.Context, req *managerpb.GetHostRequest) (*managerpb.HostInfo, error) {
	id, err := pieces.ParseHostID(req.Id)
	if err != nil {
		return nil, err
	}
	h, err := a.store.Host(ctx, id)
	if err != nil {
		return nil, err
	}
	return hostTo(h, a.nodes.activeSince()), nil
}

// ForgetHost takes a host off the list; NotFound if it is not there.
func (a admin) ForgetHost(ctx context.Context, req *managerpb.ForgetHostRequest) (*managerpb.ForgetHostReply, error) {
	if _, err := a.GetHost(ctx, &managerpb.GetHostRequest{Id: req.Id}); err != nil {
		return nil, err
	}
	id := pieces.HostID(req.Id)
	return &managerpb.ForgetHostReply{}, a.nodes.leave(hostKey(id), func() error { return a.store.RemoveHost(ctx, id) })
}
