package skew

import (
	"errors"
	"math"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// depth is how far messages within messages are filled.
const depth = 4

// Fill makes a message in which every field is set, to what its rules allow.
func Fill(message protoreflect.MessageDescriptor) protoreflect.Message {
	return fill(message, depth)
}

func fill(message protoreflect.MessageDescriptor, depth int) protoreflect.Message {
	m := dynamicpb.NewMessage(message)
	fields := message.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.Message() != nil && depth == 0 {
			continue
		}
		before, best := violations(m), math.MaxInt
		var chosen protoreflect.Value
		for _, v := range values(m, f, depth) {
			m.Set(f, v)
			if n := violations(m); n < best {
				best, chosen = n, v
			}
			if best <= before {
				break
			}
		}
		m.Set(f, chosen)
	}
	return m
}

// Violations is how many rules of its contract a message breaks.
func violations(m protoreflect.Message) int {
	err := protovalidate.Validate(m.Interface())
	var invalid *protovalidate.ValidationError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &invalid):
		return len(invalid.Violations)
	default:
		panic(err) // a contract that does not compile
	}
}

// values are some that a field may be set to, good and bad, those that most
// rules allow first.
func values(m protoreflect.Message, f protoreflect.FieldDescriptor, depth int) []protoreflect.Value {
	switch {
	case f.IsMap():
		filled := m.NewField(f)
		for _, key := range scalars(f.MapKey())[:1] {
			filled.Map().Set(key.MapKey(), value(filled.Map().NewValue, f.MapValue(), depth))
		}
		return []protoreflect.Value{filled, m.NewField(f)}
	case f.IsList():
		var lists []protoreflect.Value
		for _, length := range []int{2, 1, 0, 11, 101, 1001} {
			list := m.NewField(f)
			for range length {
				list.List().Append(value(list.List().NewElement, f, depth))
			}
			lists = append(lists, list)
			if f.Message() != nil && length == 0 {
				break // long lists of messages say no more
			}
		}
		return lists
	case f.Message() != nil:
		return []protoreflect.Value{protoreflect.ValueOfMessage(fill(f.Message(), depth-1))}
	default:
		return scalars(f)
	}
}

func value(empty func() protoreflect.Value, f protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	if f.Message() != nil {
		if depth == 0 {
			return empty()
		}
		return protoreflect.ValueOfMessage(fill(f.Message(), depth-1))
	}
	return scalars(f)[0]
}

func scalars(f protoreflect.FieldDescriptor) []protoreflect.Value {
	numbers := []float64{1, 2, 0, 5, 0.5, 10, 20, 100, 200, 300, 1000, 10000, -1, -4000, math.MaxInt32, math.MinInt32}
	var all []protoreflect.Value
	switch f.Kind() {
	case protoreflect.BoolKind:
		return []protoreflect.Value{protoreflect.ValueOfBool(true), protoreflect.ValueOfBool(false)}
	case protoreflect.EnumKind:
		for _, i := range []int{1, f.Enum().Values().Len() - 1, 0} {
			all = append(all, protoreflect.ValueOfEnum(f.Enum().Values().Get(min(i, f.Enum().Values().Len()-1)).Number()))
		}
	case protoreflect.StringKind:
		for _, text := range []string{"a", "9780000000002", "", "en", "2026-01-31", strings.Repeat("b", 36), strings.Repeat("c", 64), strings.Repeat("d", 101), strings.Repeat("e", 201), strings.Repeat("f", 501), "\x00é"} {
			all = append(all, protoreflect.ValueOfString(text))
		}
	case protoreflect.BytesKind:
		for _, length := range []int{1, 0, 32, 1000} {
			all = append(all, protoreflect.ValueOfBytes(make([]byte, length)))
		}
	case protoreflect.FloatKind:
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfFloat32(float32(n)))
		}
	case protoreflect.DoubleKind:
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfFloat64(n))
		}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfInt32(int32(n)))
		}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfInt64(int64(n)))
		}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfUint32(uint32(max(n, 0))))
		}
	default: // 64 bits without a sign
		for _, n := range numbers {
			all = append(all, protoreflect.ValueOfUint64(uint64(max(n, 0))))
		}
	}
	return all
}

// Accepted are messages that keep the rules of their contract: the empty one if
// it does, one with every field set, and that one with each of its fields, in
// turn, set to other values.
func Accepted(message protoreflect.MessageDescriptor) []protoreflect.Message {
	var all []protoreflect.Message
	keep := func(m protoreflect.Message) {
		if violations(m) == 0 {
			all = append(all, m)
		}
	}
	keep(dynamicpb.NewMessage(message))
	full := Fill(message)
	keep(full)
	fields := message.Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		for _, v := range values(full, f, depth) {
			m := dynamicpb.NewMessage(message)
			full.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				m.Set(f, v)
				return true
			})
			m.Set(f, v)
			keep(m)
		}
	}
	return all
}
