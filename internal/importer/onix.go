package importer

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	catalogv1 "github.com/octavo-books/octavo/gen/octavo/catalog/v1"
)

// ONIX is any number of ONIX for Books 3 messages, plain or compressed, with
// reference names or short tags, in any encoding that the file names. Every
// product is a book, known by its ISBN, or without one by its record reference.
// A product that cannot be used is refused. Where the file is not XML any more,
// nothing can be told of what follows, and the import stops there.
//
// A file is read as a stream, one product at a time.
func ONIX(paths ...string) Source { return onix{paths} }

type onix struct{ paths []string }

func (onix) Name() string { return "onix" }

// Bounds on one product.
const (
	maxProduct = 8 << 20 // bytes
	maxDepth   = 30
)

// alternativeFormat is the code, in list 51 of ONIX, of a product with the same
// text in another form.
const alternativeFormat = "06"

// shortTags are those of the elements that are used.
var shortTags = map[string]string{
	"product": "Product", "a001": "RecordReference", "a002": "NotificationType",
	"productidentifier": "ProductIdentifier", "b221": "ProductIDType", "b244": "IDValue",
	"descriptivedetail": "DescriptiveDetail", "collection": "Collection", "titledetail": "TitleDetail", "b202": "TitleType",
	"titleelement": "TitleElement", "x409": "TitleElementLevel", "b203": "TitleText", "b030": "TitlePrefix", "b031": "TitleWithoutPrefix",
	"x410": "PartNumber", "contributor": "Contributor", "b034": "SequenceNumber", "b035": "ContributorRole", "b036": "PersonName",
	"b037": "PersonNameInverted", "b039": "NamesBeforeKey", "b040": "KeyNames", "b047": "CorporateName",
	"language": "Language", "b253": "LanguageRole", "b252": "LanguageCode", "subject": "Subject", "b070": "SubjectHeadingText",
	"publishingdetail": "PublishingDetail", "publishingdate": "PublishingDate", "x448": "PublishingDateRole", "b306": "Date",
	"relatedmaterial": "RelatedMaterial", "relatedproduct": "RelatedProduct", "x455": "ProductRelationCode",
}

// element is a part of a product, its name that of the reference.
type element struct {
	name, text string
	parts      []*element
}

// all are the parts at the end of a path of names.
func (e *element) all(path ...string) []*element {
	found := []*element{e}
	for _, name := range path {
		var next []*element
		for _, f := range found {
			for _, p := range f.parts {
				if p.name == name {
					next = append(next, p)
				}
			}
		}
		found = next
	}
	return found
}

// value is the text of the first part with the name, on one line.
func (e *element) value(name string) string {
	for _, p := range e.all(name) {
		return strings.Join(strings.Fields(p.text), " ")
	}
	return ""
}

// Inputs implements Source.
func (o onix) Inputs() (Inputs, error) { return Inputs{Files: o.paths}, nil }

func (o onix) Send(ctx context.Context, in *Intake) error {
	for _, path := range o.paths {
		f, err := openFile(path)
		if err != nil {
			return err
		}
		progress := func() { in.Progress(f.name, int(f.read), int(f.size)) }
		err = readONIX(f.name, f, func(at Place, product *element, reason error) error {
			progress()
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if reason == nil {
				var b *catalogv1.Book
				if b, reason = bookOf(product, func(format string, args ...any) { in.Warn(at, format, args...) }); reason == nil {
					return in.Book(ctx, at, b)
				}
			}
			in.RefuseBook(at, "%v", reason)
			return nil
		})
		if closing := f.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return err
		}
		progress()
	}
	return nil
}

