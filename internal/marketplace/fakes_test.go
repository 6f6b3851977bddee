package marketplace

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/chassis/chassistest"
	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
)

// trouble is how a fake service misbehaves.
type trouble struct {
	mu   sync.Mutex
	down bool
	hung bool
}

func (t *trouble) set(down, hung bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down, t.hung = down, hung
}

// strike is called by every method first.
func (t *trouble) strike(ctx context.Context) error {
	t.mu.Lock()
	down, hung := t.down, t.hung
	t.mu.Unlock()
	if hung {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return fault.New(fault.Unavailable, "dial tcp 10.0.0.7:50052: connection refused")
	}
	return nil
}

// fakeCatalog holds books in memory, most popular first.
type fakeCatalog struct {
	catalogv1.UnimplementedCatalogServiceServer
	trouble
	books []*catalogv1.Book
}

func (f *fakeCatalog) find(id int32) *catalogv1.Book {
	for _, b := range f.books {
		if b.GetId() == id {
			return b
		}
	}
	return nil
}

func (f *fakeCatalog) GetBook(ctx context.Context, r *catalogv1.GetBookRequest) (*catalogv1.GetBookResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	if b := f.find(r.GetId()); b != nil {
		return &catalogv1.GetBookResponse{Book: b}, nil
	}
	return nil, fault.New(fault.NotFound, "no book %d", r.GetId())
}

func (f *fakeCatalog) BatchGetBooks(ctx context.Context, r *catalogv1.BatchGetBooksRequest) (*catalogv1.BatchGetBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &catalogv1.BatchGetBooksResponse{}
	for _, id := range r.GetIds() {
		if b := f.find(id); b != nil {
			response.Books = append(response.Books, b)
		}
	}
	return response, nil
}

func (f *fakeCatalog) ListBooks(ctx context.Context, r *catalogv1.ListBooksRequest) (*catalogv1.ListBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	var books []*catalogv1.Book
	for _, b := range f.books {
		if r.GetCategory() == 0 || r.GetCategory() == b.GetCategory() {
			books = append(books, b)
		}
	}
	start := 0
	if r.GetPageToken() != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(r.GetPageToken(), "from+"))
		if err != nil {
			return nil, fault.NewInvalid("page_token", "not one of ours")
		}
		start = n
	}
	end := min(len(books), start+int(r.GetPageSize()))
	response := &catalogv1.ListBooksResponse{Books: books[start:end]}
	if end < len(books) {
		response.NextPageToken = fmt.Sprintf("from+%d", end)
	}
	return response, nil
}

func (f *fakeCatalog) ListCategories(ctx context.Context, _ *catalogv1.ListCategoriesRequest) (*catalogv1.ListCategoriesResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	counts := map[catalogv1.Category]int32{}
	for _, b := range f.books {
		counts[b.GetCategory()]++
	}
	response := &catalogv1.ListCategoriesResponse{}
	for category, n := range counts {
		response.Categories = append(response.Categories, &catalogv1.ListCategoriesResponse_Entry{Category: category, Books: n})
	}
	slices.SortFunc(response.Categories, func(a, b *catalogv1.ListCategoriesResponse_Entry) int {
		return cmp.Compare(a.GetCategory(), b.GetCategory())
	})
	return response, nil
}

// MatchBooks knows a book by its title and the last name of its author.
func (f *fakeCatalog) MatchBooks(ctx context.Context, r *catalogv1.MatchBooksRequest) (*catalogv1.MatchBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &catalogv1.MatchBooksResponse{}
	for _, wanted := range r.GetBooks() {
		m := &catalogv1.MatchBooksResponse_Match{Reason: catalogv1.MatchBooksResponse_REASON_UNKNOWN}
		for _, b := range f.books {
			if title, _, _ := strings.Cut(wanted.GetTitle(), ":"); title != b.GetTitle() {
				continue
			}
			last := func(names []string) string { return names[0][strings.LastIndex(names[0], " ")+1:] }
			if last(wanted.GetAuthors()) != last(b.GetAuthors()) {
				m = &catalogv1.MatchBooksResponse_Match{Reason: catalogv1.MatchBooksResponse_REASON_OTHER_AUTHOR}
				continue
			}
			m = &catalogv1.MatchBooksResponse_Match{BookId: b.GetId(), Basis: catalogv1.MatchBooksResponse_BASIS_TITLE_AND_AUTHOR}
			break
		}
		response.Matches = append(response.Matches, m)
	}
	return response, nil
}

