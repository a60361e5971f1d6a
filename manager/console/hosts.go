package console

import (
	"net/url"

	"damselfly/proto/managerpb"
)

// perPage is how many rows a list shows.
const perPage = 50

// filter is what a list was asked for, and where its next page is.
type filter struct {
	url.Values
	path, next string
	// Shown rows; First: no page was left before.
	Shown int
	First bool
}

func (v *visit) filter(shown int, next string) filter {
	q := v.r.URL.Query()
	return filter{Values: q, path: v.r.URL.Path, next: next, Shown: shown, First: q.Get("after") == ""}
}

// Next is the URL of the next page, or "".
func (f filter) Next() string { return f.at(f.next) }

// Start is the URL of the first page.
func (f filter) Start() string {
	q := url.Values{}
	for k, vs := range f.Values {
		if k != "after" && k != "done" {
			q[k] = vs
		}
	}
	return f.path + "?" + q.Encode()
}

func (f filter) at(token string) string {
	if token == "" {
		return ""
	}
	q := url.Values{"after": {token}}
	for k, vs := range f.Values {
		if k != "after" && k != "done" {
			q[k] = vs
		}
	}
	return f.path + "?" + q.Encode()
}

// Asked reports whether anything narrows the list.
func (f filter) Asked(names ...string) bool {
	for _, n := range names {
		if f.Get(n) != "" {
			return true
		}
	}
	return false
}

type hostsView struct {
	Hosts  []*managerpb.HostInfo
	Filter filter
}

func (v *visit) hosts() error {
	r, err := v.admin().ListHosts(v.ctx, &managerpb.ListHostsRequest{
		Cluster: v.query("cluster"), Search: v.query("search"), Seeds: v.query("seeds") != "", Active: v.query("active") != "",
		PageSize: perPage, PageToken: v.query("after"),
	})
	if err != nil {
		return err
	}
	return v.ok("hosts", "Hosts", hostsView{r.Hosts, v.filter(len(r.Hosts), r.NextPageToken)})
}

func (v *visit) host() error {
	h, err := v.admin().GetHost(v.ctx, &managerpb.GetHostRequest{Id: v.r.PathValue("id")})
	if err != nil {
		return err
	}
	return v.ok("host", "Host "+h.Hostname, h)
}

func (v *visit) forgetHost() error {
	if _, err := v.admin().ForgetHost(v.ctx, &managerpb.ForgetHostRequest{Id: v.r.PathValue("id")}); err != nil {
		return err
	}
	return v.done("/hosts", "deleted")
}

// collectHost frees what the host does not use.
func (v *visit) collectHost() error {
	h, err := v.admin().GetHost(v.ctx, &managerpb.GetHostRequest{Id: v.r.PathValue("id")})
	if err != nil {
		return err
	}
	return v.start(&managerpb.StartJobRequest{
		Kind: "collect", Cluster: h.Cluster, Target: &managerpb.Target{Kind: "host", HostId: h.Id},
	})
}

// start starts a job and goes to its page.
func (v *visit) start(req *managerpb.StartJobRequest) error {
	j, err := v.admin().StartJob(v.ctx, req)
	if err != nil {
		return err
	}
	return v.done("/jobs/"+j.Id, "started")
}
