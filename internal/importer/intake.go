package importer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/octavo-books/octavo/fault"
	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
	readersv1 "github.com/octavo-books/octavo/gen/octavo/readers/v1"
)

// The contracts' limits on one request, and bounds of our own well below the
// services' limits on a message's size and a call's time.
const (
	booksPerBatch        = 1000
	bytesPerBatch        = 1 << 20
	readersPerBatch      = 5000
	interactionsPerBatch = 5000
	batchTimeout         = 2 * time.Minute
	catalogTimeout       = 2 * time.Minute
	rowsPerContextCheck  = 1024
)

// Intake takes what a Source reads, checks it, and sends it on in batches. Its
// methods return an error only when the import cannot go on; a record that is
// wrong is refused and counted. It is used by one goroutine.
type Intake struct {
	target    Target
	options   Options
	source    string
	validator protovalidate.Validator
	report    Report
	findings  *csv.Writer // may be nil
	rows      int         // seen, for the context check

	checkpoint *checkpoint // may be nil
	resumed    checkpoint  // as it was at the beginning

	books      map[string]known // by key
	catalogued bool             // books also has what the catalogue had before

	bookBatch []*catalogv1.Book
	bookKeys  []string
	bookAt    []Place // of the books in the batch
	bookBytes int
	bookCount int // read, when the last one came into the batch
	joined    int // books that became those of other records

	readers     map[string]int32 // by key; 0 while in the batch
	readerBatch []*readersv1.Reader

	interactionBatch []*readersv1.Interaction
	readerKeys       []string // of the interactions in the batch
	interactionCount int      // read, when the last one came into the batch
}

// known is a book the import has met.
type known struct {
	id   int32 // 0 while in the batch, or when it was sent before the import was stopped
	line int32 // 0 when it was in the catalogue
}

// Interaction is what a reader did with a book, both named by their keys in the
// source.
type Interaction struct {
	Reader, Book string
	Kind         readersv1.InteractionKind
	Value        float32   // stars, 0.5 to 5 in half steps, for a rating; 0 otherwise
	Time         time.Time // zero when not known
}

// Progress tells the caller of Load how far a stage is.
func (in *Intake) Progress(stage string, done, total int) {
	if in.options.Progress != nil {
		in.options.Progress(stage, done, total)
	}
}

// Note adds a sentence to the report.
func (in *Intake) Note(format string, args ...any) {
	in.report.Notes = append(in.report.Notes, fmt.Sprintf(format, args...))
}

// Warn reports that the row at a place is imported without a field of it.
func (in *Intake) Warn(at Place, format string, args ...any) {
	in.report.WarningCount++
	in.find(at, "imported without it", format, args...)
	if len(in.report.Warnings) < in.options.KeepFindings {
		in.report.Warnings = append(in.report.Warnings, Finding{at, fmt.Sprintf(format, args...)})
	}
}

// RefuseBook reports a row that gives no book.
func (in *Intake) RefuseBook(at Place, format string, args ...any) {
	in.report.Books.Read++
	in.refuse(&in.report.Books, at, format, args...)
}

// RefuseInteraction reports a row that gives no interaction.
func (in *Intake) RefuseInteraction(at Place, format string, args ...any) {
	in.report.Interactions.Read++
	in.refuse(&in.report.Interactions, at, format, args...)
}

func (in *Intake) refuse(c *Count, at Place, format string, args ...any) {
	c.Refused++
	in.find(at, "refused", format, args...)
	if len(in.report.Refused) < in.options.KeepFindings {
		in.report.Refused = append(in.report.Refused, Finding{at, fmt.Sprintf(format, args...)})
	}
}

// find tells whoever wants all findings.
func (in *Intake) find(at Place, outcome, format string, args ...any) {
	if in.findings == nil {
		return
	}
	// An error is kept by the writer, and told at the end.
	_ = in.findings.Write([]string{armour(at.File), strconv.Itoa(at.Line), strconv.Itoa(at.Column), outcome, armour(fmt.Sprintf(format, args...))})
}

