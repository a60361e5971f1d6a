package wire

import (
	"slices"
	"time"

	"damselfly/pieces"
	"damselfly/proto/commonpb"
)

// TaskTo gives the public part of t: no header, no filtered parameter value.
func TaskTo(t *pieces.Task) *commonpb.Task {
	return &commonpb.Task{
		Id:          string(t.ID),
		PublicUrl:   t.PublicURL,
		Tag:         t.Tag,
		Application: t.Application,
		Digest:      string(t.Digest),
		FilterQuery: t.FilterQuery,
		Audience:    t.Audience,
	}
}

// TaskFrom accepts only a Task that hashes to its id (pieces.Task.CheckID).
// The URL of the Task it returns is the public one, and it has no header.
func TaskFrom(m *commonpb.Task) (*pieces.Task, error) {
	if m == nil {
		return nil, missing("task")
	}
	id, err := pieces.ParseTaskID(m.Id)
	if err != nil {
		return nil, err
	}
	if err := checkTaskFields(m); err != nil {
		return nil, err
	}
	t := &pieces.Task{
		ID:          id,
		URL:         m.PublicUrl,
		PublicURL:   m.PublicUrl,
		Tag:         m.Tag,
		Application: m.Application,
		Digest:      pieces.Digest(m.Digest),
		FilterQuery: m.FilterQuery,
		Audience:    m.Audience,
	}
	if err := t.CheckID(); err != nil {
		return nil, err
	}
	return t, nil
}

// IsTask reports whether TaskFrom would make t of m.
func IsTask(m *commonpb.Task, t *pieces.Task) bool {
	return m != nil && m.Id == string(t.ID) && m.PublicUrl == t.PublicURL && m.Tag == t.Tag &&
		m.Application == t.Application && m.Digest == string(t.Digest) && m.Audience == t.Audience &&
		slices.Equal(m.FilterQuery, t.FilterQuery)
}

func checkTaskFields(m *commonpb.Task) error {
	if err := checkText("tag", m.Tag); err != nil {
		return err
	}
	if err := checkText("application", m.Application); err != nil {
		return err
	}
	d, err := pieces.ParseDigest(m.Digest)
	if err != nil {
		return err
	}
	if string(d) != m.Digest {
		return pieces.Errorf(pieces.Invalid, "digest %.150q is not in lower case", m.Digest)
	}
	if m.Audience != "" {
		// The form of an audience is that of a task id: 64 hex digits.
		if _, err := pieces.ParseTaskID(m.Audience); err != nil {
			return pieces.Errorf(pieces.Invalid, "audience is not 64 lower-case hex digits")
		}
	}
	if len(m.FilterQuery) > MaxLabels {
		return pieces.Errorf(pieces.Invalid, "%d filtered query parameters, at most %d are allowed", len(m.FilterQuery), MaxLabels)
	}
	for _, name := range m.FilterQuery {
		if err := checkText("filtered query parameter", name); err != nil {
			return err
		}
	}
	return nil
}

// FactsTo drops what is below a second of Modified.
func FactsTo(f pieces.Facts) *commonpb.Facts {
	m := &commonpb.Facts{
		Size:      f.Size,
		Validator: &commonpb.Validator{Kind: commonpb.Validator_Kind(f.Validator.Kind), Value: f.Validator.Value},
		Ranges:    f.Ranges,
	}
	if !f.Modified.IsZero() {
		m.Modified = f.Modified.Unix()
	}
	return m
}

// maxModified is the last second of the year 9999, the last that HTTP can say.
const maxModified = 253402300799

// FactsFrom accepts sizes that content can have, known validators that have a
// value (or none of both), and times from 1970 to 9999.
func FactsFrom(m *commonpb.Facts) (pieces.Facts, error) {
	if m == nil {
		return pieces.Facts{}, missing("facts")
	}
	if _, err := pieces.GeometryOf(m.Size); err != nil {
		return pieces.Facts{}, err
	}
	f := pieces.Facts{Size: m.Size, Ranges: m.Ranges}
	kind, value := m.GetValidator().GetKind(), m.GetValidator().GetValue()
	if kind < 0 || kind > commonpb.Validator_Kind(pieces.ContentSum) {
		return pieces.Facts{}, pieces.Errorf(pieces.Invalid, "facts: unknown kind of validator %d", kind)
	}
	if (kind == commonpb.Validator_NONE) != (value == "") {
		return pieces.Facts{}, pieces.Errorf(pieces.Invalid, "facts: validator of kind %v has value %.80q", kind, value)
	}
	if err := checkText("facts: validator", value); err != nil {
		return pieces.Facts{}, err
	}
	f.Validator = pieces.Validator{Kind: pieces.ValidatorKind(kind), Value: value}
	if m.Modified < 0 || m.Modified > maxModified {
		return pieces.Facts{}, pieces.Errorf(pieces.Invalid, "facts: modified at %d s is outside 1970 … 9999", m.Modified)
	}
	if m.Modified != 0 {
		f.Modified = time.Unix(m.Modified, 0).UTC()
	}
	return f, nil
}
