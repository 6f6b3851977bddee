package marketplace

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	recommendationsv1 "github.com/octavo-books/octavo/gen/octavo/recommendations/v1"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// marks are the shelves a book can be put on, as their form names them.
var marks = []struct {
	value, label string
	kind         readersv1.InteractionKind
}{
	{"want", "Want to read", readersv1.InteractionKind_INTERACTION_KIND_WANT},
	{"reading", "Reading", readersv1.InteractionKind_INTERACTION_KIND_READING},
	{"finished", "Finished", readersv1.InteractionKind_INTERACTION_KIND_FINISHED},
	{"not-interested", "Not interested", readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED},
}

// book is the page of one book.
func (s *shop) book(v *visit) error {
	id, err := bookID(v.r)
	if err != nil {
		return err
	}
	var (
		found     *catalogv1.GetBookResponse
		similar   *recommendationsv1.SimilarBooksResponse
		entry     *readersv1.ShelfEntry
		notFound  error
		noSimilar error
		noShelf   error
		calls     sync.WaitGroup
	)
	ctx, cancel := v.ask()
	defer cancel()
	calls.Go(func() { found, notFound = s.Catalog.GetBook(ctx, &catalogv1.GetBookRequest{Id: id}) })
	calls.Go(func() {
		similar, noSimilar = s.Recommendations.SimilarBooks(ctx, &recommendationsv1.SimilarBooksRequest{BookId: id, MaxResults: rowLength})
	})
	calls.Go(func() { entry, noShelf = s.entry(ctx, v.session.Reader, id) })
	calls.Wait()

	page := view.BookPage{Token: rand.Text()}
	switch {
	case notFound == nil:
		b := found.GetBook()
		page.Book, page.Tags = s.catalogBook(b), b.GetTags()
		page.Series.Name = b.GetSeries()
		if place := b.GetSeriesPosition(); place > 0 {
			page.Series.Position = strconv.FormatFloat(float64(place), 'f', -1, 32)
		}
	case fault.KindOf(notFound) == fault.NotFound:
		return fault.Wrap(fault.NotFound, notFound, "The shop has no book with the number %d.", id)
	default:
		v.missing("catalog", notFound)
		if page.Book = s.known.find(id); page.Book == nil {
			return notFound
		}
		v.notice("The catalogue does not answer just now, so some facts about the book are missing.")
	}
	if noSimilar != nil && fault.KindOf(noSimilar) != fault.NotFound {
		v.missing("recommendations", noSimilar)
		page.SimilarOff = true
	}
	if noShelf != nil {
		v.missing("readers", noShelf)
		page.ShelfDown = true
	}
	page.Similar = s.suggestions(similar.GetRecommendations())
	page.Rating = entry.GetRating()
	for _, m := range marks {
		page.Marks = append(page.Marks, view.Mark{Value: m.value, Label: m.label, On: entry.GetShelf() == m.kind})
	}
	page.Removable = entry != nil
	s.saw(v, id)
	page.Frame = v.frame(page.Book.Title, describe(page.Book))
	page.Canonical = page.Book.Href
	return v.show(http.StatusOK, view.OnePage(page))
}

func describe(b *view.Book) string {
	if b.By == "" {
		return b.Title
	}
	return b.Title + " by " + b.By
}

func bookID(r *http.Request) (int32, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	if err != nil || id <= 0 {
		return 0, fault.New(fault.NotFound, "The shop has no book with such a number.")
	}
	return int32(id), nil
}

// entry is the book on the reader's shelf, nil when it is not there.
func (s *shop) entry(ctx context.Context, reader, book int32) (*readersv1.ShelfEntry, error) {
	if reader == 0 {
		return nil, nil
	}
	response, err := s.Readers.ListShelf(ctx, &readersv1.ListShelfRequest{ReaderId: reader, BookIds: []int32{book}})
	if err != nil || len(response.GetEntries()) == 0 {
		return nil, err
	}
	return response.GetEntries()[0], nil
}

// saw remembers that the visitor opened a book: in the log for a reader, in
// the session alone for somebody unknown. Opening it again during the same
// visit adds nothing. A view that cannot be recorded does not keep the page.
func (s *shop) saw(v *visit, book int32) {
	if v.r.Method != http.MethodGet || strings.Contains(v.r.Header.Get("Sec-Purpose"), "prefetch") || !v.session.Saw(book) || v.session.Reader == 0 {
		return
	}
	kind := readersv1.InteractionKind_INTERACTION_KIND_VIEW
	if v.r.URL.Query().Get("from") == "row" {
		kind = readersv1.InteractionKind_INTERACTION_KIND_CLICK
	}
	ctx, cancel := v.ask()
	defer cancel()
	response, err := s.Readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: []*readersv1.Interaction{
		{Id: rand.Text(), ReaderId: v.session.Reader, BookId: book, Kind: kind},
	}})
	if err != nil && v.gone(err) {
		return
	}
	if err != nil {
		v.missing("readers", err)
		v.session.Recent = v.session.Recent[:len(v.session.Recent)-1]
		return
	}
	v.session.Changed(response.GetPosition(), time.Now())
}

