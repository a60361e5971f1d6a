package control

import (
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// MarshalJSON writes the stable form that scripts read.
func (t TaskInfo) MarshalJSON() ([]byte, error) {
	type plain TaskInfo
	out := struct {
		plain
		Size      *int64     `json:"size,omitempty"`
		Validator string     `json:"validator,omitempty"`
		Modified  *time.Time `json:"modified,omitempty"`
		Ranges    *bool      `json:"ranges,omitempty"`
	}{plain: plain(t)}
	if f := t.Facts; f != nil {
		out.Size, out.Ranges, out.Validator = &f.Size, &f.Ranges, f.Validator.Value
		if !f.Modified.IsZero() {
			out.Modified = &f.Modified
		}
	}
	return json.Marshal(out)
}

// MarshalJSON writes the stable form that scripts read.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	type host struct {
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
	h := s.Host
	return json.Marshal(struct {
		plain
		Host host `json:"host"`
	}{plain(s), host{h.ID, h.Hostname, h.IP, h.PeerPort, h.UploadPort, h.Type == pieces.SeedHost, h.IDC, h.Location, h.Labels}})
}
