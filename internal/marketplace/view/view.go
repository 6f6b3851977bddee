// Package view is what the pages of the storefront look like: the templates,
// and the plain values they show.
//
// It asks nobody for anything. All text of books and readers is escaped here.
package view

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/a-h/templ"
	"golang.org/x/text/unicode/norm"
)

// Category is a shelf of the shop.
type Category struct {
	ID    uint8  // number of the category in the contracts
	Name  string // "Science fiction"
	Path  string // "/science-fiction"
	Books int    // how many stand on it; 0 when not known
}

// Book is a book with its cover drawn. It is shared by many pages at once and
// must not be changed.
type Book struct {
	ID       int32
	Title    string
	Authors  []string
	By       string    // the authors as one text, may be empty
	Category *Category // nil when not known
	Year     int32     // negative before the common era, 0 when not known
	Href     string    // address of the book's page
	FromRow  string    // the same, from a suggestion
	Cover    string    // SVG

	face string // of its card, what follows the opening of the link
}

// NewBook is b with the part of its card written that is the same on every page.
func NewBook(b Book) *Book {
	face := written(board(&b)) + "</a>"
	if b.By != "" {
		face += written(by(&b))
	}
	// The cover is kept once.
	at := strings.Index(face, b.Cover)
	b.face, b.Cover = face, face[at:at+len(b.Cover)]
	return &b
}

// BookLink is a link to the page of a book, as HTML.
func BookLink(id int32, title string) string {
	return written(bookLink(BookPath(id, title), title))
}

// written is a component as HTML. It must be one that cannot fail.
func written(c templ.Component) string {
	var b strings.Builder
	_ = c.Render(context.Background(), &b)
	return b.String()
}

// Reason is why a card is in its row: one term of the score that put it there.
type Reason struct {
	Lead    string // "Because you finished"
	Link    string // to the reader's own book, as HTML; empty when there is none
	Percent int    // of the score, 0 to 100
}

// Share is the percentage in words: "62 %".
func (r Reason) Share() string {
	if r.Percent < 1 {
		return "under 1 %"
	}
	return strconv.Itoa(r.Percent) + " %"
}

// Card is a book in a row or a grid.
type Card struct {
	*Book
	Suggested bool     // followed links are told to the recommender
	Reasons   []Reason // largest share first; empty when there are none to tell
}

// Row is a line of cards under a heading.
type Row struct {
	ID    string // for addresses within the page
	Title string
	Note  string // a sentence under the title, may be empty
	More  string // address of all books of the kind, may be empty
	Cards []Card
}

// Frame is what all pages have around their content.
type Frame struct {
	Title       string // of the document, without the shop's name
	Description string
	Canonical   string // path of the page's only true address, may be empty
	Stylesheet  string // address
	Icon        string // address
	Script      string // address; empty for none, as almost everywhere
	Reader      string // how whoever reads is called; empty for nobody
	Account     string // name of who signed in; empty for nobody
	Demo        bool   // demo readers can be chosen
	Query       string // what was searched for
	Suggested   bool   // the page has other searches to offer in the search field
	Path        string // of the page shown
	Categories  []Category
	Notices     []string // calm sentences about what is missing
	Version     string
}

// Home is the first page.
type Home struct {
	Frame
	Known    bool  // a reader is chosen
	Personal bool  // the rows are about this reader
	Failed   bool  // suggestions could not be had
	Paused   bool  // the reader wants nothing personal
	First    *Card // shown large, with all its reasons
	Rest     int   // percent of the first card's score that its reasons leave out; below 0, it is against the book
	Rows     []Row
}

// Shelf is the page of a category.
type Shelf struct {
	Frame
	Category Category
	Row      *Row // nil when there is nothing to suggest
	Books    []Card
	Failed   bool   // the books could not be had
	Further  bool   // not the first page
	Next     string // address of the next page, empty on the last
}

// Mark is one button of the shelf form.
type Mark struct {
	Value, Label string
	On           bool
}

// Series is a book's place in a series.
type Series struct {
	Name     string
	Position string // "1" or "2.5", empty when not known
}