// bounded lets through so many bytes and no more.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a product, or what is between two, is larger than %d MiB", maxProduct>>20)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// readONIX calls f with every product, or with the reason why it is none. An
// error, which may be that of f, ends the reading.
func readONIX(file string, r io.Reader, f func(at Place, product *element, reason error) error) error {
	// A mark in front says more of the encoding than the first line.
	limited := &bounded{r: transform.NewReader(r, unicode.BOMOverride(transform.Nop)), left: maxProduct}
	d := xml.NewDecoder(limited)
	d.Entity = xml.HTMLEntity
	d.CharsetReader = func(label string, input io.Reader) (io.Reader, error) {
		if strings.HasPrefix(strings.ToLower(label), "utf-16") {
			return input, nil // decoded by its mark
		}
		encoding, err := htmlindex.Get(label)
		if err != nil {
			return nil, fmt.Errorf("the encoding %q is not known; convert the file to UTF-8", label)
		}
		return encoding.NewDecoder().Reader(input), nil
	}
	for root := true; ; {
		line, column := d.InputPos()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if root {
				return fmt.Errorf("%s has no ONIX message in it", file)
			}
			return nil
		}
		if err != nil {
			return notXML(file, d, err)
		}
		start, ok := token.(xml.StartElement)
		switch {
		case !ok:
		case root:
			if name := start.Name.Local; !strings.EqualFold(name, "ONIXMessage") {
				return fmt.Errorf("%s is not an ONIX message: it begins with %.50q", file, name)
			}
			if release := attribute(start, "release"); !strings.HasPrefix(release, "3.") {
				return fmt.Errorf("%s is ONIX of the release %.20q; only 3.0 and later can be read", file, release)
			}
			root = false
		default:
			e, err := elementOf(d, start, 1)
			if err != nil && !errors.As(err, new(tooDeep)) {
				return notXML(file, d, err)
			}
			if e.name == "Product" {
				if err := f(Place{File: file, Line: line, Column: column}, e, err); err != nil {
					return err
				}
			}
			limited.left = maxProduct
		}
	}
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// notXML says where and why a file cannot be read on.
func notXML(file string, d *xml.Decoder, err error) error {
	line, column := d.InputPos()
	at := Place{File: file, Line: line, Column: column}
	if wrong, ok := errors.AsType[*xml.SyntaxError](err); ok {
		switch {
		case strings.Contains(wrong.Msg, "unexpected EOF"), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: the file is cut off in the middle; get it again: %w", at, err)
		case strings.Contains(wrong.Msg, "invalid UTF-8"):
			return fmt.Errorf("%s: this is not UTF-8, and the file names no other encoding in its first line: %w", at, err)
		}
	}
	return fmt.Errorf("%s: %w", at, err)
}

type tooDeep struct{}

func (tooDeep) Error() string {
	return fmt.Sprintf("elements are more than %d deep in each other", maxDepth)
}

// elementOf reads an element to its end. One that is too deep is read, too, and
// left out.
func elementOf(d *xml.Decoder, start xml.StartElement, depth int) (*element, error) {
	e := &element{name: start.Name.Local}
	if name, ok := shortTags[e.name]; ok {
		e.name = name
	}
	if depth > maxDepth {
		if err := d.Skip(); err != nil {
			return e, err
		}
		return e, tooDeep{}
	}
	var text strings.Builder
	var deep error
	for {
		token, err := d.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return e, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			part, err := elementOf(d, t, depth+1)
			if errors.As(err, new(tooDeep)) {
				deep = err
			} else if err != nil {
				return e, err
			}
			e.parts = append(e.parts, part)
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			e.text = text.String()
			return e, deep
		}
	}
}

