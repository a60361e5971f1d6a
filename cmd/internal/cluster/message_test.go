package cluster

import (
	"math"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// script is fuzz input read as choices; at its end every choice is 0.
type script struct{ b []byte }

func (s *script) next() int {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return int(c)
}

// randomScript is a long script for the seeds of a fuzz test.
func randomScript(n uint64) []byte {
	b := make([]byte, 400)
	r := rand.New(rand.NewPCG(n, 9))
	for i := range b {
		b[i] = byte(r.UintN(256))
	}
	return b
}

// maker makes messages of any type: fields hold what a careful, a careless or
// a hostile sender would put there.
type maker struct {
	*script
	strings []string
}

const maxDepth = 5

func (m *maker) message(d protoreflect.MessageDescriptor) proto.Message {
	return m.fill(d, 0).Interface()
}

func (m *maker) fill(d protoreflect.MessageDescriptor, depth int) protoreflect.Message {
	msg := dynamicpb.NewMessage(d)
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		// One in four is left out; below maxDepth all are.
		if depth >= maxDepth || m.next()%4 == 3 {
			continue
		}
		switch {
		case f.IsMap():
			k, v := protoreflect.ValueOfString("k").MapKey(), m.scalar(f.MapValue())
			if f.MapKey().Kind() == protoreflect.StringKind && f.MapValue().Kind() != protoreflect.MessageKind {
				msg.Mutable(f).Map().Set(k, v)
			}
		case f.IsList():
			list := msg.Mutable(f).List()
			for range m.next() % 4 {
				list.Append(m.value(f, depth))
			}
		case f.ContainingOneof() != nil && m.next()%2 == 0:
		default:
			msg.Set(f, m.value(f, depth))
		}
	}
	return msg
}

func (m *maker) value(f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	if f.Kind() == protoreflect.MessageKind {
		return protoreflect.ValueOfMessage(m.fill(f.Message(), depth+1))
	}
	return m.scalar(f)
}

var numbers = []uint64{0, 1, 2, 7, 8, 64, 4096, 65000, 1 << 16, 1 << 18, 1 << 31, 1 << 32, 1<<63 - 1, math.MaxUint64}

func (m *maker) scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	n := numbers[m.next()%len(numbers)]
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(n)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(math.Float32frombits(uint32(n)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes(make([]byte, n%200))
	}
	return protoreflect.ValueOfString(m.strings[m.next()%len(m.strings)])
}
