package chassis

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

func TestHasRules(t *testing.T) {
	for _, test := range []struct {
		message proto.Message
		want    bool
	}{
		{&recommendationspb.RecommendationRequest{}, false},
		{&recommendationsv1.GetModelRequest{}, false},
		{&recommendationsv1.RecommendRequest{}, true},
		{&recommendationsv1.BatchRecommendRequest{}, true},
		{&catalogv1.ImportBooksRequest{}, true},
	} {
		descriptor := test.message.ProtoReflect().Descriptor()
		t.Run(string(descriptor.FullName()), func(t *testing.T) {
			if got := hasRules(descriptor, map[protoreflect.FullName]bool{}); got != test.want {
				t.Errorf("hasRules = %v, want %v", got, test.want)
			}
		})
	}
}

// BenchmarkValidate is the cost of a request with rules, and of one without.
func BenchmarkValidate(b *testing.B) {
	v := &validator{}
	for _, service := range []string{"Recommendations", "octavo.recommendations.v1.RecommendationsService"} {
		b.Run(service, func(b *testing.B) {
			validated, err := v.prepare(service, "Recommend")
			if err != nil {
				b.Fatal(err)
			}
			s := &grpcServer{validator: v}
			c := &call{method: &method{validated: validated}}
			request := &recommendationsv1.RecommendRequest{ReaderId: 7, MaxResults: 10}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.check(c, request, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