// rate takes the form of the stars.
func (s *shop) rate(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(v.r.PostForm.Get("rating"), 32)
	if err != nil || !(value >= 0.5 && value <= 5) || value*2 != float64(int(value*2)) {
		return fault.NewInvalid("rating", "A rating is half a star to five stars, in half steps. Go back and choose one.")
	}
	return s.record(v, readersv1.InteractionKind_INTERACTION_KIND_RATING, float32(value))
}

// shelve takes the form of the shelf buttons.
func (s *shop) shelve(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	chosen := v.r.PostForm.Get("shelf")
	if chosen == "removed" {
		return s.record(v, readersv1.InteractionKind_INTERACTION_KIND_REMOVED, 0)
	}
	for _, m := range marks {
		if chosen == m.value {
			return s.record(v, m.kind, 0)
		}
	}
	return fault.NewInvalid("shelf", "There is no such shelf. Go back and choose one of the buttons.")
}

// record writes what the visitor said about a book to the log and goes back to
// the book. A visitor without a reader becomes one, and keeps the books seen.
func (s *shop) record(v *visit, kind readersv1.InteractionKind, value float32) error {
	book, err := bookID(v.r)
	if err != nil {
		return err
	}
	if err := s.mustExist(v, book); err != nil {
		return err
	}
	token := v.r.PostForm.Get("token")
	if token == "" || len(token) > 40 {
		token = rand.Text()
	}
	ctx, cancel := v.write()
	defer cancel()
	var interactions []*readersv1.Interaction
	if v.session.Reader == 0 {
		if interactions, err = s.become(ctx, v); err != nil {
			return err
		}
	}
	interactions = append(interactions, &readersv1.Interaction{
		// The same button of the same page sent twice is one interaction.
		Id:       token + "-" + strconv.Itoa(int(kind)) + "-" + view.Stars(value),
		ReaderId: v.session.Reader, BookId: book, Kind: kind, Value: value,
	})
	response, err := s.Readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: interactions})
	if err != nil {
		return v.notSaved(err)
	}
	v.session.Changed(response.GetPosition(), time.Now())
	return v.redirect("/book/" + strconv.Itoa(int(book)))
}

// mustExist refuses books the catalog does not have. While it does not answer,
// a visitor who has the page may use its buttons.
func (s *shop) mustExist(v *visit, book int32) error {
	ctx, cancel := v.ask()
	defer cancel()
	_, err := s.Catalog.GetBook(ctx, &catalogv1.GetBookRequest{Id: book})
	if err == nil {
		return nil
	}
	if fault.KindOf(err) == fault.NotFound {
		return fault.Wrap(fault.NotFound, err, "The shop has no book with the number %d.", book)
	}
	v.missing("catalog", err)
	return nil
}

// become makes the visitor a new reader, and returns the books of the visit as
// interactions to record.
func (s *shop) become(ctx context.Context, v *visit) ([]*readersv1.Interaction, error) {
	created, err := s.Readers.CreateReader(ctx, &readersv1.CreateReaderRequest{})
	if err != nil {
		return nil, v.notSaved(err)
	}
	v.session.Reader = created.GetReader().GetId()
	v.session.Origin = uint8(created.GetReader().GetOrigin())
	var views []*readersv1.Interaction
	for _, book := range v.session.Recent {
		views = append(views, &readersv1.Interaction{
			Id: rand.Text(), ReaderId: v.session.Reader, BookId: book, Kind: readersv1.InteractionKind_INTERACTION_KIND_VIEW,
		})
	}
	return views, nil
}

// gone makes the visit that of nobody when an error says that its own reader
// does not exist any more: it was erased, or has become part of an account by a
// sign-in whose answer was lost.
func (v *visit) gone(err error) bool {
	if fault.KindOf(err) != fault.NotFound || v.account != nil || !own(v.session) {
		return false
	}
	v.session = session.Session{Recent: v.session.Recent}
	return true
}

// notSaved says what became of a click that failed.
func (v *visit) notSaved(err error) error {
	if v.gone(err) {
		return fault.Wrap(fault.NotFound, err, "The shelves of this visit are not here any more: they were erased, or are those of your account since you signed in. Nothing was saved. Sign in, or go back and try again to begin anew.")
	}
	switch kind := fault.KindOf(err); kind {
	case fault.NotFound:
		return fault.Wrap(kind, err, "The reader you read as does not exist any more, so nothing was saved. Choose another one under “Choose a reader”.")
	case fault.Unavailable, fault.DeadlineExceeded:
		return fault.Wrap(kind, err, "It is not certain that your click was saved: a part of the shop does not answer. Go back and try again in a moment; sending it twice does no harm.")
	default:
		return err
	}
}