// BookPage is the page of a book.
type BookPage struct {
	Frame
	Book       *Book
	Tags       []string
	Series     Series
	Token      string // makes sending a form twice harmless
	Marks      []Mark
	Removable  bool
	Rating     float32 // stars, 0 for none
	ShelfDown  bool    // what the reader said before is not known now
	Similar    []Card
	SimilarOff bool // similar books could not be had
}

// Person is a reader one can read as.
type Person struct {
	ID   int32
	Name string // "Simulated reader 17"
	Note string // display name, may be empty
	On   bool   // chosen now
}

// People is a part of the picker.
type People struct {
	ID, Title, Note string
	Persons         []Person
	Next            string // address of the next page
	Further         bool   // not the first page
	Failed          bool
}

// Picker is the page where a reader is chosen.
type Picker struct {
	Frame
	Groups []People
}

// FormProblem is why a form was not taken.
type FormProblem struct {
	Field string // name of the input at fault; empty for the whole form
	Text  string // empty when there is nothing wrong
}

// of is the problem of one input.
func (p FormProblem) of(field string) string {
	if p.Field == field {
		return p.Text
	}
	return ""
}

// SignIn is the page to sign in.
type SignIn struct {
	Frame
	Name    string // as it was typed
	Next    string // address of the page to see then
	Brings  bool   // the visitor's shelves come along
	Problem FormProblem

	PasskeysAt string // the origin that passkeys are for; empty for none
}

// SignUp is the page to make an account.
type SignUp struct {
	Frame
	Name    string
	Brings  bool
	Problem FormProblem
}

// SignedIn is a browser that is signed in.
type SignedIn struct {
	ID          string
	Browser     string // "Firefox on Linux"
	Since, Seen time.Time
	Current     bool // this one
}

// Account is the page of the account.
type Account struct {
	Frame
	Name     string
	Sessions []SignedIn
	Failed   bool // the sessions could not be had
	Problem  FormProblem

	Passkeys       []Passkey
	PasskeysFailed bool   // they could not be had
	PasskeysAt     string // the origin that new ones are for; empty when there can be none
}

// Passkey is what somebody can sign in with in place of the password.
type Passkey struct {
	ID, Name string
	Since    time.Time
	Used     time.Time // zero for never
}

// Browser is what a browser says it is in words for people.
func Browser(agent string) string {
	name := "A browser"
	for _, known := range [][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"Chrom", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(agent, known[0]) {
			name = known[1]
			break
		}
	}
	for _, known := range [][2]string{
		{"Android", "Android"}, {"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Windows", "Windows"}, {"Mac OS", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, known[0]) {
			return name + " on " + known[1]
		}
	}
	return name
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04") + " UTC" }

func machineTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Entry is a book on the reader's shelves.
type Entry struct {
	*Book
	Rating float32
}

// Group is one of the reader's shelves.
type Group struct {
	Title   string
	Entries []Entry
}

// Mine is the page of the reader's shelves.
type Mine struct {
	Frame
	Known  bool
	Failed bool
	Groups []Group
}

// Personalisation is the switch by which readers pause what is made of what they
// do.
type Personalisation struct {
	Own    bool // the visitor may use it
	Paused bool
	Failed bool   // it cannot be known now
	Back   string // address of the page it is on
}

// Yours is the page of what readers may do with their own data.
type Yours struct {
	Frame
	Known     bool // there is a reader
	Own       bool // and it is the visitor
	Erased    bool // just now
	EraseWord string

	Personalisation Personalisation
}

// Imported is the page after an import.
type Imported struct {
	Frame
	Format  string
	Stopped bool // before the end
	Rows    int
	Taken   int
	ByISBN  int
	New     int
	Refused []Figure
	More    int // refused rows that are not shown
	Odd     []Figure
	MoreOdd int // of rows that were taken otherwise than they are
}

// Found is the page of a search.
type Found struct {
	Frame
	Asked      bool
	Failed     bool
	Further    bool // not the first page
	Total      int  // books found, on all pages
	Books      []Card
	Choices    []Choices
	DidYouMean []Choice // other words that find something
	// Titles and names that go on like the query, for the search field.
	Suggestions []string
	First, All  string // addresses of the first page, and of the search without filters
	Next        string // address of the next page, empty on the last
}

// Filtered tells whether a filter is in use.
func (f Found) Filtered() bool { return f.All != f.First }

// Choices are the values of a filter.
type Choices struct {
	Title   string
	Options []Choice
}

// Choice is one value of a filter, or another search.
type Choice struct {
	Label string
	Books int
	On    bool   // in use; the address is that of the search without it
	Href  string // address
}

// Decade is the ten years from first on, in words.
func Decade(first int32) string {
	if first < 0 {
		return strconv.Itoa(int(-first)) + "–" + strconv.Itoa(int(-first-9)) + " BCE"
	}
	return strconv.Itoa(int(first)) + "s"
}

// Figure is a name and its value.
type Figure struct{ Name, Value string }

// How is the page about the recommendations.
type How struct {
	Frame
	Failed     bool
	Model      string // version, empty before the first training
	Facts      []Figure
	Parameters []Figure
	Metrics    []Figure

	Personalisation Personalisation
}

// Problem is what is shown instead of a page.
type Problem struct {
	Frame
	Status  int
	Heading string
	Text    string
	Request string // id by which the operator finds the cause, may be empty
}

// BookPath is the address of a book: its number, and its title for the human
// eye.
func BookPath(id int32, title string) string {
	path := "/book/" + strconv.Itoa(int(id))
	if slug := slug(title); slug != "" {
		path += "/" + slug
	}
	return path
}

const maxSlug = 60

func slug(title string) string {
	var b strings.Builder
	b.Grow(min(len(title), maxSlug))
	gap := false
	for _, r := range norm.NFD.String(title) {
		r = unicode.ToLower(r)
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			if gap && b.Len() > 0 {
				b.WriteByte('-')
			}
			gap = false
			b.WriteRune(r)
		case r == '\'' || r == '’' || unicode.Is(unicode.Mn, r):
		default:
			gap = true
		}
		if b.Len() >= maxSlug {
			break
		}
	}
	return b.String()
}

