package chassis

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// TestServiceConfig: only methods whose contract says that a second call does
// no harm are called a second time.
func TestServiceConfig(t *testing.T) {
	level := func(l descriptorpb.MethodOptions_IdempotencyLevel) *descriptorpb.MethodOptions {
		return &descriptorpb.MethodOptions{IdempotencyLevel: &l}
	}
	method := func(name string, options *descriptorpb.MethodOptions) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: proto.String(name), InputType: proto.String(".shop.v1.M"), OutputType: proto.String(".shop.v1.M"), Options: options}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("shop.proto"), Package: proto.String("shop.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Shop"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Look", level(descriptorpb.MethodOptions_NO_SIDE_EFFECTS)),
			method("Put", level(descriptorpb.MethodOptions_IDEMPOTENT)),
			method("Buy", nil),
			method("Sell", level(descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN)),
		}}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := &protoregistry.Files{}
	if err := files.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
	text, err := serviceConfig(files)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		MethodConfig []struct{ Name json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	want := `[{"service":"shop.v1.Shop","method":"Look"},{"service":"shop.v1.Shop","method":"Put"}]`
	if len(config.MethodConfig) != 1 || string(config.MethodConfig[0].Name) != want {
		t.Errorf("config is %s, want these methods: %s", text, want)
	}
}