func (f *fakeCatalog) SearchBooks(ctx context.Context, r *catalogv1.SearchBooksRequest) (*catalogv1.SearchBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &catalogv1.SearchBooksResponse{}
	counts := map[catalogv1.Category]int32{}
	for _, b := range f.books {
		if !hasWords(b.GetTitle()+" "+strings.Join(b.GetAuthors(), " "), r.GetQuery()) {
			continue
		}
		counts[b.GetCategory()]++
		if r.GetCategory() == 0 || r.GetCategory() == b.GetCategory() {
			response.Books = append(response.Books, b)
		}
	}
	for category, n := range counts {
		response.Categories = append(response.Categories, &catalogv1.SearchBooksResponse_CategoryCount{Category: category, Books: n})
	}
	response.Total = int32(len(response.GetBooks()))
	if len(response.GetBooks()) == 0 && len(counts) == 0 {
		response.DidYouMean = []string{"left hand"}
	}
	from := 0
	if r.GetPageToken() != "" {
		if _, err := fmt.Sscanf(r.GetPageToken(), "from %d", &from); err != nil || from > len(response.GetBooks()) {
			return nil, fault.NewInvalid("page_token", "is none")
		}
	}
	to := min(from+int(r.GetMaxResults()), len(response.GetBooks()))
	if to < len(response.GetBooks()) {
		response.NextPageToken = fmt.Sprint("from ", to)
	}
	response.Books = response.GetBooks()[from:to]
	return response, nil
}

func (f *fakeCatalog) SuggestBooks(ctx context.Context, r *catalogv1.SuggestBooksRequest) (*catalogv1.SuggestBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &catalogv1.SuggestBooksResponse{}
	for _, b := range f.books {
		if strings.HasPrefix(strings.ToLower(b.GetTitle()), strings.ToLower(r.GetQuery())) {
			response.Suggestions = append(response.Suggestions, &catalogv1.SuggestBooksResponse_Suggestion{Text: b.GetTitle(), BookId: b.GetId()})
		}
	}
	return response, nil
}

// hasWords is whether text contains each word of a query.
func hasWords(text, query string) bool {
	for word := range strings.FieldsSeq(strings.ToLower(query)) {
		if !strings.Contains(strings.ToLower(text), word) {
			return false
		}
	}
	return true
}

// fakeReaders holds the log in memory.
type fakeReaders struct {
	readersv1.UnimplementedReadersServiceServer
	trouble
	data    sync.Mutex
	readers []*readersv1.Reader
	log     []*readersv1.Interaction
	ids     map[string]bool
	gone    int32 // an id that is not there any more
}

func (f *fakeReaders) interactions() []*readersv1.Interaction {
	f.data.Lock()
	defer f.data.Unlock()
	return slices.Clone(f.log)
}

// newest is the id of the reader made last.
func (f *fakeReaders) newest() int32 {
	f.data.Lock()
	defer f.data.Unlock()
	return f.readers[len(f.readers)-1].GetId()
}

// forget takes away the reader made last, as if erased, and never gives the id
// again.
func (f *fakeReaders) forget() {
	f.data.Lock()
	defer f.data.Unlock()
	f.gone = f.readers[len(f.readers)-1].GetId()
}

func (f *fakeReaders) CreateReader(ctx context.Context, _ *readersv1.CreateReaderRequest) (*readersv1.CreateReaderResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	reader := &readersv1.Reader{Id: int32(len(f.readers) + 1), Origin: readersv1.Origin_ORIGIN_ANONYMOUS}
	f.readers = append(f.readers, reader)
	return &readersv1.CreateReaderResponse{Reader: reader}, nil
}