// Book takes a book. It needs a SourceId, its key; an Id is a wish. Source is
// the source's name when empty.
func (in *Intake) Book(ctx context.Context, at Place, b *catalogv1.Book) error {
	if err := in.alive(ctx); err != nil {
		return err
	}
	in.report.Books.Read++
	if b.Source == "" {
		b.Source = in.source
	}
	if b.SourceId == "" {
		in.refuse(&in.report.Books, at, "the book has no id")
		return nil
	}
	if len(b.Isbns) > 0 && b.Isbn13 == "" {
		b.Isbn13 = b.Isbns[0] // for a catalog that is older than the field of all
	}
	if reason := in.invalid(b); reason != "" {
		in.refuse(&in.report.Books, at, "%s", reason)
		return nil
	}
	if before, ok := in.books[b.SourceId]; ok && before.line > 0 {
		in.refuse(&in.report.Books, at, "the book %q is on line %d already", b.SourceId, before.line)
		return nil
	}
	// A row's text must not be kept for the sake of its key.
	key := strings.Clone(b.SourceId)
	line := int32(min(max(at.Line, 1), math.MaxInt32))
	if in.report.Books.Read <= in.resumed.Books && b.Source == in.source {
		in.books[key] = known{line: line}
		in.report.Books.Unchanged++
		return nil
	}
	size := proto.Size(b)
	if len(in.bookBatch) == booksPerBatch || in.bookBytes+size > bytesPerBatch && len(in.bookBatch) > 0 {
		if err := in.flushBooks(ctx); err != nil {
			return err
		}
	}
	in.books[key] = known{line: line}
	in.bookBatch = append(in.bookBatch, b)
	in.bookKeys = append(in.bookKeys, key)
	in.bookAt = append(in.bookAt, at)
	in.bookBytes += size
	in.bookCount = in.report.Books.Read
	return nil
}

// Reader takes a reader. It needs a SourceId, its key; an Id is a wish. Readers
// that an interaction names without this are made as imported ones.
func (in *Intake) Reader(ctx context.Context, at Place, r *readersv1.Reader) error {
	if err := in.alive(ctx); err != nil {
		return err
	}
	in.report.Readers.Read++
	if r.Source == "" {
		r.Source = in.source
	}
	if r.SourceId == "" {
		in.refuse(&in.report.Readers, at, "the reader has no id")
		return nil
	}
	if _, ok := in.readers[r.SourceId]; ok {
		in.refuse(&in.report.Readers, at, "the reader %q was given before", r.SourceId)
		return nil
	}
	if reason := in.invalid(r); reason != "" {
		in.refuse(&in.report.Readers, at, "%s", reason)
		return nil
	}
	return in.takeReader(ctx, r)
}

func (in *Intake) takeReader(ctx context.Context, r *readersv1.Reader) error {
	if len(in.readerBatch) == readersPerBatch {
		if err := in.flushReaders(ctx); err != nil {
			return err
		}
	}
	in.readers[r.SourceId] = 0
	in.readerBatch = append(in.readerBatch, r)
	return nil
}

// Interaction takes what a reader did with a book. The book must have been
// given before or be in the catalogue from an earlier import of this source.
func (in *Intake) Interaction(ctx context.Context, at Place, i Interaction) error {
	if err := in.alive(ctx); err != nil {
		return err
	}
	in.report.Interactions.Read++
	if reason := i.invalid(); reason != "" {
		in.refuse(&in.report.Interactions, at, "%s", reason)
		return nil
	}
	if len(in.bookBatch) > 0 {
		if err := in.flushBooks(ctx); err != nil {
			return err
		}
	}
	book, ok := in.books[i.Book]
	resumed := in.report.Interactions.Read <= in.resumed.Interactions
	if (!ok || book.id == 0 && !resumed) && !in.catalogued {
		if err := in.readCatalogue(ctx); err != nil {
			return err
		}
		book, ok = in.books[i.Book]
	}
	if !ok || book.id == 0 && !resumed {
		in.refuse(&in.report.Interactions, at, "there is no book %q", i.Book)
		return nil
	}
	if _, ok := in.readers[i.Reader]; !ok {
		r := &readersv1.Reader{
			Id:       wish(i.Reader),
			Origin:   readersv1.Origin_ORIGIN_IMPORTED,
			Source:   in.source,
			SourceId: i.Reader,
		}
		if reason := in.invalid(r); reason != "" {
			in.refuse(&in.report.Interactions, at, "reader %s", reason)
			return nil
		}
		if resumed {
			in.report.Interactions.Unchanged++
			return nil
		}
		in.report.Readers.Read++
		if err := in.takeReader(ctx, r); err != nil {
			return err
		}
	}
	if resumed {
		in.report.Interactions.Unchanged++
		return nil
	}
	if len(in.interactionBatch) == interactionsPerBatch {
		if err := in.flushInteractions(ctx); err != nil {
			return err
		}
	}
	out := &readersv1.Interaction{Id: i.id(in.source), BookId: book.id, Kind: i.Kind, Value: i.Value}
	if !i.Time.IsZero() {
		out.OccurredAt = timestamppb.New(i.Time)
	}
	in.interactionBatch = append(in.interactionBatch, out)
	in.readerKeys = append(in.readerKeys, i.Reader)
	in.interactionCount = in.report.Interactions.Read
	return nil
}

