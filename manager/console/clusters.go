package console

import (
	"net/url"
	"strings"

	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

type clustersView struct {
	Clusters []*managerpb.Cluster
	Add      *form
}

func (v *visit) clusters() error { return v.showClusters(200, newForm(url.Values{})) }

func (v *visit) showClusters(status int, add *form) error {
	r, err := v.admin().ListClusters(v.ctx, &managerpb.ListClustersRequest{})
	if err != nil {
		return err
	}
	return v.show(status, "clusters", "Clusters", clustersView{r.Clusters, add})
}

func (v *visit) createCluster() error {
	f := newForm(v.r.PostForm)
	name := v.field("name")
	if name == "" {
		f.wrong("name", "what shall it be called?")
		return v.showClusters(400, f)
	}
	_, err := v.admin().CreateCluster(v.ctx, &managerpb.CreateClusterRequest{
		Cluster: &managerpb.Cluster{Name: name, Description: v.field("description")},
	})
	if err == nil {
		return v.done("/clusters/"+name, "added")
	}
	if !correctable(err) {
		return err
	}
	f.blame(err, "description", "description", "cluster", "name")
	return v.showClusters(v.o.Status(err), f)
}

// clusterView is one cluster with its schedulers and its config.
type clusterView struct {
	*managerpb.Cluster
	Nodes []nodeView
	// Scopes and Config are the forms, as they are or as somebody filled them in.
	ScopesForm *form
	Config     *configForm
}

func (v *visit) cluster() error { return v.showCluster(200, nil, nil) }

func (v *visit) showCluster(status int, scopes *form, config *configForm) error {
	name := v.r.PathValue("name")
	c, err := v.admin().GetCluster(v.ctx, &managerpb.GetClusterRequest{Name: name})
	if err != nil {
		return err
	}
	view := clusterView{Cluster: c, ScopesForm: scopes, Config: config}
	if scopes == nil {
		view.ScopesForm = newForm(scopeValues(c))
	}
	if config == nil {
		now, err := v.admin().GetClusterConfig(v.ctx, &managerpb.GetClusterConfigRequest{Cluster: name})
		if err != nil {
			return err
		}
		view.Config = newConfigForm(now)
	}
	said, err := v.admin().GetTraffic(v.ctx, &managerpb.GetTrafficRequest{})
	if err != nil {
		return err
	}
	if view.Nodes, err = v.nodes(name, said); err != nil {
		return err
	}
	return v.show(status, "cluster", "Cluster "+name, view)
}

func scopeValues(c *managerpb.Cluster) url.Values {
	s := c.GetScopes()
	lines := func(all []string) []string { return []string{strings.Join(all, "\n")} }
	return url.Values{
		"description": {c.Description}, "cidrs": lines(s.GetCidrs()), "hostnames": lines(s.GetHostnames()),
		"idcs": lines(s.GetIdcs()), "locations": lines(s.GetLocations()), "etag": {c.Etag},
	}
}

// updateCluster replaces description and scopes. A cluster that nobody
// described has no etag yet, and is described now.
func (v *visit) updateCluster() error {
	f := newForm(v.r.PostForm)
	c := &managerpb.Cluster{
		Name: v.r.PathValue("name"), Description: v.field("description"), Etag: v.field("etag"),
		Scopes: &managerpb.Scopes{
			Cidrs: v.lines("cidrs"), Hostnames: v.lines("hostnames"), Idcs: v.lines("idcs"), Locations: v.lines("locations"),
		},
	}
	var err error
	if c.Etag == "" {
		_, err = v.admin().CreateCluster(v.ctx, &managerpb.CreateClusterRequest{Cluster: c})
	} else {
		_, err = v.admin().UpdateCluster(v.ctx, &managerpb.UpdateClusterRequest{Cluster: c})
	}
	switch {
	case err == nil:
		return v.done("/clusters/"+c.Name, "saved")
	case !correctable(err):
		return err
	case pieces.KindOf(err) == pieces.Changed:
		f.Error = changedMeanwhile
	default:
		f.blame(err, "description", "description", "CIDR", "cidrs", "cidr", "cidrs", "hostname", "hostnames", "IDC", "idcs", "idc", "idcs", "location", "locations")
	}
	return v.showCluster(v.o.Status(err), f, nil)
}

const changedMeanwhile = "Somebody changed this while you edited it. What you typed is below; load the page again to see theirs."

func (v *visit) deleteCluster() error {
	if _, err := v.admin().DeleteCluster(v.ctx, &managerpb.DeleteClusterRequest{Name: v.r.PathValue("name"), Etag: v.field("etag")}); err != nil {
		return err
	}
	return v.done("/clusters", "deleted")
}

func (v *visit) updateConfig() error {
	name := v.r.PathValue("name")
	now, err := v.admin().GetClusterConfig(v.ctx, &managerpb.GetClusterConfigRequest{Cluster: name})
	if err != nil {
		return err
	}
	f := filledConfigForm(now, v.r.PostForm)
	if f.failed() {
		return v.showCluster(400, nil, f)
	}
	_, err = v.admin().UpdateClusterConfig(v.ctx, &managerpb.UpdateClusterConfigRequest{
		Config: &managerpb.ClusterConfig{Cluster: name, Changes: f.changes, Etag: v.field("etag")},
	})
	switch {
	case err == nil:
		return v.done("/clusters/"+name, "saved")
	case !correctable(err):
		return err
	case pieces.KindOf(err) == pieces.Changed:
		f.Error = changedMeanwhile
	default:
		f.blame(err, f.words()...)
	}
	return v.showCluster(v.o.Status(err), nil, f)
}
