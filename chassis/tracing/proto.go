package tracing

import (
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"
)

// proto is the span as OTLP has it, its attributes named by OpenTelemetry's
// semantic conventions for RPC and HTTP.
func (r *record) proto() *tracepb.Span {
	began := uint64(r.began.UnixNano())
	span := &tracepb.Span{
		TraceId:           r.Trace[:],
		SpanId:            r.Span[:],
		TraceState:        r.State,
		Flags:             uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK),
		Name:              r.name,
		Kind:              tracepb.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: began,
		EndTimeUnixNano:   began + uint64(r.took),
		Status:            &tracepb.Status{},
	}
	if r.parent != (SpanID{}) {
		span.ParentSpanId = r.parent[:]
	}
	if r.Sampled {
		span.Flags |= 1
	}
	failed := r.Failed
	switch r.kind {
	case HTTPServer:
		span.Flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
		route := r.Route[strings.IndexByte(r.Route, ' ')+1:] // a pattern may begin with its method
		span.Name = strings.TrimSpace(r.Method + " " + route)
		span.Attributes = []*commonpb.KeyValue{
			text("http.request.method", r.Method), text("http.route", route), text("url.path", r.Path),
			number("http.response.status_code", r.Code), text("client.address", r.Peer),
		}
	case GRPCServer:
		span.Flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
		span.Attributes = append(rpc(r), text("client.address", r.Peer))
	case GRPCClient:
		span.Kind = tracepb.Span_SPAN_KIND_CLIENT
		span.Attributes = append(rpc(r), text("server.address", r.Peer))
		failed = r.Code != int(codes.OK)
	}
	if r.RequestID != "" {
		span.Attributes = append(span.Attributes, text("request.id", r.RequestID))
	}
	if failed {
		span.Status.Code = tracepb.Status_STATUS_CODE_ERROR
		span.Status.Message = strings.ToValidUTF8(r.Message, "\uFFFD")
	}
	return span
}

func rpc(r *record) []*commonpb.KeyValue {
	service, method, _ := strings.Cut(r.name, "/")
	return []*commonpb.KeyValue{
		text("rpc.system", "grpc"), text("rpc.service", service), text("rpc.method", method),
		number("rpc.grpc.status_code", r.Code),
	}
}

// text is an attribute. Paths and addresses may hold any bytes, protobuf's
// strings may not.
func text(key, value string) *commonpb.KeyValue {
	value = strings.ToValidUTF8(value, "\uFFFD")
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, value int) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(value)}}}
}