func (f *fakeReaders) GetReader(ctx context.Context, r *readersv1.GetReaderRequest) (*readersv1.GetReaderResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if int(r.GetId()) > len(f.readers) {
		return nil, fault.New(fault.NotFound, "no reader %d", r.GetId())
	}
	return &readersv1.GetReaderResponse{Reader: f.readers[r.GetId()-1]}, nil
}

func (f *fakeReaders) ListReaders(ctx context.Context, r *readersv1.ListReadersRequest) (*readersv1.ListReadersResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	after, response := 0, &readersv1.ListReadersResponse{}
	if r.GetPageToken() != "" {
		n, err := strconv.Atoi(r.GetPageToken())
		if err != nil {
			return nil, fault.NewInvalid("page_token", "not one of ours")
		}
		after = n
	}
	for _, reader := range f.readers {
		if reader.GetOrigin() != r.GetOrigin() || int(reader.GetId()) <= after {
			continue
		}
		if len(response.GetReaders()) == int(r.GetPageSize()) {
			response.NextPageToken = strconv.Itoa(int(response.GetReaders()[len(response.GetReaders())-1].GetId()))
			break
		}
		response.Readers = append(response.Readers, reader)
	}
	return response, nil
}

func (f *fakeReaders) RecordInteractions(ctx context.Context, r *readersv1.RecordInteractionsRequest) (*readersv1.RecordInteractionsResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	recorded := int32(0)
	for _, i := range r.GetInteractions() {
		if int(i.GetReaderId()) > len(f.readers) || i.GetReaderId() == f.gone {
			return nil, fault.New(fault.NotFound, "no reader %d", i.GetReaderId())
		}
		if i.GetId() != "" && f.ids[i.GetId()] {
			continue
		}
		f.ids[i.GetId()] = true
		f.log = append(f.log, i)
		recorded++
	}
	return &readersv1.RecordInteractionsResponse{Position: int64(len(f.log)), Recorded: recorded}, nil
}

// shelf is what the log adds up to, last changed first.
func (f *fakeReaders) shelf(reader int32) []*readersv1.ShelfEntry {
	f.data.Lock()
	defer f.data.Unlock()
	var entries []*readersv1.ShelfEntry
	for _, i := range f.log {
		at := slices.IndexFunc(entries, func(e *readersv1.ShelfEntry) bool { return e.GetBookId() == i.GetBookId() })
		kind := i.GetKind()
		if i.GetReaderId() != reader || kind <= readersv1.InteractionKind_INTERACTION_KIND_CLICK {
			continue
		}
		entry := &readersv1.ShelfEntry{BookId: i.GetBookId()}
		if at >= 0 {
			entry = entries[at]
			entries = slices.Delete(entries, at, at+1)
		}
		switch kind {
		case readersv1.InteractionKind_INTERACTION_KIND_REMOVED,
			readersv1.InteractionKind_INTERACTION_KIND_PAUSED, readersv1.InteractionKind_INTERACTION_KIND_RESUMED:
			continue
		case readersv1.InteractionKind_INTERACTION_KIND_RATING:
			entry.Rating = i.GetValue()
		default:
			entry.Shelf = kind
		}
		entries = slices.Insert(entries, 0, entry)
	}
	return entries
}

func (f *fakeReaders) ListShelf(ctx context.Context, r *readersv1.ListShelfRequest) (*readersv1.ListShelfResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &readersv1.ListShelfResponse{}
	for _, entry := range f.shelf(r.GetReaderId()) {
		if len(r.GetBookIds()) == 0 || slices.Contains(r.GetBookIds(), entry.GetBookId()) {
			response.Entries = append(response.Entries, entry)
		}
	}
	return response, nil
}

func (f *fakeReaders) ExportReader(r *readersv1.ExportReaderRequest, stream grpc.ServerStreamingServer[readersv1.ExportReaderResponse]) error {
	reader, err := f.GetReader(stream.Context(), &readersv1.GetReaderRequest{Id: r.GetReaderId()})
	if err != nil {
		return err
	}
	if err := stream.Send(&readersv1.ExportReaderResponse{Reader: reader.GetReader()}); err != nil {
		return err
	}
	for _, i := range f.interactions() {
		if i.GetReaderId() == r.GetReaderId() {
			if err := stream.Send(&readersv1.ExportReaderResponse{Interactions: []*readersv1.Interaction{i}}); err != nil {
				return err
			}
		}
	}
	return stream.Send(&readersv1.ExportReaderResponse{Entries: f.shelf(r.GetReaderId())})
}

