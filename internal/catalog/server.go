package catalog

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	"github.com/octavo-books/octavo/internal/catalog/index"
	"github.com/octavo-books/octavo/internal/catalog/match"
	"github.com/octavo-books/octavo/internal/feed"
	"github.com/octavo-books/octavo/internal/page"
)

const (
	defaultPage, maxPage               = 20, 200
	defaultResults, maxResults         = 20, 100
	defaultSuggestions, maxSuggestions = 8, 20
	// Books looked at for each suggestion: several have the same author.
	booksPerSuggestion = 4

	// What one message of the feed and one page hold at most. Books can be of
	// very different sizes, and gRPC refuses messages above 4 MiB.
	watchBooks   = 500
	messageBytes = 1 << 20

	scrapeLimit = time.Second // for what a metric is asked from the store
)

// Server answers octavo.catalog.v1.CatalogService.
type Server struct {
	catalogv1.UnimplementedCatalogServiceServer

	store     Store
	finder    *finder
	searches  *prometheus.CounterVec // by result
	log       *slog.Logger
	stop      chan struct{}
	heartbeat time.Duration
}

// NewServer makes a server over a store.
func NewServer(store Store, log *slog.Logger) *Server {
	searches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "octavo_searches_total",
		Help: "Searches for books, by whether anything was found.",
	}, []string{"result"})
	for _, result := range []string{found, nothing} {
		searches.WithLabelValues(result) // 0 until it happens, not absent
	}
	return &Server{store: store, finder: newFinder(store), searches: searches, log: log, stop: make(chan struct{}), heartbeat: feed.Heartbeat}
}

// Results of a search.
const found, nothing = "found", "nothing"

// Measure registers the service's metrics.
func (s *Server) Measure(registry prometheus.Registerer) {
	registry.MustRegister(s.searches, s.gauge("octavo_books", "Books of the catalog.", s.store.Size))
}

// gauge is a number that the store is asked for at each scrape; it is not a
// number when the store does not answer.
func (s *Server) gauge(name, help string, of func(context.Context) (int64, error)) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
		defer cancel()
		n, err := of(ctx)
		if err != nil {
			s.log.Warn("a metric cannot be read", "metric", name, "error", err)
			return math.NaN()
		}
		return float64(n)
	})
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { catalogv1.RegisterCatalogServiceServer(r, s) }

// Run keeps the search up to date until ctx ends, then ends all streams, which
// would otherwise hold up a graceful stop. It is called once.
func (s *Server) Run(ctx context.Context) error {
	s.finder.follow(ctx, s.log)
	close(s.stop)
	return nil
}

// Ready is nil once the search knows all books. Everything else is answered
// before.
func (s *Server) Ready() error {
	if s.finder.complete.Load() {
		return nil
	}
	return fault.New(fault.Unavailable, "%d books are known so far", s.finder.index.Len())
}

// GetBook implements the contract.
func (s *Server) GetBook(ctx context.Context, req *catalogv1.GetBookRequest) (*catalogv1.GetBookResponse, error) {
	books, err := s.store.Books(ctx, []int32{req.GetId()})
	if err != nil {
		return nil, err
	}
	if len(books) == 0 {
		return nil, fault.New(fault.NotFound, "there is no book %d", req.GetId())
	}
	return &catalogv1.GetBookResponse{Book: toProto(&books[0])}, nil
}

// BatchGetBooks implements the contract.
func (s *Server) BatchGetBooks(ctx context.Context, req *catalogv1.BatchGetBooksRequest) (*catalogv1.BatchGetBooksResponse, error) {
	books, err := s.store.Books(ctx, req.GetIds())
	if err != nil {
		return nil, err
	}
	byID := make(map[int32]*Book, len(books))
	for i := range books {
		byID[books[i].ID] = &books[i]
	}
	resp := &catalogv1.BatchGetBooksResponse{Books: make([]*catalogv1.Book, 0, len(books))}
	for _, id := range req.GetIds() {
		if b := byID[id]; b != nil {
			resp.Books = append(resp.Books, toProto(b))
		}
	}
	return resp, nil
}

// ListBooks implements the contract.
func (s *Server) ListBooks(ctx context.Context, req *catalogv1.ListBooksRequest) (*catalogv1.ListBooksResponse, error) {
	category := Category(req.GetCategory())
	after := Place{Popularity: math.MaxInt64}
	if token := req.GetPageToken(); token != "" {
		numbers, err := page.Parse(token, 3)
		if err != nil {
			return nil, err
		}
		if numbers[0] != int64(category) || numbers[2] > math.MaxInt32 {
			return nil, fault.NewInvalid("page_token", "belongs to the list of another category; start from the first page")
		}
		after = Place{Popularity: numbers[1], ID: int32(numbers[2])}
	}
	size := limit(req.GetPageSize(), defaultPage, maxPage)
	books, err := s.store.List(ctx, category, after, size+1)
	if err != nil {
		return nil, err
	}
	more := len(books) > size
	books = books[:min(size, len(books))]
	resp := &catalogv1.ListBooksResponse{Books: toProtos(books)}
	if fit := fitting(resp.GetBooks()); fit < len(books) {
		resp.Books, books, more = resp.Books[:fit], books[:fit], true
	}
	if more {
		last := books[len(books)-1]
		resp.NextPageToken = page.Token(int64(category), last.Popularity, int64(last.ID))
	}
	return resp, nil
}

