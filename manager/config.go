package manager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"

	"google.golang.org/grpc"

	"damselfly/manager/store"
	"damselfly/pieces"
	"damselfly/proto/managerpb"
	"damselfly/proto/wire"
	"damselfly/scheduler/rules"
)

// ClusterConfig is the dynamic config of a cluster: what operators can change
// while it runs. Its readers ignore keys they don't know and use their own
// default for keys that are missing.
type ClusterConfig struct {
	Scheduler SchedulerConfig `json:"scheduler"`
	Blocklist Blocklist       `json:"blocklist"`
}

// SchedulerConfig steers the choice of parents (DESIGN §6), and all else that
// schedulers decide by numbers.
type SchedulerConfig struct {
	// CandidateParentLimit is how many parents a peer joins with, and
	// FilterParentLimit how many are scored to find them; 1 to 100. How many it
	// has in the end is a rule, parent_limit.
	CandidateParentLimit int `json:"candidate_parent_limit"`
	FilterParentLimit    int `json:"filter_parent_limit"`
	// Weights of the score; each part lies in [0, 1].
	Weights Weights `json:"weights"`
	// Rules are other numbers of the schedulers, by name (package rules). Those
	// not named are what each scheduler began with.
	Rules map[string]json.RawMessage `json:"rules,omitempty"`
}

// Weights of a parent's score, 0 to 100.
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

// DefaultClusterConfig is what a cluster has that nobody configured. The
// numbers are the schedulers' own; a test compares them.
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

// Bounds of a config.
const (
	maxConfig    = 1 << 20 // bytes of JSON
	maxBlocklist = 10_000  // of each kind
	maxLimit     = 100
	maxWeight    = 100
)

// checkChanges accepts what an operator wants to differ from the defaults:
// known keys, values in range.
func checkChanges(text []byte) error {
	if len(text) > maxConfig {
		return pieces.Errorf(pieces.Invalid, "config: longer than 1 MiB")
	}
	c := DefaultClusterConfig()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return pieces.Errorf(pieces.Invalid, "config: %s", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return pieces.Errorf(pieces.Invalid, "config: more than one JSON value")
	}
	return c.check()
}

func (c *ClusterConfig) check() error {
	for name, n := range map[string]int{
		"candidate_parent_limit": c.Scheduler.CandidateParentLimit, "filter_parent_limit": c.Scheduler.FilterParentLimit,
	} {
		if n < 1 || n > maxLimit {
			return pieces.Errorf(pieces.Invalid, "config: %s is %d, want 1 … %d", name, n, maxLimit)
		}
	}
	w := c.Scheduler.Weights
	for name, v := range map[string]float64{
		"finished_piece": w.FinishedPiece, "host_upload_success": w.HostUploadSuccess, "free_upload": w.FreeUpload,
		"host_type": w.HostType, "idc_affinity": w.IDCAffinity, "location_affinity": w.LocationAffinity,
	} {
		if !(v >= 0 && v <= maxWeight) {
			return pieces.Errorf(pieces.Invalid, "config: weight %s is %g, want 0 … %d", name, v, maxWeight)
		}
	}
	if err := rules.Check(c.Scheduler.Rules); err != nil {
		return pieces.Errorf(pieces.Invalid, "config: %w", err)
	}
	return c.Blocklist.check()
}

func (b Blocklist) check() error {
	for name, list := range map[string][]string{"tasks": b.Tasks, "tags": b.Tags, "hosts": b.Hosts} {
		if len(list) > maxBlocklist {
			return pieces.Errorf(pieces.Invalid, "config: blocklist of %d %s, at most %d are allowed", len(list), name, maxBlocklist)
		}
	}
	for _, id := range b.Tasks {
		if _, err := pieces.ParseTaskID(id); err != nil {
			return pieces.Errorf(pieces.Invalid, "config: blocklist: %w", err)
		}
	}
	for _, id := range b.Hosts {
		if _, err := pieces.ParseHostID(id); err != nil {
			return pieces.Errorf(pieces.Invalid, "config: blocklist: %w", err)
		}
	}
	for _, tag := range b.Tags {
		if tag == "" || len(tag) > wire.MaxText {
			return pieces.Errorf(pieces.Invalid, "config: blocklist: a tag is empty or longer than %d bytes", wire.MaxText)
		}
	}
	return nil
}

// configVersion is what readers see: 1 for the defaults alone, one more with
// each change, so that 0 is free to mean "not read yet".
func configVersion(stored uint64) uint64 { return stored + 1 }

// effective lays changes over the defaults.
func effective(cluster, changes string) ([]byte, error) {
	config := DefaultClusterConfig()
	if err := json.Unmarshal([]byte(changes), &config); err != nil {
		return nil, pieces.WithKind(pieces.Internal, err, "the stored config of cluster "+cluster)
	}
	text, err := json.Marshal(config)
	return text, pieces.WithKind(pieces.Internal, err, "the config of cluster "+cluster)
}

func configReply(cluster string, c store.Config) (*managerpb.GetConfigReply, error) {
	text, err := effective(cluster, c.JSON)
	if err != nil {
		return nil, err
	}
	return &managerpb.GetConfigReply{Version: configVersion(c.Version), Config: string(text)}, nil
}

// GetConfig answers a cluster's whole config: the defaults, and over them what
// was changed.
func (s *Server) GetConfig(ctx context.Context, req *managerpb.GetConfigRequest) (*managerpb.GetConfigReply, error) {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return nil, err
	}
	c, err := s.store.Config(ctx, cluster)
	if err != nil {
		return nil, err
	}
	return configReply(cluster, c)
}

// WatchConfig sends a cluster's config unless the caller has it, and again
// whenever it changes, until the caller goes or the server stops.
func (s *Server) WatchConfig(req *managerpb.WatchConfigRequest, stream grpc.ServerStreamingServer[managerpb.GetConfigReply]) error {
	cluster, err := clusterName(req.Cluster)
	if err != nil {
		return err
	}
	ctx, sent := stream.Context(), req.Version
	for {
		version, changed := s.directory.configVersion(cluster)
		if configVersion(version) != sent {
			c, err := s.directory.config(ctx, cluster)
			if err != nil {
				return err // the caller asks another manager
			}
			reply, err := configReply(cluster, c)
			if err != nil {
				return err
			}
			if reply.Version != sent {
				if err := stream.Send(reply); err != nil {
					return err
				}
				sent = reply.Version
				continue // it may have changed meanwhile
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return pieces.WithKind(pieces.KindOf(ctx.Err()), ctx.Err(), "watching the config")
		}
	}
}
