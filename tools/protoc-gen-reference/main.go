// Command protoc-gen-reference writes the reference of contracts: a page of
// Markdown for each, with every method and every field. buf runs it.
package main

import (
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	protogen.Options{}.Run(func(plugin *protogen.Plugin) error {
		for _, file := range plugin.Files {
			if file.Generate {
				page{plugin.NewGeneratedFile(pageOf(file.Desc), "")}.file(file)
			}
		}
		return nil
	})
}

// pageOf is the name of a contract's page: catalog.v1.md. A package is one file.
func pageOf(f protoreflect.FileDescriptor) string {
	name := strings.TrimPrefix(string(f.Package()), "octavo.")
	if name == "" {
		name = strings.TrimSuffix(f.Path(), ".proto")
	}
	return name + ".md"
}

// page is a page of the reference that is being written.
type page struct{ *protogen.GeneratedFile }

func (p page) file(f *protogen.File) {
	p.P("<!-- Written by 'make generate' from ", f.Desc.Path(), ". -->")
	p.P()
	title := string(f.Desc.Package())
	if title == "" {
		title = f.Desc.Path()
	}
	p.P("# ", title)
	p.comment(packageComment(f))
	for _, s := range f.Services {
		p.service(s)
	}
	for _, m := range f.Messages {
		p.message(m)
	}
	for _, e := range f.Enums {
		p.enum(e)
	}
}

// packageComment is what a file says before its package clause.
func packageComment(f *protogen.File) protogen.Comments {
	for _, at := range f.Proto.GetSourceCodeInfo().GetLocation() {
		if slices.Equal(at.GetPath(), []int32{2}) { // package, in FileDescriptorProto
			return protogen.Comments(at.GetLeadingComments())
		}
	}
	return ""
}

func (p page) comment(c protogen.Comments) {
	if text := oneLine(c); text != "" {
		p.P()
		p.P(text)
	}
}

// oneLine is a comment without the line breaks it has in the contract.
func oneLine(c protogen.Comments) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(string(c)), " "), "|", `\|`)
}

func (p page) service(s *protogen.Service) {
	p.P()
	p.P("## ", s.Desc.Name())
	p.comment(s.Comments.Leading)
	p.P()
	p.P("| method | asks with | answers with | may be repeated | |")
	p.P("|---|---|---|---|---|")
	for _, m := range s.Methods {
		answer := link(m.Output.Desc)
		if m.Desc.IsStreamingServer() {
			answer = "a stream of " + answer
		}
		repeated := ""
		if m.Desc.Options().(*descriptorpb.MethodOptions).GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
			repeated = "yes"
		}
		p.P("| `", m.Desc.Name(), "` | ", link(m.Input.Desc), " | ", answer, " | ", repeated, " | ", oneLine(m.Comments.Leading), " |")
	}
}

// heading is the name of a message or enum within its package.
func heading(d protoreflect.Descriptor) string {
	return strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
}

// link is the name of a message or enum, with the way to it.
func link(d protoreflect.Descriptor) string {
	if strings.HasPrefix(d.ParentFile().Path(), "google/") {
		return "`" + string(d.FullName()) + "`"
	}
	return "[" + heading(d) + "](" + pageOf(d.ParentFile()) + "#" + strings.ToLower(strings.ReplaceAll(heading(d), ".", "")) + ")"
}

func (p page) message(m *protogen.Message) {
	if m.Desc.IsMapEntry() {
		return
	}
	p.P()
	p.P("## ", heading(m.Desc))
	p.comment(m.Comments.Leading)
	rules, _ := proto.GetExtension(m.Desc.Options(), validate.E_Message).(*validate.MessageRules)
	for _, rule := range rules.GetCel() {
		p.P()
		p.P("Rule: ", rule.GetMessage(), ".")
	}
	p.P()
	if len(m.Fields) == 0 {
		p.P("No fields.")
		return
	}
	p.P("| | field | type | rules | |")
	p.P("|--:|---|---|---|---|")
	for _, f := range m.Fields {
		p.P("| ", int(f.Desc.Number()), " | `", f.Desc.Name(), "` | ", typeOf(f.Desc), " | ", rulesOf(f.Desc), " | ", oneLine(f.Comments.Leading), " |")
	}
	for _, inner := range m.Messages {
		p.message(inner)
	}
	for _, e := range m.Enums {
		p.enum(e)
	}
}

func typeOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map of " + typeOf(f.MapKey()) + " to " + typeOf(f.MapValue())
	case f.IsList():
		return "list of " + scalarOf(f)
	default:
		return scalarOf(f)
	}
}

func scalarOf(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Message() != nil:
		return link(f.Message())
	case f.Enum() != nil:
		return link(f.Enum())
	default:
		return f.Kind().String()
	}
}

// rulesOf are the rules of a field, in the words of protovalidate.
func rulesOf(f protoreflect.FieldDescriptor) string {
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return strings.Join(said(rules.ProtoReflect(), ""), ", ")
}

// said lists what is set in rules: "gte 0", "items min_len 1".
func said(rules protoreflect.Message, prefix string) []string {
	var all []string
	fields := rules.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !rules.Has(f) {
			continue
		}
		name := prefix + string(f.Name()) + " "
		switch value := rules.Get(f); {
		case f.IsList():
			var listed []string
			for j := range value.List().Len() {
				listed = append(listed, value.List().Get(j).String())
			}
			all = append(all, name+strings.Join(listed, " "))
		case f.Message() != nil && f.ContainingOneof() != nil: // the type, which has a column of its own
			all = append(all, said(value.Message(), prefix)...)
		case f.Message() != nil:
			all = append(all, said(value.Message(), name)...)
		case f.Kind() == protoreflect.StringKind:
			all = append(all, name+"`"+strings.ReplaceAll(value.String(), "|", `\|`)+"`")
		default:
			all = append(all, name+value.String())
		}
	}
	return all
}

func (p page) enum(e *protogen.Enum) {
	p.P()
	p.P("## ", heading(e.Desc))
	p.comment(e.Comments.Leading)
	p.P()
	p.P("| | value | |")
	p.P("|--:|---|---|")
	for _, v := range e.Values {
		p.P("| ", int(v.Desc.Number()), " | `", v.Desc.Name(), "` | ", oneLine(v.Comments.Leading), " |")
	}
}