// ListCategories implements the contract.
func (s *Server) ListCategories(ctx context.Context, _ *catalogv1.ListCategoriesRequest) (*catalogv1.ListCategoriesResponse, error) {
	sizes, err := s.store.Categories(ctx)
	if err != nil {
		return nil, err
	}
	resp := &catalogv1.ListCategoriesResponse{}
	for _, c := range sizes {
		resp.Categories = append(resp.Categories, &catalogv1.ListCategoriesResponse_Entry{
			Category: catalogv1.Category(c.Category),
			Books:    c.Books,
		})
	}
	return resp, nil
}

// SearchBooks implements the contract.
func (s *Server) SearchBooks(ctx context.Context, req *catalogv1.SearchBooksRequest) (*catalogv1.SearchBooksResponse, error) {
	query := index.Query{
		Text: req.GetQuery(),
		Filter: index.Filter{
			Category: int32(req.GetCategory()), FromYear: req.GetFromYear(), ToYear: req.GetToYear(), Language: req.GetLanguage(),
		},
		Limit: limit(req.GetMaxResults(), defaultResults, maxResults),
	}
	var err error
	if query.After, err = parsePlace(req); err != nil {
		return nil, err
	}
	if index.Fold(query.Text) == "" {
		return &catalogv1.SearchBooksResponse{}, nil
	}
	if err := s.finder.catchUp(ctx); err != nil {
		return nil, err
	}
	answer, err := s.finder.search(ctx, query)
	if err != nil {
		return nil, err
	}
	if query.After == nil {
		result := found
		if answer.Total == 0 {
			result = nothing
		}
		s.searches.WithLabelValues(result).Inc()
	}
	books, err := s.finder.books(ctx, answer.Places)
	if err != nil {
		return nil, err
	}
	resp := facets(answer)
	resp.Books = toProtos(books)
	if fit := fitting(resp.GetBooks()); fit < len(books) {
		resp.Books, answer.More = resp.GetBooks()[:fit], true
	}
	if answer.More {
		resp.NextPageToken = placeToken(req, answer.Places[len(resp.GetBooks())-1])
	}
	if answer.Total == 0 && query.After == nil {
		resp.DidYouMean = s.finder.index.Nearest(query)
	}
	return resp, nil
}

// SuggestBooks implements the contract.
func (s *Server) SuggestBooks(ctx context.Context, req *catalogv1.SuggestBooksRequest) (*catalogv1.SuggestBooksResponse, error) {
	resp := &catalogv1.SuggestBooksResponse{}
	words := strings.Fields(index.Fold(req.GetQuery()))
	if len(words) == 0 {
		return resp, nil
	}
	if err := s.finder.catchUp(ctx); err != nil {
		return nil, err
	}
	most := limit(req.GetMaxResults(), defaultSuggestions, maxSuggestions)
	answer, err := s.finder.search(ctx, index.Query{Text: req.GetQuery(), Typing: true, Limit: booksPerSuggestion * most})
	if err != nil {
		return nil, err
	}
	books, err := s.finder.books(ctx, answer.Places)
	if err != nil {
		return nil, err
	}
	have := make(map[string]bool)
	for _, b := range books {
		text, kind := suggestion(&b, words)
		folded := index.Fold(text)
		if have[folded] || folded == "" {
			continue
		}
		have[folded] = true
		resp.Suggestions = append(resp.Suggestions, &catalogv1.SuggestBooksResponse_Suggestion{Text: text, Kind: kind, BookId: b.ID})
		if len(resp.GetSuggestions()) == most {
			break
		}
	}
	return resp, nil
}

// MatchBooks implements the contract.
func (s *Server) MatchBooks(ctx context.Context, req *catalogv1.MatchBooksRequest) (*catalogv1.MatchBooksResponse, error) {
	wanted := make([]Wanted, len(req.GetBooks()))
	for i, w := range req.GetBooks() {
		wanted[i] = Wanted{ISBNs: w.GetIsbns(), Work: match.Work{Title: w.GetTitle(), Authors: w.GetAuthors()}}
	}
	matches, err := s.finder.match(ctx, wanted)
	if err != nil {
		return nil, err
	}
	resp := &catalogv1.MatchBooksResponse{Matches: make([]*catalogv1.MatchBooksResponse_Match, len(matches))}
	for i, m := range matches {
		resp.Matches[i] = &catalogv1.MatchBooksResponse_Match{
			BookId: m.Book, Basis: catalogv1.MatchBooksResponse_Basis(m.Basis), Reason: catalogv1.MatchBooksResponse_Reason(m.Why),
		}
	}
	return resp, nil
}

