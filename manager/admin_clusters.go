package manager

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
)

// maxClusters bounds the clusters that are described.
const maxClusters = 1000

// ListClusters answers all clusters by name, also those that only have
// schedulers.
func (a admin) ListClusters(ctx context.Context, _ *managerpb.ListClustersRequest) (*managerpb.ListClustersReply, error) {
	clusters, live, err := a.clusters(ctx)
	if err != nil {
		return nil, err
	}
	reply := &managerpb.ListClustersReply{}
	for _, c := range clusters {
		reply.Clusters = append(reply.Clusters, clusterTo(c, live[c.Name]))
	}
	return reply, nil
}

// clusters answers all clusters by name, and how many live schedulers each has.
func (a admin) clusters(ctx context.Context) ([]store.Cluster, map[string]int, error) {
	clusters, err := a.store.Clusters(ctx)
	if err != nil {
		return nil, nil, err
	}
	schedulers, err := a.store.Schedulers(ctx, a.nodes.activeSince())
	if err != nil {
		return nil, nil, err
	}
	live := map[string]int{}
	for _, s := range schedulers {
		live[s.Cluster]++
	}
	for name := range live {
		if !slices.ContainsFunc(clusters, func(c store.Cluster) bool { return c.Name == name }) {
			clusters = append(clusters, store.Cluster{Name: name})
		}
	}
	slices.SortFunc(clusters, func(a, b store.Cluster) int { return cmp.Compare(a.Name, b.Name) })
	return clusters, live, nil
}

func clusterTo(c store.Cluster, live int) *managerpb.Cluster {
	return &managerpb.Cluster{
		Name: c.Name, Description: c.Description, ConfigVersion: configVersion(c.ConfigVersion), Created: stamp(c.Created),
		Scopes:     &managerpb.Scopes{Cidrs: c.Scopes.CIDRs, Hostnames: c.Scopes.Hostnames, Idcs: c.Scopes.IDCs, Locations: c.Scopes.Locations},
		Schedulers: uint32(live), Etag: etagOf(c.Revision),
	}
}

// GetCluster answers one; NotFound if it has neither a row nor schedulers.
func (a admin) GetCluster(ctx context.Context, req *managerpb.GetClusterRequest) (*managerpb.Cluster, error) {
	name, err := clusterName(req.Name)
	if err != nil {
		return nil, err
	}
	clusters, live, err := a.clusters(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		if c.Name == name {
			return clusterTo(c, live[name]), nil
		}
	}
	return nil, pieces.Errorf(pieces.NotFound, "there is no cluster %q", name)
}

// described checks what a person says of a cluster.
func described(m *managerpb.Cluster) (c store.Cluster, err error) {
	if m == nil || m.Name == "" {
		return c, pieces.Errorf(pieces.Invalid, "the cluster's name is missing")
	}
	if c.Name, err = clusterName(m.Name); err != nil {
		return c, err
	}
	if err := checkText("description", m.Description); err != nil {
		return c, err
	}
	s := m.GetScopes()
	c.Description = m.Description
	c.Scopes = store.Scopes{CIDRs: s.GetCidrs(), Hostnames: s.GetHostnames(), IDCs: s.GetIdcs(), Locations: s.GetLocations()}
	_, err = newScope(c.Name, c.Scopes)
	return c, err
}

// checkText accepts what people may write: of bounded length, without control
// characters except line ends.
func checkText(what, s string) error {
	if len(s) > wire.MaxText {
		return pieces.Errorf(pieces.Invalid, "%s: longer than %d bytes", what, wire.MaxText)
	}
	for _, r := range s {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0x7f {
			return pieces.Errorf(pieces.Invalid, "%s: holds a control character", what)
		}
	}
	return nil
}

// CreateCluster describes a cluster that has no row yet.
func (a admin) CreateCluster(ctx context.Context, req *managerpb.CreateClusterRequest) (*managerpb.Cluster, error) {
	c, err := described(req.Cluster)
	if err != nil {
		return nil, err
	}
	if known, _ := a.directory.list(); len(known) >= maxClusters {
		return nil, pieces.Errorf(pieces.Full, "there are %d clusters already", len(known))
	}
	c.Created = a.opts.Now()
	if err := a.store.AddCluster(ctx, c); err != nil {
		return nil, err
	}
	return a.clusterNow(ctx, c.Name)
}

