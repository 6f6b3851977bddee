package marketplace

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

const (
	peopleLength = 24
	longestShelf = 500 // entries
)

// picker is the page where a reader is chosen.
func (s *shop) picker(v *visit) error {
	if v.account != nil {
		return v.redirect("/account")
	}
	groups := []struct {
		origin          readersv1.Origin
		id, title, note string
	}{
		{readersv1.Origin_ORIGIN_SIMULATED, "simulated", "Simulated readers", "Made up by a program, each with tastes of its own. None of them is a real person."},
		{readersv1.Origin_ORIGIN_IMPORTED, "imported", "Imported readers", "They came with a data set and are known by number only."},
	}
	ctx, cancel := v.ask()
	defer cancel()
	if open, known := s.demoOpen(ctx); known && !open {
		return v.redirect("/sign-in")
	}
	people := make([]view.People, len(groups))
	failures := make([]error, len(groups))
	var calls sync.WaitGroup
	for i, g := range groups {
		calls.Go(func() {
			after := v.r.URL.Query().Get(g.id)
			people[i] = view.People{ID: g.id, Title: g.title, Note: g.note, Further: after != ""}
			response, err := s.Readers.ListReaders(ctx, &readersv1.ListReadersRequest{Origin: g.origin, PageSize: peopleLength, PageToken: after})
			if err != nil {
				people[i].Failed, failures[i] = true, err
				return
			}
			for _, r := range response.GetReaders() {
				people[i].Persons = append(people[i].Persons, person(r, v.session.Reader))
			}
			if next := response.GetNextPageToken(); next != "" {
				people[i].Next = "/reader?" + g.id + "=" + url.QueryEscape(next) + "#" + g.id
			}
		})
	}
	calls.Wait()
	page := view.Picker{}
	for i, err := range failures {
		if err != nil {
			if fault.KindOf(err) == fault.Invalid {
				return fault.Wrap(fault.Invalid, err, "This page of the readers does not exist. Begin with the first one.")
			}
			v.missing("readers", err)
		}
		if people[i].Failed || len(people[i].Persons) > 0 {
			page.Groups = append(page.Groups, people[i])
		}
	}
	page.Frame = v.frame("Choose a reader", "Choose the reader the shop arranges itself for.")
	page.Canonical = "/reader"
	return v.show(http.StatusOK, view.PickerPage(page))
}

func person(r *readersv1.Reader, chosen int32) view.Person {
	p := view.Person{ID: r.GetId(), Name: personName(r.GetOrigin(), r.GetId()), On: r.GetId() == chosen}
	// A display name may begin with what the page says anyway.
	p.Note = strings.TrimLeft(strings.TrimPrefix(r.GetDisplayName(), p.Name), " ·,:")
	return p
}

// choose takes the form of the picker.
func (s *shop) choose(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	ctx, cancel := v.write()
	defer cancel()
	switch choice := v.r.PostForm.Get("reader"); choice {
	case "none":
		if v.account != nil {
			return s.signOut(v)
		}
		v.session = session.Session{}
	case "new":
		if v.account != nil {
			return signOutFirst()
		}
		v.session.Reader = 0
		views, err := s.become(ctx, v)
		if err != nil {
			return err
		}
		if len(views) > 0 {
			response, err := s.Readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: views})
			if err != nil {
				return v.notSaved(err)
			}
			v.session.Changed(response.GetPosition(), time.Now())
		}
	default:
		if v.account != nil {
			return signOutFirst()
		}
		reader, err := s.demoReader(ctx, choice)
		if err != nil {
			return err
		}
		v.session = session.Session{
			Reader: reader.GetId(), Origin: uint8(reader.GetOrigin()),
			Position: v.session.Position, ChangedAt: v.session.ChangedAt,
		}
	}
	return v.redirect("/")
}

func signOutFirst() error {
	return fault.New(fault.Conflict, "You are signed in. Sign out first, then read as somebody else.")
}