func (f *fakeReaders) EraseReader(ctx context.Context, r *readersv1.EraseReaderRequest) (*readersv1.EraseReaderResponse, error) {
	if _, err := f.GetReader(ctx, &readersv1.GetReaderRequest{Id: r.GetReaderId()}); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	f.log = slices.DeleteFunc(f.log, func(i *readersv1.Interaction) bool { return i.GetReaderId() == r.GetReaderId() })
	return &readersv1.EraseReaderResponse{Position: int64(len(f.log)) + 1}, nil
}

func (f *fakeReaders) SetPersonalisation(ctx context.Context, r *readersv1.SetPersonalisationRequest) (*readersv1.SetPersonalisationResponse, error) {
	found, err := f.GetReader(ctx, &readersv1.GetReaderRequest{Id: r.GetReaderId()})
	if err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	kind := readersv1.InteractionKind_INTERACTION_KIND_RESUMED
	if r.GetPaused() {
		kind = readersv1.InteractionKind_INTERACTION_KIND_PAUSED
	}
	if found.GetReader().GetPersonalisationPaused() != r.GetPaused() {
		found.GetReader().PersonalisationPaused = r.GetPaused()
		f.log = append(f.log, &readersv1.Interaction{ReaderId: r.GetReaderId(), Kind: kind})
	}
	return &readersv1.SetPersonalisationResponse{Position: int64(len(f.log))}, nil
}

// fakeRecommendations suggests the catalog's books in order, those of the
// reader left out, and names the reader's last books as reasons.
type fakeRecommendations struct {
	recommendationsv1.UnimplementedRecommendationsServiceServer
	trouble
	catalog *fakeCatalog
	readers *fakeReaders
	data    sync.Mutex
	asked   []*recommendationsv1.RecommendRequest
	similar []int32
	stale   bool
	reason  *recommendationsv1.Reason // the only one, when set
}

func (f *fakeRecommendations) requests() []*recommendationsv1.RecommendRequest {
	f.data.Lock()
	defer f.data.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeRecommendations) answer(r *recommendationsv1.RecommendRequest, without map[int32]bool) *recommendationsv1.RecommendResponse {
	f.data.Lock()
	f.asked = append(f.asked, r)
	stale := f.stale
	f.data.Unlock()
	own, paused := slices.Clone(r.GetRecentBookIds()), false
	if r.GetReaderId() != 0 {
		// Only as much of the log as was asked for: who forgets the position
		// gets yesterday's answer.
		for _, i := range f.readers.interactions()[:r.GetMinPosition()] {
			switch {
			case i.GetReaderId() != r.GetReaderId():
			case i.GetBookId() == 0:
				paused = i.GetKind() == readersv1.InteractionKind_INTERACTION_KIND_PAUSED
			default:
				own = append(own, i.GetBookId())
			}
		}
	}
	if paused {
		own = nil
	}
	slices.Reverse(own)
	category := r.GetCategory()
	if r.GetFavouriteCategory() > 0 && len(own) > 0 {
		category = catalogv1.Category(r.GetFavouriteCategory() + 2)
	}
	response := &recommendationsv1.RecommendResponse{Category: category, HistorySize: int32(len(own)), Position: r.GetMinPosition(), Stale: stale, PersonalisationPaused: paused}
	for _, b := range f.catalog.books {
		if len(response.GetRecommendations()) == int(r.GetMaxResults()) {
			break
		}
		if without[b.GetId()] || slices.Contains(own, b.GetId()) || category != 0 && category != b.GetCategory() {
			continue
		}
		without[b.GetId()] = true
		response.Recommendations = append(response.Recommendations, &recommendationsv1.Recommendation{
			Id: b.GetId(), Title: b.GetTitle(), Authors: b.GetAuthors(), Category: b.GetCategory(), Year: b.GetYear(),
			Reasons: f.reasons(own, r),
		})
	}
	return response
}

