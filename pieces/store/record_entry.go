package store

import (
	"encoding/json"
	"time"

	"damselfly/pieces"
)

// entryRecord is a catalogue entry on disk. It has no place for headers.
type entryRecord struct {
	URL         string
	PublicURL   string
	Tag         string        `json:",omitempty"`
	Application string        `json:",omitempty"`
	Digest      pieces.Digest `json:",omitempty"`
	FilterQuery []string      `json:",omitempty"`
	Audience    string        `json:",omitempty"`
	Names       []string      `json:",omitempty"`
	UID, GID    uint32
	Added       time.Time
	Fill        string `json:",omitempty"`
}

func encodeEntry(e Entry) ([]byte, error) {
	t := e.Task
	return json.Marshal(entryRecord{t.URL, t.PublicURL, t.Tag, t.Application, t.Digest, t.FilterQuery, t.Audience, e.Names, e.UID, e.GID, e.Added, e.Fill})
}

// parseEntry decodes the entry of a Task; it must hash to id.
func parseEntry(id pieces.TaskID, b []byte) (Entry, error) {
	var r entryRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return Entry{}, pieces.WithKind(pieces.Integrity, err, "damaged catalogue entry "+id.Short())
	}
	e := Entry{
		Task: pieces.Task{
			ID: id, URL: r.URL, PublicURL: r.PublicURL, Tag: r.Tag, Application: r.Application,
			Digest: r.Digest, FilterQuery: r.FilterQuery, Audience: r.Audience,
		},
		Names: r.Names, UID: r.UID, GID: r.GID, Added: r.Added, Fill: r.Fill,
	}
	if err := e.Task.CheckID(); err != nil {
		return Entry{}, pieces.WithKind(pieces.Integrity, err, "damaged catalogue entry "+id.Short())
	}
	return e, nil
}
