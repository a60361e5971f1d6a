package manager

import (
	"context"
	"net"
	"net/netip"

	"github.com/sirupsen/logrus"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/rpc"
	"damselfly/proto/wire"
)

// DefaultCluster is what an empty cluster name means.
const DefaultCluster = "default"

// KeepAlive registers a scheduler or a host, or keeps it listed.
func (s *Server) KeepAlive(ctx context.Context, req *managerpb.KeepAliveRequest) (*managerpb.KeepAliveReply, error) {
	n, cluster, err := s.nodeFrom(req)
	if err != nil {
		return nil, err
	}
	if err := s.nodes.keepAlive(ctx, n); err != nil {
		return nil, err
	}
	version, _ := s.directory.configVersion(cluster)
	return &managerpb.KeepAliveReply{
		IntervalMs:    uint32(s.opts.KeepAlive.Milliseconds()),
		ConfigVersion: configVersion(version),
	}, nil
}

// Leave takes a node off the lists at once; it is no error if it is not there.
func (s *Server) Leave(ctx context.Context, req *managerpb.LeaveRequest) (*managerpb.LeaveReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	switch req.Kind {
	case managerpb.NodeKind_SCHEDULER:
		err = s.nodes.leave(schedulerKey(cluster, req.Address), func() error {
			return s.store.RemoveScheduler(ctx, cluster, req.Address)
		})
	case managerpb.NodeKind_SEED_PEER, managerpb.NodeKind_HOST:
		id, idErr := pieces.ParseHostID(req.HostId)
		if idErr != nil {
			return nil, idErr
		}
		err = s.nodes.leave(hostKey(id), func() error { return s.store.RemoveHost(ctx, id) })
	default:
		err = pieces.Errorf(pieces.Invalid, "unknown kind of node %d", req.Kind)
	}
	if err != nil {
		return nil, err
	}
	return &managerpb.LeaveReply{}, nil
}

// ListSchedulers answers the live schedulers of one cluster, which together
// are the ring: of the cluster that was asked for, or else, of those that have
// any, the one whose scopes fit the host best.
func (s *Server) ListSchedulers(ctx context.Context, req *managerpb.ListSchedulersRequest) (*managerpb.ListSchedulersReply, error) {
	var asker pieces.Host
	if req.Host != nil {
		var err error
		if asker, err = wire.HostFrom(req.Host); err != nil {
			return nil, err
		}
	}
	live, err := s.store.Schedulers(ctx, s.nodes.activeSince())
	if err != nil {
		return nil, err
	}
	_, scopes := s.directory.list()
	cluster, why := choose(asker, scopes, clustersOf(live))
	if req.Cluster != "" {
		if cluster, err = clusterName(req.Cluster); err != nil {
			return nil, err
		}
		why = "it asked for this cluster"
	}
	reply := &managerpb.ListSchedulersReply{Cluster: cluster}
	for _, n := range live {
		if n.Cluster == cluster {
			reply.Schedulers = append(reply.Schedulers, &managerpb.SchedulerInfo{Address: n.Address})
		}
	}
	version, _ := s.directory.configVersion(cluster)
	reply.ConfigVersion = configVersion(version)
	if s.log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		s.log.WithFields(logrus.Fields{"host": asker.ID.Short(), "hostname": asker.Hostname, "ip": asker.IP, "cluster": cluster,
			"schedulers": len(reply.Schedulers), "active": len(live), "why": why}).Debug("listed schedulers")
	}
	return reply, nil
}

// maxSeeds bounds the seed peers of one cluster.
const maxSeeds = 10_000

// ListSeedPeers answers the live seed peers of a cluster.
func (s *Server) ListSeedPeers(ctx context.Context, req *managerpb.ListSeedPeersRequest) (*managerpb.ListSeedPeersReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	seeds, err := s.store.Hosts(ctx, store.HostFilter{Cluster: cluster, Seeds: true, Since: s.nodes.activeSince()}, "", maxSeeds)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListSeedPeersReply{}
	for _, n := range seeds {
		reply.Hosts = append(reply.Hosts, wire.HostTo(n.Host))
	}
	return reply, nil
}

// nodeFrom answers who keeps itself alive, and its cluster.
func (s *Server) nodeFrom(req *managerpb.KeepAliveRequest) (n node, cluster string, err error) {
	if len(req.Version) > wire.MaxText {
		return n, "", pieces.Errorf(pieces.Invalid, "version is longer than %d bytes", wire.MaxText)
	}
	if cluster, err = clusterName(req.Cluster); err != nil {
		return n, "", err
	}
	switch req.Kind {
	case managerpb.NodeKind_SCHEDULER:
		if err := checkScheduler(req.Address); err != nil {
			return n, "", err
		}
		return node{scheduler: &store.Scheduler{Cluster: cluster, Address: req.Address, Version: req.Version}}, cluster, nil
	case managerpb.NodeKind_SEED_PEER, managerpb.NodeKind_HOST:
		h, err := wire.HostFrom(req.Host)
		if err != nil {
			return n, "", err
		}
		if (h.Type == pieces.SeedHost) != (req.Kind == managerpb.NodeKind_SEED_PEER) {
			return n, "", pieces.Errorf(pieces.Invalid, "host %s says that it is a seed and that it is none", h.ID.Short())
		}
		if req.Cluster == "" {
			cluster, _ = s.directory.home(h)
		}
		h.Uploads = 0 // changes all the time, and is not kept
		return node{host: &store.Host{Cluster: cluster, Host: h}}, cluster, nil
	}
	return n, "", pieces.Errorf(pieces.Invalid, "unknown kind of node %d", req.Kind)
}

// checkScheduler accepts an address that daemons on other hosts can dial.
func checkScheduler(addr string) error {
	if err := rpc.CheckAddress(addr); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(addr)
	if len(host) > pieces.MaxName {
		return pieces.Errorf(pieces.Invalid, "scheduler address %.80q is longer than a host name", addr)
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsUnspecified() || ip.IsMulticast()) {
		return pieces.Errorf(pieces.Invalid, "scheduler address %s can't be dialled; give the scheduler --advertise HOST:PORT", addr)
	}
	return nil
}

// clusterName checks a cluster's name: 1 to 63 of a-z, 0-9 and '-'; empty is
// DefaultCluster.
func clusterName(name string) (string, error) {
	if name == "" {
		return DefaultCluster, nil
	}
	return name, pieces.CheckCluster(name)
}
