package control

import (
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// validatorNames are the kinds in JSON; the zero kind is left out.
var validatorNames = map[pieces.ValidatorKind]string{
	pieces.StrongETag:   "etag",
	pieces.WeakETag:     "weak-etag",
	pieces.LastModified: "last-modified",
	pieces.ContentSum:   "content-sum",
}

type plainTask TaskInfo

// taskJSON is the form of a TaskInfo that scripts read.
type taskJSON struct {
	plainTask
	Size          *int64     `json:"size,omitempty"`
	Validator     string     `json:"validator,omitempty"`
	ValidatorKind string     `json:"validator_kind,omitempty"`
	Modified      *time.Time `json:"modified,omitempty"`
	Ranges        *bool      `json:"ranges,omitempty"`
}

// MarshalJSON writes the stable form that scripts read.
func (t TaskInfo) MarshalJSON() ([]byte, error) {
	out := taskJSON{plainTask: plainTask(t)}
	if f := t.Facts; f != nil {
		out.Size, out.Ranges = &f.Size, &f.Ranges
		out.Validator, out.ValidatorKind = f.Validator.Value, validatorNames[f.Validator.Kind]
		if !f.Modified.IsZero() {
			out.Modified = &f.Modified
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *TaskInfo) UnmarshalJSON(data []byte) error {
	var in taskJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*t = TaskInfo(in.plainTask)
	if in.Size == nil {
		return nil
	}
	t.Facts = &pieces.Facts{Size: *in.Size, Ranges: in.Ranges != nil && *in.Ranges}
	for kind, name := range validatorNames {
		if name == in.ValidatorKind {
			t.Facts.Validator = pieces.Validator{Kind: kind, Value: in.Validator}
		}
	}
	if in.Modified != nil {
		t.Facts.Modified = *in.Modified
	}
	return nil
}

type plainStatus Status

// statusJSON is the form of a Status that scripts read.
type statusJSON struct {
	plainStatus
	Host hostJSON `json:"host"`
}

type hostJSON struct {
	ID         pieces.HostID     `json:"id"`
	Hostname   string            `json:"hostname"`
	IP         string            `json:"ip"`
	PeerPort   int               `json:"peer_port"`
	UploadPort int               `json:"upload_port"`
	Seed       bool              `json:"seed"`
	IDC        string            `json:"idc,omitempty"`
	Location   string            `json:"location,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
}

// MarshalJSON writes the stable form that scripts read.
func (s Status) MarshalJSON() ([]byte, error) {
	h := s.Host
	return json.Marshal(statusJSON{plainStatus(s), hostJSON{
		h.ID, h.Hostname, h.IP, h.PeerPort, h.UploadPort, h.Type == pieces.SeedHost, h.IDC, h.Location, h.Labels,
	}})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Status) UnmarshalJSON(data []byte) error {
	var in statusJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Status(in.plainStatus)
	h := in.Host
	s.Host = pieces.Host{
		ID: h.ID, Hostname: h.Hostname, IP: h.IP, PeerPort: h.PeerPort, UploadPort: h.UploadPort,
		IDC: h.IDC, Location: h.Location, Labels: h.Labels,
	}
	if h.Seed {
		s.Host.Type = pieces.SeedHost
	}
	return nil
}
