package recommendations

import (
	"context"

	"google.golang.org/grpc"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	recommendationspb "github.com/octavo-books/octavo/gen/recommendations"
)

// Register serves both contracts: /Recommendations of the clients in use, and
// octavo.recommendations.v1.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	recommendationspb.RegisterRecommendationsServer(r, &firstServer{service: &s.service})
	recommendationsv1.RegisterRecommendationsServiceServer(r, &v1Server{service: &s.service})
}

// firstServer serves the contract without a package.
type firstServer struct {
	recommendationspb.UnimplementedRecommendationsServer
	service *service
}

func (s *firstServer) Recommend(_ context.Context, r *recommendationspb.RecommendationRequest) (*recommendationspb.RecommendationResponse, error) {
	switch {
	case r.GetUserId() < 0:
		return nil, fault.NewInvalid("user_id", "must not be negative, got %d", r.GetUserId())
	case r.GetMaxResults() < 0:
		return nil, fault.NewInvalid("max_results", "must not be negative, got %d", r.GetMaxResults())
	case r.GetCategory() < 0 || r.GetCategory() >= categories-1:
		return nil, errCategoryNotFound
	}
	session := s.service.begin()
	defer session.end()
	answer := session.rank(&question{
		reader:   r.GetUserId(),
		category: uint8(r.GetCategory()) + 1,
		limit:    limitOf(r.GetMaxResults()),
	})
	return toFirst(&answer), nil
}

var errCategoryNotFound = fault.New(fault.NotFound, "Category not found")

// v1Server serves octavo.recommendations.v1.
type v1Server struct {
	recommendationsv1.UnimplementedRecommendationsServiceServer
	service *service
}

func (s *v1Server) Recommend(ctx context.Context, r *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
	q, err := questionFrom(r)
	if err != nil {
		return nil, err
	}
	known, stale := s.service.await(ctx, r.GetMinPosition())
	session := s.service.begin()
	defer session.end()
	answer := session.rank(&q)
	return toV1(&answer, session.version(), known, stale), nil
}

func (s *v1Server) BatchRecommend(ctx context.Context, r *recommendationsv1.BatchRecommendRequest) (*recommendationsv1.BatchRecommendResponse, error) {
	questions := make([]question, len(r.GetRequests()))
	var least int64
	for i, request := range r.GetRequests() {
		q, err := questionFrom(request)
		if err != nil {
			return nil, err
		}
		questions[i] = q
		least = max(least, request.GetMinPosition())
	}
	known, _ := s.service.await(ctx, least)
	session := s.service.begin()
	defer session.end()
	responses := make([]*recommendationsv1.RecommendResponse, len(questions))
	for i := range questions {
		answer := session.rank(&questions[i])
		responses[i] = toV1(&answer, session.version(), known, known < r.GetRequests()[i].GetMinPosition())
	}
	return &recommendationsv1.BatchRecommendResponse{Responses: responses}, nil
}

func (s *v1Server) SimilarBooks(_ context.Context, r *recommendationsv1.SimilarBooksRequest) (*recommendationsv1.SimilarBooksResponse, error) {
	session := s.service.begin()
	defer session.end()
	similar, err := session.similar(r.GetBookId(), limitOf(r.GetMaxResults()))
	if err != nil {
		return nil, err
	}
	return toSimilar(similar, session.version()), nil
}

func (s *v1Server) GetModel(context.Context, *recommendationsv1.GetModelRequest) (*recommendationsv1.GetModelResponse, error) {
	response := &recommendationsv1.GetModelResponse{Position: s.service.log.position.get()}
	if model := s.service.models.acquire(); model != nil {
		defer model.release()
		response.ModelVersion = model.info.Version
		response.Books = int32(model.info.Books)
		response.Readers = int32(model.info.Readers)
		response.Interactions = model.info.Interactions
		response.TrainedPosition = model.info.Position
		response.Parameters = model.info.Parameters
		response.Metrics = model.info.Metrics
	}
	return response, nil
}

// questionFrom reads a request that has passed the rules of the contract, and
// checks what they cannot say.
func questionFrom(r *recommendationsv1.RecommendRequest) (question, error) {
	if c := r.GetCategory(); c < 0 || c >= categories {
		return question{}, errCategoryNotFound
	}
	if r.GetFavouriteCategory() > 0 && r.GetCategory() != catalogv1.Category_CATEGORY_UNSPECIFIED {
		return question{}, fault.NewInvalid("category", "must be unset when favourite_category is given")
	}
	return question{
		reader:    r.GetReaderId(),
		category:  uint8(r.GetCategory()),
		favourite: int(r.GetFavouriteCategory()),
		limit:     limitOf(r.GetMaxResults()),
		recent:    r.GetRecentBookIds(),
		excluded:  r.GetExcludedBookIds(),
		diversity: r.GetDiversity(),
		reasons:   int(r.GetMaxReasons()),
		perAuthor: int(r.GetMaxPerAuthor()),
	}, nil
}