var shares = []float32{0.62, 0.21, 0.004}

func (f *fakeRecommendations) reasons(own []int32, r *recommendationsv1.RecommendRequest) []*recommendationsv1.Reason {
	if f.reason != nil {
		return []*recommendationsv1.Reason{f.reason}
	}
	if len(own) == 0 {
		return []*recommendationsv1.Reason{{Kind: recommendationsv1.ReasonKind_REASON_KIND_BEST_SELLER, Share: 1}}
	}
	var reasons []*recommendationsv1.Reason
	for i, id := range own[:min(len(own), int(r.GetMaxReasons()))] {
		if b := f.catalog.find(id); b != nil {
			reasons = append(reasons, &recommendationsv1.Reason{
				Kind: recommendationsv1.ReasonKind_REASON_KIND_YOUR_BOOK, BookId: id, Title: b.GetTitle(), Share: shares[i], Interaction: f.did(r, id),
			})
		}
	}
	return reasons
}

// did is the shelf that a book of a question's reader is on, or else what was
// done with it last.
func (f *fakeRecommendations) did(r *recommendationsv1.RecommendRequest, book int32) readersv1.InteractionKind {
	shelf, last := readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED, readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED
	if slices.Contains(r.GetRecentBookIds(), book) {
		last = readersv1.InteractionKind_INTERACTION_KIND_VIEW
	}
	for _, i := range f.readers.interactions() {
		if i.GetReaderId() != r.GetReaderId() || i.GetBookId() != book {
			continue
		}
		last = i.GetKind()
		switch last {
		case readersv1.InteractionKind_INTERACTION_KIND_WANT, readersv1.InteractionKind_INTERACTION_KIND_READING, readersv1.InteractionKind_INTERACTION_KIND_FINISHED:
			shelf = last
		}
	}
	if shelf != 0 {
		return shelf
	}
	return last
}

func (f *fakeRecommendations) Recommend(ctx context.Context, r *recommendationsv1.RecommendRequest) (*recommendationsv1.RecommendResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	return f.answer(r, map[int32]bool{}), nil
}

func (f *fakeRecommendations) BatchRecommend(ctx context.Context, r *recommendationsv1.BatchRecommendRequest) (*recommendationsv1.BatchRecommendResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response, without := &recommendationsv1.BatchRecommendResponse{}, map[int32]bool{}
	for _, request := range r.GetRequests() {
		response.Responses = append(response.Responses, f.answer(request, without))
	}
	return response, nil
}

func (f *fakeRecommendations) SimilarBooks(ctx context.Context, _ *recommendationsv1.SimilarBooksRequest) (*recommendationsv1.SimilarBooksResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	response := &recommendationsv1.SimilarBooksResponse{}
	for _, id := range f.similar {
		b := f.catalog.find(id)
		response.Recommendations = append(response.Recommendations, &recommendationsv1.Recommendation{
			Id: b.GetId(), Title: b.GetTitle(), Authors: b.GetAuthors(), Category: b.GetCategory(), Year: b.GetYear(),
		})
	}
	return response, nil
}

func (f *fakeRecommendations) GetModel(ctx context.Context, _ *recommendationsv1.GetModelRequest) (*recommendationsv1.GetModelResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	return &recommendationsv1.GetModelResponse{
		ModelVersion: "8c1f0a9b2d3e", Books: 640, Readers: 2000, Interactions: 61234, TrainedPosition: 61234, Position: 61240,
		Parameters: map[string]float64{"neighbours": 200, "prior": 0.01}, Metrics: map[string]float64{"validation_recall": 0.2581234, "validation_readers": 53424, "novelty": 0.5},
	}, nil
}

// fakeAccounts keeps names and passwords in memory.
type fakeAccounts struct {
	readersv1.UnimplementedAccountsServiceServer
	trouble
	readers  *fakeReaders
	data     sync.Mutex
	names    map[string]int32 // readers
	secrets  map[string]string
	sessions map[string]string // names by token
	visitors []*readersv1.Visitor
	clients  []*readersv1.Client
	tokens   int
	refusal  error // of the next sign-in
	passkeys []*readersv1.Passkey
	old      bool     // from before there were any
	origins  []string // for which something was begun with one
}

