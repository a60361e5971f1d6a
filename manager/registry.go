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

// KeepAlive registers a scheduler or a seed peer, or keeps it listed.
func (s *Server) KeepAlive(ctx context.Context, req *managerpb.KeepAliveRequest) (*managerpb.KeepAliveReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	n, err := nodeFrom(req, cluster)
	if err != nil {
		return nil, err
	}
	if err := s.nodes.keepAlive(ctx, n); err != nil {
		return nil, err
	}
	config, err := s.store.Config(ctx, cluster)
	if err != nil {
		return nil, err
	}
	return &managerpb.KeepAliveReply{
		IntervalMs:    uint32(s.opts.KeepAlive.Milliseconds()),
		ConfigVersion: configVersion(config),
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
		err = s.nodes.leave(nodeKey{false, cluster, req.Address}, func() error {
			return s.store.RemoveScheduler(ctx, cluster, req.Address)
		})
	case managerpb.NodeKind_SEED_PEER:
		id, idErr := pieces.ParseHostID(req.HostId)
		if idErr != nil {
			return nil, idErr
		}
		err = s.nodes.leave(nodeKey{true, cluster, req.HostId}, func() error {
			return s.store.RemoveSeedPeer(ctx, cluster, id)
		})
	default:
		err = pieces.Errorf(pieces.Invalid, "unknown kind of node %d", req.Kind)
	}
	if err != nil {
		return nil, err
	}
	return &managerpb.LeaveReply{}, nil
}

// ListSchedulers answers the live schedulers of one cluster, which together
// are the ring: the default cluster, or while that has none, the first other.
func (s *Server) ListSchedulers(ctx context.Context, req *managerpb.ListSchedulersRequest) (*managerpb.ListSchedulersReply, error) {
	var asker pieces.Host
	if req.Host != nil {
		var err error
		if asker, err = wire.HostFrom(req.Host); err != nil {
			return nil, err
		}
	}
	all, err := s.store.Schedulers(ctx, s.nodes.activeSince())
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListSchedulersReply{Cluster: clusterOf(all)}
	for _, n := range all {
		if n.Cluster == reply.Cluster {
			reply.Schedulers = append(reply.Schedulers, &managerpb.SchedulerInfo{Address: n.Address})
		}
	}
	config, err := s.store.Config(ctx, reply.Cluster)
	if err != nil {
		return nil, err
	}
	reply.ConfigVersion = configVersion(config)
	s.log.WithFields(logrus.Fields{"host": asker.ID.Short(), "cluster": reply.Cluster, "schedulers": len(reply.Schedulers), "active": len(all)}).
		Debug("listed schedulers: the default cluster, or the first that has any")
	return reply, nil
}

func clusterOf(live []store.Scheduler) string {
	for _, n := range live {
		if n.Cluster == DefaultCluster {
			return DefaultCluster
		}
	}
	if len(live) > 0 {
		return live[0].Cluster
	}
	return DefaultCluster
}

// ListSeedPeers answers the live seed peers of a cluster.
func (s *Server) ListSeedPeers(ctx context.Context, req *managerpb.ListSeedPeersRequest) (*managerpb.ListSeedPeersReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	seeds, err := s.store.SeedPeers(ctx, cluster, s.nodes.activeSince())
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListSeedPeersReply{}
	for _, n := range seeds {
		reply.Hosts = append(reply.Hosts, wire.HostTo(n.Host))
	}
	return reply, nil
}

func nodeFrom(req *managerpb.KeepAliveRequest, cluster string) (node, error) {
	if len(req.Version) > wire.MaxText {
		return node{}, pieces.Errorf(pieces.Invalid, "version is longer than %d bytes", wire.MaxText)
	}
	switch req.Kind {
	case managerpb.NodeKind_SCHEDULER:
		if err := checkScheduler(req.Address); err != nil {
			return node{}, err
		}
		return node{scheduler: &store.Scheduler{Cluster: cluster, Address: req.Address, Version: req.Version}}, nil
	case managerpb.NodeKind_SEED_PEER:
		h, err := wire.HostFrom(req.Host)
		if err != nil {
			return node{}, err
		}
		if h.Type != pieces.SeedHost {
			return node{}, pieces.Errorf(pieces.Invalid, "host %s is not a seed peer; only seeds keep themselves alive here", h.ID.Short())
		}
		h.Uploads = 0 // changes all the time, and is not kept
		return node{seed: &store.SeedPeer{Cluster: cluster, Host: h}}, nil
	}
	return node{}, pieces.Errorf(pieces.Invalid, "unknown kind of node %d", req.Kind)
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

// clusterName checks a cluster's name: 1 to 63 of a-z, 0-9 and '-'.
func clusterName(name string) (string, error) {
	if name == "" {
		return DefaultCluster, nil
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if len(name) > 63 || (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", pieces.Errorf(pieces.Invalid, "cluster %.80q: want 1 to 63 of a-z, 0-9 and '-'", name)
		}
	}
	return name, nil
}
