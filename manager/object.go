package manager

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// telling are the fields that say what a request is about and hold no secret: a
// URL may, and so stays out.
var telling = map[protoreflect.Name]bool{
	"kind": true, "cluster": true, "name": true, "user": true, "role": true, "disabled": true, "id": true, "job": true, "title": true,
	"scopes": true, "config": true, "target": true, "host_id": true, "task_ids": true,
}

// maxListed bounds the elements that are named of a list.
const maxListed = 3

// objectOf says for the audit log what a request was about: its telling fields,
// and the id that the reply gave to something new.
func objectOf(req, reply proto.Message) string {
	var parts []string
	if req != nil {
		parts = tell(parts, req.ProtoReflect())
	}
	if id, ok := reply.(interface{ GetId() string }); ok && id.GetId() != "" {
		if part := "id=" + id.GetId(); !strings.Contains(strings.Join(parts, " ")+" ", part+" ") {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

func tell(parts []string, m protoreflect.Message) []string {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !telling[f.Name()] || !m.Has(f) {
			continue
		}
		v := m.Get(f)
		switch {
		case f.IsList():
			for j := range min(v.List().Len(), maxListed) {
				parts = append(parts, fmt.Sprintf("%s=%.80s", f.Name(), v.List().Get(j).String()))
			}
			if n := v.List().Len(); n > maxListed {
				parts = append(parts, fmt.Sprintf("and %d more", n-maxListed))
			}
		case f.IsMap():
		case f.Kind() == protoreflect.MessageKind:
			parts = tell(parts, v.Message())
		default:
			parts = append(parts, fmt.Sprintf("%s=%.80s", f.Name(), v.String()))
		}
	}
	return parts
}