func (f *fakeAccounts) BeginPasskeySignIn(ctx context.Context, r *readersv1.BeginPasskeySignInRequest) (*readersv1.BeginPasskeySignInResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.refusal != nil {
		return nil, f.refusal
	}
	f.origins = append(f.origins, r.GetOrigin())
	return &readersv1.BeginPasskeySignInResponse{Ceremony: "signing", Options: []byte(`{"challenge":"AA"}`)}, nil
}

// FinishPasskeySignIn takes the name of an account for what its passkey signs.
func (f *fakeAccounts) FinishPasskeySignIn(ctx context.Context, r *readersv1.FinishPasskeySignInRequest) (*readersv1.FinishPasskeySignInResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	name := string(r.GetResponse())
	if r.GetCeremony() != "signing" || f.names[name] == 0 || len(f.passkeys) == 0 {
		return nil, fault.New(fault.Unauthenticated, "The passkey was not accepted.")
	}
	account, token := f.begin(name, r.GetVisitor(), r.GetClient(), r.GetReplacedToken())
	return &readersv1.FinishPasskeySignInResponse{Account: account, Token: token}, nil
}

func (f *fakeAccounts) BeginPasskeyRegistration(ctx context.Context, r *readersv1.BeginPasskeyRegistrationRequest) (*readersv1.BeginPasskeyRegistrationResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.secrets[f.sessions[r.GetToken()]] != r.GetCurrentPassword() {
		return nil, fault.NewInvalid("current_password", "This is not your present password.")
	}
	f.origins = append(f.origins, r.GetOrigin())
	return &readersv1.BeginPasskeyRegistrationResponse{Ceremony: "adding", Options: []byte(`{"challenge":"BB"}`)}, nil
}

func (f *fakeAccounts) FinishPasskeyRegistration(ctx context.Context, r *readersv1.FinishPasskeyRegistrationRequest) (*readersv1.FinishPasskeyRegistrationResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if r.GetCeremony() != "adding" || string(r.GetResponse()) != "signed" {
		return nil, fault.NewInvalid("passkey", "The passkey was not added.")
	}
	p := &readersv1.Passkey{Id: int64(len(f.passkeys) + 1), Name: r.GetName(), CreatedAt: timestamppb.New(time.UnixMilli(1_800_000_000_000))}
	f.passkeys = append(f.passkeys, p)
	_, token := f.begin(f.sessions[r.GetToken()], nil, r.GetClient(), r.GetToken())
	return &readersv1.FinishPasskeyRegistrationResponse{Passkey: p, Token: token}, nil
}

func (f *fakeAccounts) ListPasskeys(ctx context.Context, r *readersv1.ListPasskeysRequest) (*readersv1.ListPasskeysResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.old {
		return f.UnimplementedAccountsServiceServer.ListPasskeys(ctx, r)
	}
	return &readersv1.ListPasskeysResponse{Passkeys: slices.Clone(f.passkeys)}, nil
}