// wish is the id a record would like to have: its key, when that is one.
func wish(key string) int32 {
	n, err := strconv.ParseInt(key, 10, 32)
	if err != nil || n < 1 || key != strconv.FormatInt(n, 10) {
		return 0
	}
	return int32(n)
}

// invalid says what of the contract's rules on an interaction is broken, in
// place of the validator: there are millions of interactions.
func (i Interaction) invalid() string {
	switch {
	case i.Reader == "":
		return "there is no reader"
	case i.Book == "":
		return "there is no book"
	case readersv1.InteractionKind_name[int32(i.Kind)] == "" || i.Kind == 0:
		return "the kind is not known"
	case i.Kind != readersv1.InteractionKind_INTERACTION_KIND_RATING && i.Value != 0:
		return "only a rating has a value"
	case i.Kind == readersv1.InteractionKind_INTERACTION_KIND_RATING && !stars(i.Value):
		return fmt.Sprintf("the rating %v is not one of 0.5 to 5 in half steps", i.Value)
	case !i.Time.IsZero() && timestamppb.New(i.Time).CheckValid() != nil:
		return "the time is not between the years 1 and 9999"
	}
	return ""
}

func stars(v float32) bool {
	return v >= 0.5 && v <= 5 && v*2 == float32(int(v*2))
}