// clusterNow answers a cluster that was just changed, which this manager acts
// upon at once.
func (a admin) clusterNow(ctx context.Context, name string) (*managerpb.Cluster, error) {
	_ = a.directory.refresh(ctx) // logged, and tried again soon
	return a.GetCluster(ctx, &managerpb.GetClusterRequest{Name: name})
}

// UpdateCluster replaces description and scopes.
func (a admin) UpdateCluster(ctx context.Context, req *managerpb.UpdateClusterRequest) (*managerpb.Cluster, error) {
	c, err := described(req.Cluster)
	if err != nil {
		return nil, err
	}
	if c.Revision, err = a.clusterRevision(ctx, c.Name, req.Cluster.Etag); err != nil {
		return nil, err
	}
	if err := a.store.ChangeCluster(ctx, c); err != nil {
		return nil, err
	}
	return a.clusterNow(ctx, c.Name)
}

// clusterRevision is the revision that an edit is of.
func (a admin) clusterRevision(ctx context.Context, name, etag string) (uint64, error) {
	rev, any, err := revision(ctx, etag)
	if err != nil || !any {
		return rev, err
	}
	c, err := a.store.Cluster(ctx, name)
	return c.Revision, err
}

// DeleteCluster removes what was said of a cluster.
func (a admin) DeleteCluster(ctx context.Context, req *managerpb.DeleteClusterRequest) (*managerpb.DeleteClusterReply, error) {
	name, err := clusterName(req.Name)
	if err != nil {
		return nil, err
	}
	rev, err := a.clusterRevision(ctx, name, req.Etag)
	if err != nil {
		return nil, err
	}
	if err := a.store.RemoveCluster(ctx, name, rev); err != nil {
		return nil, err
	}
	_ = a.directory.refresh(ctx) // logged, and tried again soon
	return &managerpb.DeleteClusterReply{}, nil
}

// GetClusterConfig answers what differs from the defaults, and the whole.
func (a admin) GetClusterConfig(ctx context.Context, req *managerpb.GetClusterConfigRequest) (*managerpb.ClusterConfig, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	c, err := a.store.Config(ctx, cluster)
	if err != nil {
		return nil, err
	}
	whole, err := effective(cluster, c.JSON)
	if err != nil {
		return nil, err
	}
	m := &managerpb.ClusterConfig{
		Cluster: cluster, Version: configVersion(c.Version), Etag: etagOf(configVersion(c.Version)),
		Changes: &structpb.Struct{}, Effective: &structpb.Struct{},
	}
	for text, to := range map[string]*structpb.Struct{c.JSON: m.Changes, string(whole): m.Effective} {
		if err := to.UnmarshalJSON([]byte(text)); err != nil {
			return nil, pieces.WithKind(pieces.Internal, err, "the stored config of cluster "+cluster)
		}
	}
	return m, nil
}

// UpdateClusterConfig replaces what differs from the defaults.
func (a admin) UpdateClusterConfig(ctx context.Context, req *managerpb.UpdateClusterConfigRequest) (*managerpb.ClusterConfig, error) {
	cluster, err := clusterName(req.GetConfig().GetCluster())
	if err != nil {
		return nil, err
	}
	changes := []byte("{}")
	if s := req.Config.Changes; s != nil {
		if changes, err = json.Marshal(s.AsMap()); err != nil {
			return nil, pieces.Errorf(pieces.Invalid, "config: not JSON: %w", err)
		}
	}
	if err := checkChanges(changes); err != nil {
		return nil, err
	}
	read, any, err := revision(ctx, req.Config.Etag)
	if any && err == nil {
		var c store.Config
		c, err = a.store.Config(ctx, cluster)
		read = configVersion(c.Version)
	}
	if err != nil {
		return nil, err
	}
	if read == 0 {
		return nil, pieces.Errorf(pieces.Changed, "etag 0 is of no state this had")
	}
	if _, err := a.store.PutConfig(ctx, cluster, string(changes), read-1); err != nil {
		return nil, err
	}
	_ = a.directory.refresh(ctx) // logged, and tried again soon
	return a.GetClusterConfig(ctx, &managerpb.GetClusterConfigRequest{Cluster: cluster})
}
