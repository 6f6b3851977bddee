package marketplace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
	"github.com/octavo-books/octavo/internal/importer"
	"github.com/octavo-books/octavo/internal/marketplace/session"
	"github.com/octavo-books/octavo/internal/marketplace/view"
)

// eraseWord is what has to be typed to erase everything.
const eraseWord = "erase"

// own is whether the visitor is the reader, and not only looks at the shop as
// one of those that anybody may be.
func own(s session.Session) bool {
	switch readersv1.Origin(s.Origin) {
	case readersv1.Origin_ORIGIN_SIMULATED, readersv1.Origin_ORIGIN_IMPORTED:
		return false
	default:
		return s.Reader != 0
	}
}

// yours is the page of what visitors may do with their own data.
func (s *shop) yours(v *visit) error {
	page := view.Yours{Known: v.session.Reader != 0, Own: own(v.session), EraseWord: eraseWord}
	ctx, cancel := v.ask()
	defer cancel()
	page.Personalisation = s.personalisation(ctx, v, "/me/data")
	page.Frame = v.frame("Your data", "Take everything with you, or have it erased.")
	page.Canonical = "/me/data"
	return v.show(http.StatusOK, view.YoursPage(page))
}

// erase takes the form by which a reader is forgotten for good.
func (s *shop) erase(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	if !own(v.session) {
		return notOwn("erase")
	}
	if !strings.EqualFold(strings.TrimSpace(v.r.PostForm.Get("confirm")), eraseWord) {
		return fault.NewInvalid("confirm", "Nothing was erased: the word “%s” has to be typed first. Go back and type it if you mean it.", eraseWord)
	}
	ctx, cancel := v.write()
	defer cancel()
	_, err := s.Readers.EraseReader(ctx, &readersv1.EraseReaderRequest{ReaderId: v.session.Reader})
	// Somebody who is not there any more has been erased before.
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return v.notSaved(err)
	}
	v.leave()
	page := view.Yours{Erased: true}
	page.Frame = v.frame("Erased", "")
	return v.show(http.StatusOK, view.YoursPage(page))
}

func notOwn(what string) error {
	return fault.New(fault.Denied, "This reader is not you: anybody may read as one who is simulated or was imported. There is nothing of yours to %s here.", what)
}

