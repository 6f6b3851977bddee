// Package skew checks that programs of two releases understand one another, by
// their contracts alone: clients and servers made of the descriptors of either
// release exchange every message of every method, over real gRPC through the
// production chain.
//
// It knows contracts and no service. 'make skew' runs the programs themselves.
package skew

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate" // the rules in contracts
)

// Released are the contracts of each release that is kept in folder, by its
// number.
func Released(folder string) (map[string]*protoregistry.Files, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.binpb"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no release is kept in %s", folder)
	}
	releases := map[string]*protoregistry.Files{}
	for _, path := range paths {
		set, err := read(path)
		if err != nil {
			return nil, err
		}
		files, err := protodesc.NewFiles(set)
		if err != nil {
			return nil, fmt.Errorf("link %s: %w", path, err)
		}
		releases[strings.TrimSuffix(filepath.Base(path), ".binpb")] = files
	}
	return releases, nil
}

func read(path string) (*descriptorpb.FileDescriptorSet, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a release: %w", err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(content, set); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return set, nil
}

// Methods are the methods of all services of a release.
func Methods(files *protoregistry.Files) []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, service.Methods().Get(j))
			}
		}
		return true
	})
	return all
}

// FullName is a method's name as it goes over the wire.
func FullName(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// Agree compares a message as one release wrote it with how another read it:
// every field that both know says the same, and a field that the writer does
// not know is unset. Where the reader is the later one, it knows every field.
func Agree(written, got protoreflect.Message, readerIsLater bool) error {
	var errs []error
	if readerIsLater && len(got.GetUnknown()) > 0 {
		errs = append(errs, fmt.Errorf("%s: a field of the release is not known any more", got.Descriptor().FullName()))
	}
	report := func(f protoreflect.FieldDescriptor, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", f.FullName(), fmt.Sprintf(format, args...)))
	}
	fields := got.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		w := written.Descriptor().Fields().ByNumber(f.Number())
		if w == nil {
			if got.Has(f) {
				report(f, "is set, and who wrote the message does not know it")
			}
			continue
		}
		if w.Name() != f.Name() || w.Kind() != f.Kind() || w.Cardinality() != f.Cardinality() || w.IsMap() != f.IsMap() {
			report(f, "is %s %s %s at the one end and %s %s %s at the other", w.Cardinality(), w.Kind(), w.Name(), f.Cardinality(), f.Kind(), f.Name())
			continue
		}
		if written.Has(w) != got.Has(f) {
			report(f, "is set at one end only")
			continue
		}
		if got.Has(f) {
			if err := agreeField(f, written.Get(w), got.Get(f), readerIsLater); err != nil {
				report(f, "%v", err)
			}
		}
	}
	return errors.Join(errs...)
}

func agreeField(f protoreflect.FieldDescriptor, written, got protoreflect.Value, readerIsLater bool) error {
	switch {
	case f.IsMap():
		if written.Map().Len() != got.Map().Len() {
			return fmt.Errorf("%d entries were written and %d read", written.Map().Len(), got.Map().Len())
		}
		var err error
		written.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			if !got.Map().Has(key) {
				err = fmt.Errorf("the entry %v is lost", key)
			} else {
				err = agreeValue(f.MapValue(), value, got.Map().Get(key), readerIsLater)
			}
			return err == nil
		})
		return err
	case f.IsList():
		if written.List().Len() != got.List().Len() {
			return fmt.Errorf("%d elements were written and %d read", written.List().Len(), got.List().Len())
		}
		for i := range got.List().Len() {
			if err := agreeValue(f, written.List().Get(i), got.List().Get(i), readerIsLater); err != nil {
				return err
			}
		}
		return nil
	default:
		return agreeValue(f, written, got, readerIsLater)
	}
}

func agreeValue(f protoreflect.FieldDescriptor, written, got protoreflect.Value, readerIsLater bool) error {
	if f.Message() != nil {
		return Agree(written.Message(), got.Message(), readerIsLater)
	}
	if !written.Equal(got) {
		return fmt.Errorf("%v was written and %v read", written, got)
	}
	return nil
}
