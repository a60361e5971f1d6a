package jobs

import (
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// Kind is what a job does on each host.
type Kind string

// The kinds.
const (
	// Preheat brings all of the Tasks to the hosts.
	Preheat Kind = "preheat"
	// Delete takes the Tasks off the catalogue, and entry and bytes off the
	// hosts.
	Delete Kind = "delete"
	// Holders finds out what each host holds of the Tasks.
	Holders Kind = "holders"
	// Collect frees what is not in use on the hosts.
	Collect Kind = "collect"
)

// Who is which live hosts of the cluster a job is for.
type Who string

// The targets. Seed is one seed per Task, the same that schedulers wake.
const (
	OneHost  Who = "host"
	Seed     Who = "seed"
	AllSeeds Who = "seeds"
	AllHosts Who = "all"
	Labelled Who = "labels"
)

// Target names hosts.
type Target struct {
	Who Who `json:"who"`
	// Host is for OneHost.
	Host pieces.HostID `json:"host,omitempty"`
	// Labels a host must all have, for Labelled.
	Labels map[string]string `json:"labels,omitempty"`
}

// Spec is what a job is to do.
type Spec struct {
	Tasks  []pieces.TaskID `json:"tasks,omitempty"`
	Target Target          `json:"target"`
}

// Bounds of one job.
const (
	MaxTasks       = 10_000
	MaxItems       = 100_000
	MinTimeout     = time.Second
	MaxTimeout     = 7 * 24 * time.Hour
	DefaultTimeout = time.Hour
)

// Check returns an Invalid error unless the job makes sense. A target that was
// not given is the Task's seed for a preheat, else all hosts.
func (s *Spec) Check(kind Kind) error {
	switch kind {
	case Preheat, Delete, Holders:
		if len(s.Tasks) == 0 {
			return pieces.Errorf(pieces.Invalid, "a job of kind %s needs tasks", kind)
		}
	case Collect:
		if len(s.Tasks) > 0 {
			return pieces.Errorf(pieces.Invalid, "a job of kind collect takes no tasks; to free some, delete them")
		}
	default:
		return pieces.Errorf(pieces.Invalid, "kind %.40q: want preheat, delete, holders or collect", kind)
	}
	if len(s.Tasks) > MaxTasks {
		return pieces.Errorf(pieces.Invalid, "%d tasks, at most %d are allowed in one job", len(s.Tasks), MaxTasks)
	}
	if s.Target.Who == "" {
		s.Target.Who = AllHosts
		if kind == Preheat {
			s.Target.Who = Seed
		}
	}
	return s.Target.check(kind)
}

func (t Target) check(kind Kind) error {
	switch t.Who {
	case OneHost:
		_, err := pieces.ParseHostID(string(t.Host))
		return err
	case Labelled:
		if len(t.Labels) == 0 {
			return pieces.Errorf(pieces.Invalid, "target labels: no label is given")
		}
	case Seed:
		if kind == Collect {
			return pieces.Errorf(pieces.Invalid, "target seed is the seed of a task: a collection has none; want host, seeds, all or labels")
		}
	case AllSeeds, AllHosts:
	default:
		return pieces.Errorf(pieces.Invalid, "target %.40q: want host, seed, seeds, all or labels", t.Who)
	}
	return nil
}

// Encode gives s as it stands in the database.
func (s Spec) Encode() (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

// DecodeSpec is the reverse of Encode.
func DecodeSpec(text string) (s Spec, err error) {
	err = json.Unmarshal([]byte(text), &s)
	return s, pieces.WithKind(pieces.Internal, err, "the stored job")
}