// export sends everything about the reader as a file. What goes wrong after the
// file has begun cuts the connection, so that half a file is not taken for a
// whole one.
func (s *shop) export(suffix, contentType string, begin func(io.Writer) exportFile) func(*visit) error {
	return func(v *visit) error {
		if v.session.Reader == 0 {
			return fault.New(fault.NotFound, "There is nothing of yours here yet: you have neither rated nor shelved a book.")
		}
		ctx, cancel := context.WithCancel(v.r.Context())
		defer cancel()
		account, err := s.exportPasskeys(ctx, v)
		if err != nil {
			return err
		}
		parts, err := s.Readers.ExportReader(ctx, &readersv1.ExportReaderRequest{ReaderId: v.session.Reader})
		if err != nil {
			return err
		}
		first, err := parts.Recv()
		if err != nil {
			return err
		}
		h := v.w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="octavo-%s.%s"`, time.Now().UTC().Format(time.DateOnly), suffix))
		h.Set("Cache-Control", "private, no-store")
		if err := s.sendExport(ctx, begin(v.w), account, first, parts.Recv); err != nil {
			s.Log.WarnContext(ctx, "export cut off", "error", err)
			panic(http.ErrAbortHandler)
		}
		return nil
	}
}

// exportFile is a format of exports.
type exportFile interface {
	// begin takes the reader, and what there is to say of the account as JSON, nil
	// without one.
	begin(reader *readersv1.Reader, account json.RawMessage) error
	interaction(i *readersv1.Interaction, book *catalogv1.Book) error
	entry(e *readersv1.ShelfEntry, book *catalogv1.Book) error
	end() error
}

func (s *shop) sendExport(ctx context.Context, file exportFile, account json.RawMessage, part *readersv1.ExportReaderResponse, next func() (*readersv1.ExportReaderResponse, error)) error {
	if err := file.begin(part.GetReader(), account); err != nil {
		return err
	}
	books := make(map[int32]*catalogv1.Book)
	for {
		if err := s.lookUp(ctx, books, part); err != nil {
			return fmt.Errorf("look up the books: %w", err)
		}
		for _, i := range part.GetInteractions() {
			if err := file.interaction(i, books[i.GetBookId()]); err != nil {
				return err
			}
		}
		for _, e := range part.GetEntries() {
			if err := file.entry(e, books[e.GetBookId()]); err != nil {
				return err
			}
		}
		var err error
		if part, err = next(); errors.Is(err, io.EOF) {
			return file.end()
		}
		if err != nil {
			return fmt.Errorf("read the export: %w", err)
		}
	}
}

// booksAtOnce is how many books the catalog is asked for in one call.
const booksAtOnce = 1000

// lookUp adds the books of a part that are not known yet. One that the catalog
// has not stays nil.
func (s *shop) lookUp(ctx context.Context, books map[int32]*catalogv1.Book, part *readersv1.ExportReaderResponse) error {
	var ids []int32
	note := func(id int32) {
		if _, known := books[id]; !known && id != 0 {
			books[id] = nil
			ids = append(ids, id)
		}
	}
	for _, i := range part.GetInteractions() {
		note(i.GetBookId())
	}
	for _, e := range part.GetEntries() {
		note(e.GetBookId())
	}
	for len(ids) > 0 {
		n := min(len(ids), booksAtOnce)
		response, err := s.Catalog.BatchGetBooks(ctx, &catalogv1.BatchGetBooksRequest{Ids: ids[:n]})
		if err != nil {
			return err
		}
		for _, b := range response.GetBooks() {
			books[b.GetId()] = b
		}
		ids = ids[n:]
	}
	return nil
}

// csvExport has the shelves, for other programs and for the import.
type csvExport struct{ out *importer.ShelfWriter }

func newCSVExport(w io.Writer) exportFile { return csvExport{importer.NewShelfWriter(w)} }

func (csvExport) begin(*readersv1.Reader, json.RawMessage) error            { return nil }
func (csvExport) interaction(*readersv1.Interaction, *catalogv1.Book) error { return nil }

func (f csvExport) entry(e *readersv1.ShelfEntry, book *catalogv1.Book) error {
	row := importer.ShelfEntry{
		Title: book.GetTitle(), Authors: book.GetAuthors(),
		Shelf: e.GetShelf(), Stars: e.GetRating(), At: e.GetUpdatedAt().AsTime(),
	}
	if book == nil {
		row.Title = fmt.Sprintf("Book %d, which the shop does not have any more", e.GetBookId())
	}
	if isbn := book.GetIsbn13(); isbn != "" {
		row.ISBNs = []string{isbn} // one is enough to find the book again
	}
	f.out.Write(row)
	return nil
}

func (f csvExport) end() error { return f.out.Flush() }

// jsonExport has everything: the reader, each interaction, and the shelves.
type jsonExport struct {
	w       io.Writer
	entries bool // have begun
	any     bool // in the present list
}

func newJSONExport(w io.Writer) exportFile { return &jsonExport{w: w} }

func (f *jsonExport) write(before string, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		_, err = fmt.Fprintf(f.w, "%s%s", before, text)
	}
	return err
}

func (f *jsonExport) item(value any) error {
	before := ",\n    "
	if !f.any {
		before = "\n    "
	}
	f.any = true
	return f.write(before, value)
}

func (f *jsonExport) begin(r *readersv1.Reader, account json.RawMessage) error {
	err := f.write("{\n  \"reader\": ", map[string]any{
		"id": r.GetId(), "origin": word(r.GetOrigin().String(), "ORIGIN_"), "display_name": r.GetDisplayName(),
		"source": r.GetSource(), "source_id": r.GetSourceId(), "created_at": r.GetCreatedAt().AsTime(),
		"personalisation_paused": r.GetPersonalisationPaused(),
	})
	if err == nil && account != nil {
		err = f.write(",\n  \"account\": ", account)
	}
	if err == nil {
		_, err = io.WriteString(f.w, ",\n  \"interactions\": [")
	}
	return err
}

func (f *jsonExport) interaction(i *readersv1.Interaction, book *catalogv1.Book) error {
	out := map[string]any{
		"position": i.GetPosition(), "kind": word(i.GetKind().String(), "INTERACTION_KIND_"), "occurred_at": i.GetOccurredAt().AsTime(),
	}
	if i.GetBookId() != 0 {
		out["book"] = bookFacts(i.GetBookId(), book)
	}
	if i.GetValue() > 0 {
		out["stars"] = i.GetValue()
	}
	return f.item(out)
}

func (f *jsonExport) shelves() error {
	if f.entries {
		return nil
	}
	f.entries, f.any = true, false
	_, err := io.WriteString(f.w, "\n  ],\n  \"shelves\": [")
	return err
}

func (f *jsonExport) entry(e *readersv1.ShelfEntry, book *catalogv1.Book) error {
	if err := f.shelves(); err != nil {
		return err
	}
	out := map[string]any{"book": bookFacts(e.GetBookId(), book), "changed_at": e.GetUpdatedAt().AsTime()}
	if e.GetShelf() != 0 {
		out["shelf"] = word(e.GetShelf().String(), "INTERACTION_KIND_")
	}
	if e.GetRating() > 0 {
		out["stars"] = e.GetRating()
	}
	return f.item(out)
}

func (f *jsonExport) end() error {
	err := f.shelves()
	if err == nil {
		_, err = io.WriteString(f.w, "\n  ]\n}\n")
	}
	return err
}

func bookFacts(id int32, book *catalogv1.Book) map[string]any {
	facts := map[string]any{"id": id}
	if book != nil {
		facts["title"], facts["authors"] = book.GetTitle(), book.GetAuthors()
	}
	if isbn := book.GetIsbn13(); isbn != "" {
		facts["isbn13"] = isbn
	}
	if isbns := book.GetIsbns(); len(isbns) > 1 {
		facts["isbns"] = isbns
	}
	return facts
}

// word is the name of an enum's value as files say it: "not_interested".
func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }
