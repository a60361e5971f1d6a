package scheduler

import (
	"encoding/json"

	"damselfly/pieces"
	"damselfly/scheduler/rules"
	"damselfly/scheduler/swarm"
)

// config is what may change while the scheduler runs. Immutable.
type config struct {
	version uint64
	swarm   *swarm.Options
	limits  rules.Limits
	// blocked are Tasks, tags and hosts that are not served.
	tasks map[string]bool
	tags  map[string]bool
	hosts map[string]bool
}

func (c *config) allowHost(id pieces.HostID) error {
	if c.hosts[string(id)] {
		return pieces.Errorf(pieces.Denied, "host %s is on the cluster's blocklist", id.Short())
	}
	return nil
}

func (c *config) allowTask(t *pieces.Task) error {
	if c.tasks[string(t.ID)] || t.Tag != "" && c.tags[t.Tag] {
		return pieces.Errorf(pieces.Denied, "task %s is on the cluster's blocklist", t.ID.Short())
	}
	return nil
}

// enforce puts out whom a new config does not allow any more. What goes on
// between allowed hosts and Tasks goes on.
func (s *Server) enforce(c *config) {
	for id := range c.hosts {
		s.dropHost(pieces.HostID(id))
	}
	if len(c.tasks)+len(c.tags) == 0 {
		return
	}
	for e := range s.tasks.all() {
		if err := c.allowTask(e.spec); err != nil {
			s.stepEntry(e, swarm.PutOut{Err: originError(err)}, nil)
		}
	}
}

// clusterConfig is the part of the manager's JSON that schedulers read. Unknown
// keys are ignored, missing ones keep the default.
type clusterConfig struct {
	Scheduler struct {
		CandidateParentLimit *int `json:"candidate_parent_limit"`
		FilterParentLimit    *int `json:"filter_parent_limit"`
		Weights              struct {
			FinishedPiece     *float64 `json:"finished_piece"`
			HostUploadSuccess *float64 `json:"host_upload_success"`
			FreeUpload        *float64 `json:"free_upload"`
			HostType          *float64 `json:"host_type"`
			IDCAffinity       *float64 `json:"idc_affinity"`
			LocationAffinity  *float64 `json:"location_affinity"`
		} `json:"weights"`
		Rules map[string]json.RawMessage `json:"rules"`
	} `json:"scheduler"`
	Blocklist struct {
		Tasks []string `json:"tasks"`
		Tags  []string `json:"tags"`
		Hosts []string `json:"hosts"`
	} `json:"blocklist"`
}

// parseConfig lays a cluster's config over the rules and limits given at start.
// Values out of range are Invalid errors, and then nothing of it is taken.
func parseConfig(base *Options, version uint64, text string) (*config, error) {
	var cc clusterConfig
	if err := json.Unmarshal([]byte(text), &cc); err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "cluster config: %w", err)
	}
	o, limits := *base.Swarm, base.Limits
	for _, n := range []struct {
		from *int
		to   *int
		name string
	}{
		{cc.Scheduler.CandidateParentLimit, &o.CandidateParentLimit, "candidate_parent_limit"},
		{cc.Scheduler.FilterParentLimit, &o.FilterParentLimit, "filter_parent_limit"},
	} {
		if n.from == nil {
			continue
		}
		if *n.from < 1 || *n.from > 100 {
			return nil, pieces.Errorf(pieces.Invalid, "cluster config: %s is %d, want 1 … 100", n.name, *n.from)
		}
		*n.to = *n.from
	}
	w := &cc.Scheduler.Weights
	for _, n := range []struct {
		from *float64
		to   *float64
		name string
	}{
		{w.FinishedPiece, &o.Weights.FinishedPiece, "finished_piece"},
		{w.HostUploadSuccess, &o.Weights.UploadSuccess, "host_upload_success"},
		{w.FreeUpload, &o.Weights.FreeUpload, "free_upload"},
		{w.HostType, &o.Weights.HostType, "host_type"},
		{w.IDCAffinity, &o.Weights.IDCAffinity, "idc_affinity"},
		{w.LocationAffinity, &o.Weights.LocationAffinity, "location_affinity"},
	} {
		if n.from == nil {
			continue
		}
		if !(*n.from >= 0 && *n.from <= 100) {
			return nil, pieces.Errorf(pieces.Invalid, "cluster config: weight %s is %g, want 0 … 100", n.name, *n.from)
		}
		*n.to = *n.from
	}
	if err := rules.Apply(&o, &limits, cc.Scheduler.Rules); err != nil {
		return nil, pieces.Errorf(pieces.Invalid, "cluster config: %w", err)
	}
	return &config{
		version: version, swarm: &o, limits: limits,
		tasks: setOf(cc.Blocklist.Tasks), tags: setOf(cc.Blocklist.Tags), hosts: setOf(cc.Blocklist.Hosts),
	}, nil
}

func setOf(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