// ImportBooks implements the contract.
func (s *Server) ImportBooks(ctx context.Context, req *catalogv1.ImportBooksRequest) (*catalogv1.ImportBooksResponse, error) {
	books := make([]Book, len(req.GetBooks()))
	resp := &catalogv1.ImportBooksResponse{}
	for i, b := range req.GetBooks() {
		var wrong []string
		books[i], wrong = fromProto(b)
		for _, number := range wrong {
			resp.LeftOut = append(resp.GetLeftOut(), &catalogv1.ImportBooksResponse_LeftOut{Index: int32(i), Isbn: number})
		}
		switch {
		case books[i].Source == "":
			return nil, fault.NewInvalid(fmt.Sprintf("books[%d].source", i), "must say where the book comes from")
		case books[i].SourceID == "":
			return nil, fault.NewInvalid(fmt.Sprintf("books[%d].source_id", i), "must be the key of the book in its source")
		}
	}
	imported, err := s.store.Import(ctx, books)
	if err != nil {
		return nil, err
	}
	for _, l := range imported.LeftOut {
		resp.LeftOut = append(resp.GetLeftOut(), &catalogv1.ImportBooksResponse_LeftOut{Index: int32(l.Index), Isbn: l.ISBN, HeldBy: l.HeldBy})
	}
	slices.SortStableFunc(resp.GetLeftOut(), func(a, b *catalogv1.ImportBooksResponse_LeftOut) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
	resp.Ids, resp.Position, resp.Joined = imported.IDs, imported.Position, imported.Joined
	resp.Created, resp.Updated, resp.Unchanged = imported.Created, imported.Updated, imported.Unchanged
	return resp, nil
}

// SetPopularity implements the contract.
func (s *Server) SetPopularity(ctx context.Context, req *catalogv1.SetPopularityRequest) (*catalogv1.SetPopularityResponse, error) {
	entries := make([]Popularity, len(req.GetEntries()))
	for i, e := range req.GetEntries() {
		entries[i] = Popularity{Book: e.GetBookId(), Readers: e.GetReaders()}
	}
	if err := s.store.SetPopularity(ctx, entries); err != nil {
		return nil, err
	}
	for _, e := range entries {
		s.finder.index.SetPopularity(e.Book, e.Readers)
	}
	return &catalogv1.SetPopularityResponse{}, nil
}

// WatchBooks implements the contract.
func (s *Server) WatchBooks(req *catalogv1.WatchBooksRequest, stream grpc.ServerStreamingServer[catalogv1.WatchBooksResponse]) error {
	after, check := req.GetAfterPosition(), req.GetAfterCheck()
	s.log.DebugContext(stream.Context(), "following books", "after", after)
	return feed.Stream{
		Changed:   s.store.Changed,
		Heartbeat: s.heartbeat,
		Send: func(ctx context.Context, heartbeat bool) (sent, more bool, err error) {
			if err := s.compare(ctx, after, check); err != nil {
				return false, false, err
			}
			check = 0 // what comes later is compared with nothing
			changes, err := s.store.Changes(ctx, after, watchBooks)
			if err != nil || len(changes.Books) == 0 && !heartbeat {
				return false, false, err
			}
			// Only the last message of a part knows its position: the books
			// before it are sent again to whoever resumes in between.
			books := toProtos(changes.Books)
			for {
				fit := fitting(books)
				resp := &catalogv1.WatchBooksResponse{Books: books[:fit], Position: after, Head: changes.Head}
				books = books[fit:]
				if len(books) == 0 {
					if last := len(changes.Books) - 1; last >= 0 {
						resp.Check = checkOf(&changes.Books[last])
					}
					after = changes.Position
					resp.Position = after
				}
				if err := stream.Send(resp); err != nil {
					return false, false, err
				}
				if len(books) == 0 {
					return true, after < changes.Head, nil
				}
			}
		},
	}.Follow(stream.Context(), s.stop)
}

// compare is a Conflict when the feed has another book at a position than who
// follows it has met there: the database was restored from a time before it. A
// book that has changed since stands elsewhere, cannot be compared, and is
// believed to have been there.
func (s *Server) compare(ctx context.Context, position, check int64) error {
	if position == 0 || check == 0 {
		return nil
	}
	changes, err := s.store.Changes(ctx, position-1, 1)
	if err != nil || len(changes.Books) == 0 || changes.Position != position || checkOf(&changes.Books[0]) == check {
		return err
	}
	return fault.New(fault.Conflict, "the feed has another book at position %d: its database has been replaced; start again from 0", position)
}

// checkOf tells a book from others by what stays the same while it keeps its
// position. It is never 0.
func checkOf(b *Book) int64 {
	hash := fnv.New64a()
	_, _ = fmt.Fprintf(hash, "%d %s", b.ID, b.Title) // a hash takes everything
	return int64(hash.Sum64()>>1) | 1
}

// fitting is how many of the books, at least one if there are any, go into one
// message.
func fitting(books []*catalogv1.Book) int {
	size := 0
	for i, b := range books {
		if size += proto.Size(b); size > messageBytes && i > 0 {
			return i
		}
	}
	return len(books)
}

// limit is the number of items to return when the client asks for n.
func limit(n int32, unset, most int) int {
	if n == 0 {
		return unset
	}
	return min(int(n), most)
}
