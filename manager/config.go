package manager

import (
	"context"
	"encoding/json"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
)

// ClusterConfig is the dynamic config of a cluster: what operators can change
// while it runs. Its readers ignore keys they don't know and use their own
// default for keys that are missing.
type ClusterConfig struct {
	Scheduler SchedulerConfig `json:"scheduler"`
	Blocklist Blocklist       `json:"blocklist"`
}

// SchedulerConfig steers the choice of parents (DESIGN §6).
type SchedulerConfig struct {
	// CandidateParentLimit is how many parents a peer gets, and
	// FilterParentLimit how many are scored to find them.
	CandidateParentLimit int `json:"candidate_parent_limit"`
	FilterParentLimit    int `json:"filter_parent_limit"`
	// Weights of the score; each part lies in [0, 1].
	Weights Weights `json:"weights"`
	// Rules are more settings of the scheduler by name, such as
	// "max_peers": 100; docs/scheduling.md lists them.
	Rules map[string]any `json:"rules,omitempty"`
}

// Weights of a parent's score.
type Weights struct {
	FinishedPiece     float64 `json:"finished_piece"`
	HostUploadSuccess float64 `json:"host_upload_success"`
	FreeUpload        float64 `json:"free_upload"`
	HostType          float64 `json:"host_type"`
	IDCAffinity       float64 `json:"idc_affinity"`
	LocationAffinity  float64 `json:"location_affinity"`
}

// Blocklist names what schedulers refuse to serve.
type Blocklist struct {
	Tasks []string `json:"tasks"`
	Tags  []string `json:"tags"`
	Hosts []string `json:"hosts"`
}

// DefaultClusterConfig is what a cluster has that nobody configured.
func DefaultClusterConfig() ClusterConfig {
	return ClusterConfig{
		Scheduler: SchedulerConfig{
			CandidateParentLimit: 4,
			FilterParentLimit:    15,
			Weights: Weights{
				FinishedPiece: 0.2, HostUploadSuccess: 0.2, FreeUpload: 0.15,
				HostType: 0.15, IDCAffinity: 0.15, LocationAffinity: 0.15,
			},
		},
		Blocklist: Blocklist{Tasks: []string{}, Tags: []string{}, Hosts: []string{}},
	}
}

// configVersion is what readers see: 1 for the defaults alone, one more with
// each change, so that 0 is free to mean "not read yet".
func configVersion(c store.Config) uint64 { return c.Version + 1 }

// GetConfig answers a cluster's whole config: the defaults, and over them what
// was changed.
func (s *Server) GetConfig(ctx context.Context, req *managerpb.GetConfigRequest) (*managerpb.GetConfigReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	changed, err := s.store.Config(ctx, cluster)
	if err != nil {
		return nil, err
	}
	config := DefaultClusterConfig()
	if err := json.Unmarshal([]byte(changed.JSON), &config); err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "the stored config of cluster "+cluster)
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "the config of cluster "+cluster)
	}
	return &managerpb.GetConfigReply{Version: configVersion(changed), Config: string(text)}, nil
}
