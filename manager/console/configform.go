package console

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"damselfly/proto/managerpb"
)

// configForm edits a cluster's config, whatever keys it has: a number is an
// input, a list a text with a line for each. An empty input means the default,
// so that what differs from the defaults is all that is stored.
type configForm struct {
	*form
	Fields  []configField
	Etag    string
	Version uint64
	changes *structpb.Struct
}

// configField is one value.
type configField struct {
	// Path is its keys, joined by dots; also the name of its input.
	Path, Group, Label string
	List, Text, Bool   bool
	// Value is what was changed, "" for the default; Default is what holds if
	// nothing is changed, as far as it can be told.
	Value, Default string
}

func newConfigForm(c *managerpb.ClusterConfig) *configForm {
	f := &configForm{form: newForm(url.Values{}), Etag: c.Etag, Version: c.Version}
	f.walk("", c.GetEffective(), c.GetChanges())
	return f
}

// walk lists the fields in order of their keys, those of inner groups last.
func (f *configForm) walk(prefix string, effective, changes *structpb.Struct) {
	keys := slices.Sorted(maps.Keys(effective.GetFields()))
	var groups []string
	for _, k := range keys {
		v, changed := effective.Fields[k], changes.GetFields()[k]
		if v.GetStructValue() != nil {
			groups = append(groups, k)
			continue
		}
		field := configField{Path: prefix + k, Group: strings.TrimSuffix(prefix, "."), Label: strings.ReplaceAll(k, "_", " ")}
		switch v.GetKind().(type) {
		case *structpb.Value_ListValue:
			field.List = true
		case *structpb.Value_StringValue:
			field.Text = true
		case *structpb.Value_BoolValue:
			field.Bool = true
		}
		if changed != nil {
			field.Value = textOf(changed)
		} else {
			field.Default = textOf(v)
		}
		f.Fields = append(f.Fields, field)
	}
	for _, k := range groups {
		f.walk(prefix+k+".", effective.Fields[k].GetStructValue(), changes.GetFields()[k].GetStructValue())
	}
}

func textOf(v *structpb.Value) string {
	switch k := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(k.NumberValue, 'g', -1, 64)
	case *structpb.Value_BoolValue:
		return strconv.FormatBool(k.BoolValue)
	case *structpb.Value_StringValue:
		return k.StringValue
	case *structpb.Value_ListValue:
		var lines []string
		for _, one := range k.ListValue.GetValues() {
			lines = append(lines, textOf(one))
		}
		return strings.Join(lines, "\n")
	}
	return ""
}

// filledConfigForm is what somebody filled in, and the changes it means. Keys
// of the stored changes that have no field stay.
func filledConfigForm(c *managerpb.ClusterConfig, values url.Values) *configForm {
	f := newConfigForm(c)
	f.Etag = values.Get("etag")
	f.changes = cloneStruct(c.GetChanges())
	for i := range f.Fields {
		field := &f.Fields[i]
		if !values.Has(field.Path) {
			continue
		}
		field.Value = strings.TrimSpace(strings.ReplaceAll(values.Get(field.Path), "\r\n", "\n"))
		value, ok := field.parse()
		if !ok {
			f.wrong(field.Path, "%s: %.60q is no number", field.Label, field.Value)
			continue
		}
		put(f.changes, strings.Split(field.Path, "."), value)
	}
	return f
}

// parse gives the value; nil for the default.
func (c configField) parse() (*structpb.Value, bool) {
	switch {
	case c.Value == "":
		return nil, true
	case c.List:
		list := &structpb.ListValue{}
		for line := range strings.Lines(c.Value) {
			if line = strings.TrimSpace(line); line != "" {
				list.Values = append(list.Values, structpb.NewStringValue(line))
			}
		}
		return structpb.NewListValue(list), true
	case c.Text:
		return structpb.NewStringValue(c.Value), true
	case c.Bool:
		b, err := strconv.ParseBool(c.Value)
		return structpb.NewBoolValue(b), err == nil
	}
	x, err := strconv.ParseFloat(c.Value, 64)
	return structpb.NewNumberValue(x), err == nil && x-x == 0 // finite
}

// put sets or, with nil, removes a value, and groups that are empty then.
func put(s *structpb.Struct, path []string, v *structpb.Value) {
	if len(path) == 1 {
		if v == nil {
			delete(s.Fields, path[0])
		} else {
			s.Fields[path[0]] = v
		}
		return
	}
	inner := s.Fields[path[0]].GetStructValue()
	if inner == nil {
		if v == nil {
			return
		}
		inner = &structpb.Struct{}
		s.Fields[path[0]] = structpb.NewStructValue(inner)
	}
	if inner.Fields == nil {
		inner.Fields = map[string]*structpb.Value{}
	}
	if put(inner, path[1:], v); len(inner.Fields) == 0 {
		delete(s.Fields, path[0])
	}
}

func cloneStruct(s *structpb.Struct) *structpb.Struct {
	out := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for k, v := range s.GetFields() {
		if inner := v.GetStructValue(); inner != nil {
			v = structpb.NewStructValue(cloneStruct(inner))
		}
		out.Fields[k] = v
	}
	return out
}

// words pairs each field's last key, as errors of the service name it, with
// its input. Longer ones come first, since they may hold shorter ones.
func (f *configForm) words() []string {
	fields := slices.Clone(f.Fields)
	slices.SortStableFunc(fields, func(a, b configField) int { return len(b.Path) - len(a.Path) })
	var all []string
	for _, c := range fields {
		key := c.Path[strings.LastIndexByte(c.Path, '.')+1:]
		all = append(all, key, c.Path)
		if c.List { // "task …", "host …", "tag …"
			all = append(all, strings.TrimSuffix(key, "s")+" ", c.Path)
		}
	}
	return all
}