// demoReader is a reader anybody may read as. A visitor's own reader is none:
// its shelves are private.
func (s *shop) demoReader(ctx context.Context, number string) (*readersv1.Reader, error) {
	id, err := strconv.ParseInt(number, 10, 32)
	if err != nil || id <= 0 {
		return nil, fault.NewInvalid("reader", "That is no reader's number. Choose one from the page of readers.")
	}
	if open, known := s.demoOpen(ctx); known && !open {
		return nil, fault.New(fault.NotFound, "This shop is not open for demo readers. Sign in, or make an account.")
	}
	response, err := s.Readers.GetReader(ctx, &readersv1.GetReaderRequest{Id: int32(id)})
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return nil, fault.Wrap(fault.NotFound, err, "There is no reader with the number %d.", id)
	}
	if err != nil {
		return nil, err
	}
	switch response.GetReader().GetOrigin() {
	case readersv1.Origin_ORIGIN_SIMULATED, readersv1.Origin_ORIGIN_IMPORTED:
		return response.GetReader(), nil
	default:
		return nil, fault.New(fault.NotFound, "There is no simulated or imported reader with the number %d.", id)
	}
}

// mine is the page of the reader's shelves.
func (s *shop) mine(v *visit) error {
	page := view.Mine{Known: v.session.Reader != 0}
	if page.Known {
		groups, err := s.shelves(v)
		if err != nil {
			page.Failed = true
		}
		page.Groups = groups
	}
	page.Frame = v.frame("My shelves", "The books on your shelves and your ratings.")
	page.Canonical = "/me"
	return v.show(http.StatusOK, view.MinePage(page))
}

func (s *shop) shelves(v *visit) ([]view.Group, error) {
	ctx, cancel := v.ask()
	defer cancel()
	shelf, err := s.Readers.ListShelf(ctx, &readersv1.ListShelfRequest{ReaderId: v.session.Reader, MaxResults: longestShelf})
	if err != nil {
		v.missing("readers", err)
		return nil, err
	}
	books, err := s.booksOf(ctx, v, shelf.GetEntries())
	if err != nil {
		v.missing("catalog", err)
		return nil, err
	}
	groups := []view.Group{{Title: "Reading"}, {Title: "Want to read"}, {Title: "Finished"}, {Title: "Bought"}, {Title: "Rated"}, {Title: "Not interested"}}
	place := map[readersv1.InteractionKind]int{
		readersv1.InteractionKind_INTERACTION_KIND_READING:        0,
		readersv1.InteractionKind_INTERACTION_KIND_WANT:           1,
		readersv1.InteractionKind_INTERACTION_KIND_FINISHED:       2,
		readersv1.InteractionKind_INTERACTION_KIND_BOUGHT:         3,
		readersv1.InteractionKind_INTERACTION_KIND_UNSPECIFIED:    4,
		readersv1.InteractionKind_INTERACTION_KIND_NOT_INTERESTED: 5,
	}
	for _, entry := range shelf.GetEntries() {
		group, ok := place[entry.GetShelf()]
		if book := books[entry.GetBookId()]; ok && book != nil {
			groups[group].Entries = append(groups[group].Entries, view.Entry{Book: book, Rating: entry.GetRating()})
		}
	}
	filled := groups[:0]
	for _, g := range groups {
		if len(g.Entries) > 0 {
			filled = append(filled, g)
		}
	}
	return filled, nil
}

// booksOf are the books of shelf entries by their ids. Those known here do for
// the time the catalog is down.
func (s *shop) booksOf(ctx context.Context, v *visit, entries []*readersv1.ShelfEntry) (map[int32]*view.Book, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	ids := make([]int32, len(entries))
	for i, entry := range entries {
		ids[i] = entry.GetBookId()
	}
	books := make(map[int32]*view.Book, len(ids))
	response, err := s.Catalog.BatchGetBooks(ctx, &catalogv1.BatchGetBooksRequest{Ids: ids})
	if err == nil {
		for _, b := range response.GetBooks() {
			books[b.GetId()] = s.catalogBook(b)
		}
		return books, nil
	}
	for _, id := range ids {
		if book := s.known.find(id); book != nil {
			books[id] = book
		}
	}
	if len(books) == 0 {
		return nil, err
	}
	v.missing("catalog", err)
	v.notice("The catalogue does not answer just now, so some of your books are missing here.")
	return books, nil
}
