// Package wire encodes and decodes messages of Stratos: deterministic protobuf, decoded strictly, and never read past
// a stated bound. It knows no particular message.
package wire

import (
	"bytes"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stratosmesh/stratos/mesh"
)

// Encode returns the one encoding of m that Decode accepts. A message that cannot be encoded is a programmer's mistake.
func Encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("wire: " + err.Error())
	}
	return b
}

// Decode reads m from exactly b. It refuses, with kind Invalid, what is longer than limit bytes, what holds a field
// that m does not know, and every encoding but the one that Encode writes, so that equal messages have equal bytes.
func Decode(b []byte, limit int, m proto.Message) error {
	name := m.ProtoReflect().Descriptor().Name()
	if len(b) > limit {
		return mesh.Errorf(mesh.Invalid, "%s has %d bytes, at most %d", name, len(b), limit)
	}
	if err := (proto.UnmarshalOptions{RecursionLimit: 32, DiscardUnknown: true}).Unmarshal(b, m); err != nil {
		// Not err's text: it differs from build to build, and refusals stand in the results of blocks.
		return mesh.Errorf(mesh.Invalid, "%s cannot be decoded", name)
	}
	if !bytes.Equal(Encode(m), b) { // what was not known is not written either
		whole := m.ProtoReflect().New()
		if (proto.UnmarshalOptions{RecursionLimit: 32}).Unmarshal(b, whole.Interface()) == nil && hasUnknown(whole) {
			return mesh.Errorf(mesh.Invalid, "%s holds a field that this version does not know", name)
		}
		return mesh.Errorf(mesh.Invalid, "%s is not in its one deterministic encoding", name)
	}
	return nil
}

func hasUnknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap(), f.Message() == nil:
		case f.IsList():
			for l, i := v.List(), 0; i < l.Len() && !found; i++ {
				found = hasUnknown(l.Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