func (f *fakeAccounts) RenamePasskey(ctx context.Context, r *readersv1.RenamePasskeyRequest) (*readersv1.RenamePasskeyResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	for _, p := range f.passkeys {
		if p.GetId() == r.GetId() {
			p.Name = r.GetName()
			return &readersv1.RenamePasskeyResponse{}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "There is no such passkey any more.")
}

func (f *fakeAccounts) RemovePasskey(ctx context.Context, r *readersv1.RemovePasskeyRequest) (*readersv1.RemovePasskeyResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	f.passkeys = slices.DeleteFunc(f.passkeys, func(p *readersv1.Passkey) bool { return p.GetId() == r.GetId() })
	return &readersv1.RemovePasskeyResponse{}, nil
}

func (f *fakeAccounts) begin(name string, visitor *readersv1.Visitor, client *readersv1.Client, replaced string) (*readersv1.Account, string) {
	f.tokens++
	token := fmt.Sprintf("token-%d", f.tokens)
	delete(f.sessions, replaced)
	f.sessions[token] = name
	f.visitors, f.clients = append(f.visitors, visitor), append(f.clients, client)
	return &readersv1.Account{ReaderId: f.names[name], Name: name}, token
}

func (f *fakeAccounts) CreateAccount(ctx context.Context, r *readersv1.CreateAccountRequest) (*readersv1.CreateAccountResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	made, err := f.readers.CreateReader(ctx, &readersv1.CreateReaderRequest{})
	if err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.names[r.GetName()] != 0 {
		return nil, fault.New(fault.Conflict, "The user name %s is taken. Choose another.", r.GetName())
	}
	if len(r.GetPassword()) < 8 {
		return nil, fault.NewInvalid("password", "The password is too short.")
	}
	made.GetReader().Origin = readersv1.Origin_ORIGIN_ACCOUNT
	f.names[r.GetName()], f.secrets[r.GetName()] = made.GetReader().GetId(), r.GetPassword()
	account, token := f.begin(r.GetName(), r.GetVisitor(), r.GetClient(), r.GetReplacedToken())
	return &readersv1.CreateAccountResponse{Account: account, Token: token}, nil
}

func (f *fakeAccounts) SignIn(ctx context.Context, r *readersv1.SignInRequest) (*readersv1.SignInResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	if f.refusal != nil {
		return nil, f.refusal
	}
	if f.names[r.GetName()] == 0 || f.secrets[r.GetName()] != r.GetPassword() {
		return nil, fault.New(fault.Unauthenticated, "The user name or the password is wrong.")
	}
	account, token := f.begin(r.GetName(), r.GetVisitor(), r.GetClient(), r.GetReplacedToken())
	return &readersv1.SignInResponse{Account: account, Token: token}, nil
}

func (f *fakeAccounts) CheckSession(ctx context.Context, r *readersv1.CheckSessionRequest) (*readersv1.CheckSessionResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	name, ok := f.sessions[r.GetToken()]
	if !ok {
		return &readersv1.CheckSessionResponse{}, nil
	}
	return &readersv1.CheckSessionResponse{Account: &readersv1.Account{ReaderId: f.names[name], Name: name}}, nil
}

func (f *fakeAccounts) ListSessions(ctx context.Context, r *readersv1.ListSessionsRequest) (*readersv1.ListSessionsResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	list := &readersv1.ListSessionsResponse{}
	for token, name := range f.sessions {
		if name == f.sessions[r.GetToken()] {
			list.Sessions = append(list.Sessions, &readersv1.Session{
				Id: int64(len(list.GetSessions()) + 1), Current: token == r.GetToken(),
				Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			})
		}
	}
	return list, nil
}

func (f *fakeAccounts) EndSessions(ctx context.Context, r *readersv1.EndSessionsRequest) (*readersv1.EndSessionsResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	name, ok := f.sessions[r.GetToken()]
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "no session")
	}
	for token, of := range f.sessions {
		current := token == r.GetToken()
		if of == name && (current != (r.GetScope() == readersv1.SessionScope_SESSION_SCOPE_OTHERS) || r.GetScope() == readersv1.SessionScope_SESSION_SCOPE_ALL) {
			delete(f.sessions, token)
		}
	}
	return &readersv1.EndSessionsResponse{}, nil
}

func (f *fakeAccounts) ChangePassword(ctx context.Context, r *readersv1.ChangePasswordRequest) (*readersv1.ChangePasswordResponse, error) {
	if err := f.strike(ctx); err != nil {
		return nil, err
	}
	f.data.Lock()
	defer f.data.Unlock()
	name := f.sessions[r.GetToken()]
	if f.secrets[name] != r.GetCurrentPassword() {
		return nil, fault.NewInvalid("current_password", "This is not your present password.")
	}
	f.secrets[name] = r.GetNewPassword()
	maps.DeleteFunc(f.sessions, func(_, of string) bool { return of == name })
	_, token := f.begin(name, nil, r.GetClient(), "")
	return &readersv1.ChangePasswordResponse{Token: token}, nil
}

// services are the fakes behind a storefront.
type services struct {
	catalog         *fakeCatalog
	readers         *fakeReaders
	recommendations *fakeRecommendations
	accounts        *fakeAccounts
}

