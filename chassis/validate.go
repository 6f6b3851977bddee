package chassis

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/octavo-books/octavo/fault"
)

// An answer that lists every violation of a large batch would not fit into a
// header: this many are named, each in at most so many bytes.
const (
	maxViolations    = 10
	maxViolationText = 200
)

// validator checks requests against the rules written in their contract.
type validator struct {
	rules protovalidate.Validator // nil until a contract with rules is registered
}

// prepare finds out whether the requests of a method have rules and compiles
// them, so that a mistake in a contract shows when the process starts. A
// method without a registered contract is checked at run time.
func (v *validator) prepare(service, method string) (validated bool, err error) {
	name := protoreflect.FullName(service).Append(protoreflect.Name(method))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return true, v.compile()
	}
	request := found.(protoreflect.MethodDescriptor).Input()
	if !hasRules(request, map[protoreflect.FullName]bool{}) {
		return false, nil
	}
	if err := v.compile(); err != nil {
		return true, err
	}
	var compileErr *protovalidate.CompilationError
	if err := v.rules.Validate(dynamicpb.NewMessage(request)); errors.As(err, &compileErr) {
		return true, fmt.Errorf("compile the rules of %s: %w", request.FullName(), err)
	}
	return true, nil
}

func (v *validator) compile() (err error) {
	if v.rules == nil {
		v.rules, err = protovalidate.New()
	}
	return err
}

// validate is nil for a request that keeps the rules, otherwise an Invalid fault
// that names each field at fault. An error of any other kind is one of the
// rules themselves.
func (v *validator) validate(request any) error {
	message, ok := request.(proto.Message)
	if !ok {
		return nil
	}
	err := v.rules.Validate(message)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		return fmt.Errorf("validate %s: %w", message.ProtoReflect().Descriptor().FullName(), err)
	}
	invalid := &fault.Error{Kind: fault.Invalid}
	var texts []string
	for i, violation := range broken.Violations {
		if i == maxViolations {
			texts = append(texts, fmt.Sprintf("and %d more", len(broken.Violations)-i))
			break
		}
		field := shorten(protovalidate.FieldPathString(violation.Proto.GetField()))
		text := shorten(violation.Proto.GetMessage())
		if text == "" {
			text = violation.Proto.GetRuleId()
		}
		invalid.Fields = append(invalid.Fields, fault.Violation{Field: field, Message: text, Rule: violation.Proto.GetRuleId()})
		if field != "" {
			text = field + ": " + text
		}
		texts = append(texts, text)
	}
	invalid.Message = strings.Join(texts, "; ")
	if len(invalid.Fields) == 1 {
		invalid.Message = invalid.Fields[0].Message
	}
	return invalid
}

// shorten cuts text where it could be the sender's: map keys are part of paths.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= maxViolationText {
		return text
	}
	return strings.ToValidUTF8(text[:maxViolationText], "") + "…"
}

// hasRules tells whether a message, or any that can be inside it, has rules.
func hasRules(message protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[message.FullName()] {
		return false
	}
	seen[message.FullName()] = true
	if rules, err := protovalidate.ResolveMessageRules(message); err != nil || rules != nil {
		return true
	}
	for i := range message.Oneofs().Len() {
		if rules, err := protovalidate.ResolveOneofRules(message.Oneofs().Get(i)); err != nil || rules != nil {
			return true
		}
	}
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if rules, err := protovalidate.ResolveFieldRules(field); err != nil || rules != nil {
			return true
		}
		if field.Message() != nil && hasRules(field.Message(), seen) {
			return true
		}
	}
	return false
}