// ByLine is the authors as one text, at most three of them by name.
func ByLine(authors []string) string {
	switch n := len(authors); {
	case n == 0:
		return ""
	case n == 1:
		return authors[0]
	case n <= 3:
		return strings.Join(authors[:n-1], ", ") + " and " + authors[n-1]
	default:
		return authors[0] + ", " + authors[1] + " and others"
	}
}

// Year is a year in words: "1813", "380 BCE".
func Year(year int32) string {
	if year < 0 {
		return strconv.Itoa(int(-year)) + " BCE"
	}
	return strconv.Itoa(int(year))
}

// Stars is a rating in digits: "4", "4.5".
func Stars(rating float32) string {
	return strconv.FormatFloat(float64(rating), 'f', -1, 32)
}

// halves are the ratings there are.
var halves = [...]float32{0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5}

func starWords(rating float32) string {
	if rating == 1 {
		return "1 star"
	}
	return Stars(rating) + " stars"
}

func halfClass(rating float32) string {
	if rating == float32(int(rating)) {
		return "right"
	}
	return "left"
}

func at(path string) templ.SafeURL { return templ.SafeURL(path) }

func (c Card) link() string {
	if c.Suggested {
		return c.FromRow
	}
	return c.Href
}

// open begins the link of a card; the book's face ends it. An address of a book
// has nothing to escape.
func (c Card) open() templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		for _, part := range [...]string{`<a class="book" href="`, c.link(), `">`} {
			if _, err := io.WriteString(w, part); err != nil {
				return err
			}
		}
		return nil
	})
}

// top are the reasons a small card has room for.
func (c Card) top() []Reason { return c.Reasons[:min(2, len(c.Reasons))] }

func (b *Book) rateAction() templ.SafeURL {
	return templ.SafeURL("/book/" + strconv.Itoa(int(b.ID)) + "/rate")
}

func (b *Book) shelfAction() templ.SafeURL {
	return templ.SafeURL("/book/" + strconv.Itoa(int(b.ID)) + "/shelf")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Thousands(int64(n)) + " " + many
}

// Thousands is n with its digits in groups of three.
func Thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func escapeQuery(text string) string { return url.QueryEscape(text) }

func invalid(p FormProblem, field string) string { return strconv.FormatBool(p.of(field) != "") }