// bookOf is the book a product describes. The error says why it is none.
func bookOf(p *element, warn func(format string, args ...any)) (*catalogv1.Book, error) {
	if p.value("NotificationType") == "05" {
		return nil, errors.New("the product is withdrawn; books are not taken out of the catalogue")
	}
	b := &catalogv1.Book{SourceId: p.value("RecordReference")}
	for _, id := range p.all("ProductIdentifier") {
		switch id.value("ProductIDType") {
		case "15", "02", "03": // ISBN-13, ISBN-10, GTIN-13
			isbn, err := parseISBN(id.value("IDValue"))
			switch {
			case err == nil && isbn != "" && !slices.Contains(b.GetIsbns(), isbn):
				b.Isbns = append(b.GetIsbns(), isbn)
				b.SourceId = b.GetIsbns()[0]
			case err != nil && id.value("ProductIDType") != "03":
				warn("%v", err)
			}
		}
	}
	for _, detail := range p.all("DescriptiveDetail") {
		for _, title := range detail.all("TitleDetail") {
			if kind := title.value("TitleType"); kind == "01" || b.GetTitle() == "" {
				titleOf(title, b)
			}
		}
		for _, title := range detail.all("Collection", "TitleDetail") {
			if b.GetSeries() == "" {
				seriesOf(title, b)
			}
		}
		b.Authors = append(b.GetAuthors(), authorsOf(detail)...)
		for _, l := range detail.all("Language") {
			if l.value("LanguageRole") == "01" && b.GetLanguage() == "" {
				var err error
				if b.Language, err = parseLanguage(l.value("LanguageCode")); err != nil {
					warn("the language %v", err)
				}
			}
		}
		var about []string
		for _, s := range detail.all("Subject", "SubjectHeadingText") {
			about = append(about, s.text)
		}
		b.Category, b.Tags = subjects(about)
	}
	if b.GetTitle() == "" {
		return nil, errors.New("the product has no title")
	}
	for _, date := range p.all("PublishingDetail", "PublishingDate") {
		year, err := strconv.Atoi(fmt.Sprintf("%.4s", date.value("Date")))
		// 11 is the first publication of the work, 01 that of the product.
		if role := date.value("PublishingDateRole"); err == nil && year <= 3000 && (role == "11" || role == "01" && b.GetYear() == 0) {
			b.Year = int32(year)
		}
	}
	// Other products of the same text, such as the paperback of a hardcover.
	for _, other := range p.all("RelatedMaterial", "RelatedProduct") {
		if other.value("ProductRelationCode") != alternativeFormat {
			continue
		}
		for _, id := range other.all("ProductIdentifier") {
			isbn, err := parseISBN(id.value("IDValue"))
			if kind := id.value("ProductIDType"); err == nil && isbn != "" && (kind == "15" || kind == "02") &&
				len(b.GetIsbns()) < maxISBNs && !slices.Contains(b.GetIsbns(), isbn) {
				b.Isbns = append(b.GetIsbns(), isbn)
			}
		}
	}
	return b, nil
}

func titleOf(title *element, b *catalogv1.Book) {
	for _, e := range title.all("TitleElement") {
		if e.value("TitleElementLevel") != "02" {
			b.Title = titleText(e)
		} else if b.GetSeries() == "" {
			b.Series = titleText(e)
		}
	}
}

func seriesOf(title *element, b *catalogv1.Book) {
	for _, e := range title.all("TitleElement") {
		if e.value("TitleElementLevel") == "02" {
			b.Series = titleText(e)
		}
		if n, err := strconv.ParseFloat(e.value("PartNumber"), 32); err == nil && n > 0 && n <= 10000 {
			b.SeriesPosition = float32(n)
		}
	}
}

func titleText(e *element) string {
	if text := e.value("TitleText"); text != "" {
		return text
	}
	return strings.TrimSpace(e.value("TitlePrefix") + " " + e.value("TitleWithoutPrefix"))
}

// authorsOf are those who wrote the book, in their order; when nobody did,
// those who edited or drew it.
func authorsOf(detail *element) []string {
	contributors := detail.all("Contributor")
	slices.SortStableFunc(contributors, func(a, b *element) int {
		x, _ := strconv.Atoi(a.value("SequenceNumber"))
		y, _ := strconv.Atoi(b.value("SequenceNumber"))
		return cmp.Compare(x, y)
	})
	var authors, others []string
	for _, c := range contributors {
		name := c.value("PersonName")
		if name == "" {
			name = strings.TrimSpace(c.value("NamesBeforeKey") + " " + c.value("KeyNames"))
		}
		if last, first, ok := strings.Cut(c.value("PersonNameInverted"), ","); name == "" && ok {
			name = strings.TrimSpace(first) + " " + strings.TrimSpace(last)
		}
		if name = cmp.Or(name, c.value("PersonNameInverted"), c.value("CorporateName")); name == "" {
			continue
		}
		if strings.HasPrefix(c.value("ContributorRole"), "A") {
			authors = append(authors, name)
		} else {
			others = append(others, name)
		}
	}
	if len(authors) == 0 {
		authors = others
	}
	return authors[:min(len(authors), maxAuthors)]
}