// library is what the fakes know at first: readers 1 to 30 simulated, 31 and 32
// imported; reader 17 with books 1 (finished), 2 (rated) and 3 (opened).
func library() *services {
	catalog := &fakeCatalog{}
	for _, b := range []struct {
		title, author string
		category      catalogv1.Category
		year          int32
	}{
		{"Dune", "Frank Herbert", catalogv1.Category_CATEGORY_SCIENCE_FICTION, 1965},
		{"The Left Hand of Darkness", "Ursula K. Le Guin", catalogv1.Category_CATEGORY_SCIENCE_FICTION, 1969},
		{"Pride and Prejudice", "Jane Austen", catalogv1.Category_CATEGORY_LITERATURE, 1813},
		{"Republic", "Plato", catalogv1.Category_CATEGORY_PHILOSOPHY, -380},
		{`<script>alert("x")</script> & Other Stories`, `"><img src=x onerror=alert(1)>`, catalogv1.Category_CATEGORY_LITERATURE, 2001},
		{"Cosmos", "Carl Sagan", catalogv1.Category_CATEGORY_SCIENCE, 1980},
	} {
		catalog.books = append(catalog.books, &catalogv1.Book{
			Id: int32(len(catalog.books) + 1), Title: b.title, Authors: []string{b.author}, Category: b.category, Year: b.year, Tags: []string{"classic"},
		})
	}
	catalog.books[0].Series, catalog.books[0].SeriesPosition = "Dune", 1
	for i := range int32(60) {
		catalog.books = append(catalog.books, &catalogv1.Book{
			Id: int32(len(catalog.books) + 1), Title: fmt.Sprintf("Volume %d", i+1), Authors: []string{"A. Writer"},
			Category: catalogv1.Category(i%6 + 1),
		})
	}
	readers := &fakeReaders{ids: map[string]bool{}}
	for id := range int32(32) {
		origin := readersv1.Origin_ORIGIN_SIMULATED
		if id >= 30 {
			origin = readersv1.Origin_ORIGIN_IMPORTED
		}
		readers.readers = append(readers.readers, &readersv1.Reader{Id: id + 1, Origin: origin})
	}
	readers.readers[2].DisplayName = "Simulated reader 3 · science"
	readers.readers[16].DisplayName = "Loves deserts & spaceships"
	readers.log = []*readersv1.Interaction{
		{ReaderId: 17, BookId: 3, Kind: readersv1.InteractionKind_INTERACTION_KIND_VIEW},
		{ReaderId: 17, BookId: 2, Kind: readersv1.InteractionKind_INTERACTION_KIND_RATING, Value: 4.5},
		{ReaderId: 17, BookId: 1, Kind: readersv1.InteractionKind_INTERACTION_KIND_FINISHED},
	}
	return &services{catalog, readers, &fakeRecommendations{catalog: catalog, readers: readers, similar: []int32{2, 4}}, &fakeAccounts{
		readers: readers, names: map[string]int32{}, secrets: map[string]string{}, sessions: map[string]string{},
	}}
}

// config serves the fakes over gRPC and says how to reach them.
func (s *services) config(tb testing.TB) Config {
	tb.Helper()
	conn := chassistest.Serve(tb, func(r grpc.ServiceRegistrar) {
		catalogv1.RegisterCatalogServiceServer(r, s.catalog)
		readersv1.RegisterReadersServiceServer(r, s.readers)
		readersv1.RegisterAccountsServiceServer(r, s.accounts)
		recommendationsv1.RegisterRecommendationsServiceServer(r, s.recommendations)
	})
	return Config{
		Catalog:         catalogv1.NewCatalogServiceClient(conn),
		Readers:         readersv1.NewReadersServiceClient(conn),
		Accounts:        readersv1.NewAccountsServiceClient(conn),
		Recommendations: recommendationsv1.NewRecommendationsServiceClient(conn),
		SessionKey:      []byte("a key of thirty-two bytes, or so"),
		Version:         "test",
		// Tests share a busy machine; those of services that hang set less.
		Patience: 5 * time.Second,
	}
}