// id is the interaction's client id: the same row of the same source has the
// same one in every run, so that it is recorded once. It is 22 characters long.
func (i Interaction) id(source string) string {
	b := make([]byte, 0, 96)
	for _, s := range [...]string{source, i.Reader, i.Book} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(i.Kind))
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(i.Value))
	if !i.Time.IsZero() {
		b = binary.LittleEndian.AppendUint64(b, uint64(i.Time.Unix()))
		b = binary.LittleEndian.AppendUint32(b, uint32(i.Time.Nanosecond()))
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// invalid says which rules of the contract a record breaks; empty for none.
func (in *Intake) invalid(m proto.Message) string {
	err := in.validator.Validate(m)
	if err == nil {
		return ""
	}
	var broken *protovalidate.ValidationError
	if errors.As(err, &broken) && len(broken.Violations) > 0 {
		return broken.Violations[0].String()
	}
	return err.Error()
}

// alive tells, every so many rows, whether the import has been cancelled.
func (in *Intake) alive(ctx context.Context) error {
	in.rows++
	if in.rows%rowsPerContextCheck != 0 {
		return nil
	}
	return context.Cause(ctx)
}

func (in *Intake) flush(ctx context.Context) error {
	if err := in.flushBooks(ctx); err != nil {
		return err
	}
	if err := in.flushInteractions(ctx); err != nil {
		return err
	}
	return in.flushReaders(ctx)
}

func (in *Intake) flushBooks(ctx context.Context) error {
	if len(in.bookBatch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	resp, err := in.target.Catalog.ImportBooks(ctx, &catalogv1.ImportBooksRequest{Books: in.bookBatch})
	if err != nil {
		return fmt.Errorf("send %d books to the catalog: %w", len(in.bookBatch), plain(err))
	}
	if len(resp.GetIds()) != len(in.bookBatch) {
		return fmt.Errorf("send books to the catalog: %d ids for %d books", len(resp.GetIds()), len(in.bookBatch))
	}
	for i, key := range in.bookKeys {
		in.books[key] = known{id: resp.Ids[i], line: in.books[key].line}
	}
	for _, l := range resp.GetLeftOut() {
		if int(l.GetIndex()) >= len(in.bookAt) {
			return fmt.Errorf("send books to the catalog: an answer for book %d of %d", l.GetIndex(), len(in.bookAt))
		}
		if l.GetHeldBy() == 0 {
			in.Warn(in.bookAt[l.GetIndex()], "%q is not an ISBN: its check digit is wrong", l.GetIsbn())
		} else {
			in.Warn(in.bookAt[l.GetIndex()], "the ISBN %s is that of another book of the catalogue already, of number %d", l.GetIsbn(), l.GetHeldBy())
		}
	}
	in.joined += int(resp.GetJoined())
	in.report.Books.Imported += int(resp.GetCreated() + resp.GetUpdated())
	in.report.Books.Unchanged += int(resp.GetUnchanged())
	in.report.BooksPosition = max(in.report.BooksPosition, resp.GetPosition())
	if in.checkpoint != nil {
		last := in.bookBatch[len(in.bookBatch)-1]
		in.checkpoint.Books = max(in.checkpoint.Books, in.bookCount)
		in.checkpoint.LastBook = &lastBook{ID: resp.GetIds()[len(in.bookBatch)-1], Source: last.GetSource(), SourceID: last.GetSourceId()}
		if err := in.checkpoint.saveInTime(); err != nil {
			return err
		}
	}
	in.bookBatch, in.bookKeys, in.bookAt, in.bookBytes = nil, in.bookKeys[:0], in.bookAt[:0], 0
	return nil
}

func (in *Intake) flushReaders(ctx context.Context) error {
	if len(in.readerBatch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	resp, err := in.target.Readers.ImportReaders(ctx, &readersv1.ImportReadersRequest{Readers: in.readerBatch})
	if err != nil {
		return fmt.Errorf("send %d readers to the readers service: %w", len(in.readerBatch), plain(err))
	}
	if len(resp.GetIds()) != len(in.readerBatch) {
		return fmt.Errorf("send readers to the readers service: %d ids for %d readers", len(resp.GetIds()), len(in.readerBatch))
	}
	for i, r := range in.readerBatch {
		in.readers[r.SourceId] = resp.Ids[i]
	}
	in.report.Readers.Imported += int(resp.GetCreated())
	in.report.Readers.Unchanged += len(in.readerBatch) - int(resp.GetCreated())
	in.readerBatch = nil
	return nil
}

func (in *Intake) flushInteractions(ctx context.Context) error {
	if len(in.interactionBatch) == 0 {
		return nil
	}
	if err := in.flushReaders(ctx); err != nil {
		return err
	}
	for i, key := range in.readerKeys {
		in.interactionBatch[i].ReaderId = in.readers[key]
	}
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	resp, err := in.target.Readers.RecordInteractions(ctx, &readersv1.RecordInteractionsRequest{Interactions: in.interactionBatch})
	if err != nil {
		return fmt.Errorf("send %d interactions to the readers service: %w", len(in.interactionBatch), plain(err))
	}
	in.report.Interactions.Imported += int(resp.GetRecorded())
	in.report.Interactions.Unchanged += len(in.interactionBatch) - int(resp.GetRecorded())
	in.report.InteractionsPosition = max(in.report.InteractionsPosition, resp.GetPosition())
	if in.checkpoint != nil {
		in.checkpoint.Interactions = max(in.checkpoint.Interactions, in.interactionCount)
		in.checkpoint.Position = resp.GetPosition()
		if err := in.checkpoint.saveInTime(); err != nil {
			return err
		}
	}
	clear(in.interactionBatch)
	in.interactionBatch, in.readerKeys = in.interactionBatch[:0], in.readerKeys[:0]
	return nil
}

// readCatalogue learns the keys of the books that came with earlier imports of
// the source, so that interactions can be imported without them.
func (in *Intake) readCatalogue(ctx context.Context) error {
	in.catalogued = true
	ctx, cancel := context.WithTimeout(ctx, catalogTimeout)
	defer cancel()
	feed, err := in.target.Catalog.WatchBooks(ctx, &catalogv1.WatchBooksRequest{})
	if err != nil {
		return fmt.Errorf("read the catalogue: %w", plain(err))
	}
	for {
		m, err := feed.Recv()
		if err != nil {
			return fmt.Errorf("read the catalogue: %w", plain(err))
		}
		for _, b := range m.GetBooks() {
			in.recognise(b.GetSource(), b.GetSourceId(), b.GetId())
			for _, record := range b.GetJoined() {
				in.recognise(record.GetSource(), record.GetSourceId(), b.GetId())
			}
		}
		if m.GetPosition() >= m.GetHead() {
			return nil
		}
	}
}

// recognise learns the book of a record, when it is one of the source.
func (in *Intake) recognise(source, key string, id int32) {
	if before := in.books[key]; source == in.source && before.id == 0 {
		in.books[key] = known{id: id, line: before.line}
	}
}

// plain puts a service's answer into words for a person. The kind stays to be
// found in the error.
func plain(err error) error {
	if text := fault.Message(err); text != "" {
		return fault.Wrap(fault.KindOf(err), nil, "%s", text)
	}
	return err
}
