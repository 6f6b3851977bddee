// Package storetest says what a catalog.Store does, as tests that every store
// runs.
package storetest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/octavo-books/octavo/fault"
	"github.com/octavo-books/octavo/internal/catalog"
	"github.com/octavo-books/octavo/internal/feed/followtest"
)

// Run tests the stores that open returns, each of them empty, and closed by
// t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) catalog.Store) {
	for name, test := range map[string]func(*testing.T, catalog.Store){
		"books":                testBooks,
		"import again":         testImportAgain,
		"import twice at once": testImportTwiceAtOnce,
		"import popularity":    testImportPopularity,
		"import ISBNs":         testImportISBNs,
		"ISBNs that move":      testISBNsMove,
		"ids":                  testIDs,
		"list":                 testList,
		"categories":           testCategories,
		"set popularity":       testSetPopularity,
		"changes":              testChanges,
		"changes and writers":  testChangesAndWriters,
		"canceled":             testCanceled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func book(n int) catalog.Book {
	return catalog.Book{Title: fmt.Sprintf("Book %d", n), Source: "test", SourceID: fmt.Sprint(n)}
}

func importBooks(t *testing.T, s catalog.Store, books ...catalog.Book) catalog.Imported {
	t.Helper()
	done, err := s.Import(t.Context(), books)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func get(t *testing.T, s catalog.Store, ids ...int32) []catalog.Book {
	t.Helper()
	books, err := s.Books(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(books, func(a, b catalog.Book) int { return int(a.ID) - int(b.ID) })
	return books
}

func idsOf(books []catalog.Book) []int32 {
	ids := make([]int32, len(books))
	for i, b := range books {
		ids[i] = b.ID
	}
	return ids
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func testBooks(t *testing.T, s catalog.Store) {
	full := catalog.Book{
		ID: 3, Title: `The "Odyssey" <of> 100% & O'Neil`, Authors: []string{"Homer", "Émile \\ Zola"}, Category: 17, Year: -700,
		Tags: []string{"epic", "sea"}, Series: "Epics", SeriesPosition: 2.5, ISBNs: []string{"9780140268867", "9780374525743"}, Language: "grc",
		Source: "test", SourceID: "odyssey", Popularity: 1 << 40,
	}
	bare := catalog.Book{ID: 4, Title: "Anonymous", Authors: []string{}, Tags: []string{}, ISBNs: []string{}, Source: "test", SourceID: "bare"}
	equal(t, "Import", importBooks(t, s, full, bare), catalog.Imported{IDs: []int32{3, 4}, Created: 2, Position: 2})
	equal(t, "books", get(t, s, 4, 3, 99, 3), []catalog.Book{full, bare})
	equal(t, "no ids", len(get(t, s)), 0)
}

func testImportAgain(t *testing.T, s catalog.Store) {
	first := importBooks(t, s, book(1), book(2), book(3))
	changed := book(2)
	changed.ID = 77
	changed.Year = 1999
	done := importBooks(t, s, book(1), changed, book(4))
	equal(t, "counts", []int32{done.Created, done.Updated, done.Unchanged}, []int32{1, 1, 1})
	equal(t, "ids", done.IDs[:2], first.IDs[:2])
	equal(t, "position", done.Position, 5)
	equal(t, "changed year", get(t, s, first.IDs[1])[0].Year, 1999)
	equal(t, "nothing new", importBooks(t, s, book(1)).Position, 5)
}

func testImportTwiceAtOnce(t *testing.T, s catalog.Store) {
	changed := book(1)
	changed.Title = "Another"
	done := importBooks(t, s, book(1), book(1), changed)
	equal(t, "counts", []int32{done.Created, done.Unchanged, done.Updated}, []int32{1, 1, 1})
	equal(t, "ids", []int32{done.IDs[1], done.IDs[2]}, []int32{done.IDs[0], done.IDs[0]})
	equal(t, "title", get(t, s, done.IDs[0])[0].Title, "Another")
}

// What the source says of popularity counts when it is news; otherwise what
// the last training said stays.
func testImportPopularity(t *testing.T, s catalog.Store) {
	b := book(1)
	b.Popularity = 10
	id := importBooks(t, s, b).IDs[0]
	if err := s.SetPopularity(t.Context(), []catalog.Popularity{{Book: id, Readers: 7}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ sent, want int64 }{{10, 7}, {0, 7}, {11, 11}} {
		b.Popularity = c.sent
		done := importBooks(t, s, b)
		equal(t, fmt.Sprintf("popularity after %d was imported", c.sent), get(t, s, id)[0].Popularity, c.want)
		equal(t, "unchanged", done.Unchanged == 1, c.want == 7)
	}
}

const (
	isbnA = "9780441172719"
	isbnB = "9780340960196"
	isbnC = "9780593099322"
)

// Records of several sources are of one book when they have an ISBN in common,
// and their titles agree.
func testImportISBNs(t *testing.T, s catalog.Store) {
	record := func(source, title string, isbns ...string) catalog.Book {
		return catalog.Book{Title: title, Authors: []string{"Frank Herbert"}, Tags: []string{}, Source: source, SourceID: "1", ISBNs: isbns}
	}
	byISBN := func(what string, want map[string]int32) {
		t.Helper()
		got, err := s.ByISBN(t.Context(), []string{isbnA, isbnB, isbnC, "9780000000002"})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, what, got, want)
	}
	id := importBooks(t, s, record("shop", "Dune", isbnA)).IDs[0]
	dune := record("shop", "Dune", isbnA)
	dune.ID = id
	equal(t, "an own record", get(t, s, id), []catalog.Book{dune})

	done := importBooks(t, s, record("publisher", "Dune (Dune, #1)", isbnB, isbnA))
	equal(t, "a joined record", done, catalog.Imported{IDs: []int32{id}, Updated: 1, Joined: 1, Position: 2, LeftOut: nil})
	dune.Joined = []catalog.Record{{Source: "publisher", SourceID: "1", ISBNs: []string{isbnB, isbnA}}}
	equal(t, "its book", get(t, s, id), []catalog.Book{dune})
	byISBN("both ISBNs", map[string]int32{isbnA: id, isbnB: id})

	done = importBooks(t, s, record("publisher", "Dune (Dune, #1)", isbnB, isbnA))
	equal(t, "joined again", done, catalog.Imported{IDs: []int32{id}, Unchanged: 1, Joined: 1, Position: 2})
	equal(t, "the own record again", importBooks(t, s, record("shop", "Dune", isbnA)).Unchanged, 1)

	// The record stays joined whatever becomes of its title and ISBNs.
	done = importBooks(t, s, record("publisher", "Another title", isbnC))
	equal(t, "a joined record changed", done, catalog.Imported{IDs: []int32{id}, Updated: 1, Joined: 1, Position: 3})
	byISBN("what it has now", map[string]int32{isbnA: id, isbnC: id})

	done = importBooks(t, s, record("third", "Emma", isbnA, isbnB))
	emma := done.IDs[0]
	equal(t, "another title", done, catalog.Imported{
		IDs: []int32{emma}, Created: 1, Position: 4, LeftOut: []catalog.LeftOut{{ISBN: isbnA, HeldBy: id}},
	})
	if emma == id {
		t.Error("Emma is Dune")
	}
	other := record("fourth", "Dune", isbnA)
	other.Authors = []string{"Jane Austen"}
	equal(t, "another author", importBooks(t, s, other).Created, 1)
	byISBN("who has them", map[string]int32{isbnA: id, isbnB: emma, isbnC: id})
	equal(t, "no ISBNs", len(must(s.ByISBN(t.Context(), nil))), 0)
}

// In one import an ISBN may go from one book to another, and a record be joined
// to one that came just before.
func testISBNsMove(t *testing.T, s catalog.Store) {
	with := func(b catalog.Book, isbns ...string) catalog.Book {
		b.ISBNs = isbns
		return b
	}
	ids := importBooks(t, s, with(book(1), isbnA, isbnB), with(book(2))).IDs
	done := importBooks(t, s, with(book(1), isbnA), with(book(2), isbnB))
	equal(t, "updated", done.Updated, 2)
	equal(t, "the ISBN that moved", must(s.ByISBN(t.Context(), []string{isbnA, isbnB})), map[string]int32{isbnA: ids[0], isbnB: ids[1]})

	again := with(book(3), isbnC)
	again.Source = "another"
	done = importBooks(t, s, with(book(3), isbnC), again)
	equal(t, "counts", []int32{done.Created, done.Updated, done.Joined}, []int32{1, 1, 1})
	equal(t, "ids", done.IDs[1], done.IDs[0])
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func testIDs(t *testing.T, s catalog.Store) {
	next := 0
	ids := func(wanted ...int32) []int32 {
		var batch []catalog.Book
		for _, id := range wanted {
			next++
			b := book(next)
			b.ID = id
			batch = append(batch, b)
		}
		return importBooks(t, s, batch...).IDs
	}
	equal(t, "a wanted id is not given to an earlier one", ids(0, 1, 0), []int32{2, 1, 3})
	equal(t, "a taken id", ids(2, 9), []int32{4, 9})
	equal(t, "the largest id", ids(math.MaxInt32), []int32{math.MaxInt32})
	equal(t, "ids after the largest", ids(0, 0), []int32{5, 6})
}

func testList(t *testing.T, s catalog.Store) {
	for i, b := range []struct {
		category   catalog.Category
		popularity int64
	}{{1, 5}, {2, 5}, {1, 9}, {0, 5}, {1, 5}, {1, 0}} {
		c := book(i)
		c.ID, c.Category, c.Popularity = int32(i+1), b.category, b.popularity
		importBooks(t, s, c)
	}
	first := catalog.Place{Popularity: math.MaxInt64}
	for _, c := range []struct {
		category catalog.Category
		after    catalog.Place
		limit    int
		want     []int32
	}{
		{0, first, 10, []int32{3, 1, 2, 4, 5, 6}},
		{0, first, 2, []int32{3, 1}},
		{0, catalog.Place{Popularity: 5, ID: 1}, 3, []int32{2, 4, 5}},
		{0, catalog.Place{Popularity: 0, ID: 6}, 3, []int32{}},
		{1, first, 10, []int32{3, 1, 5, 6}},
		{1, catalog.Place{Popularity: 5, ID: 1}, 1, []int32{5}},
		{1, catalog.Place{Popularity: 5, ID: 2}, 2, []int32{5, 6}},
		{3, first, 10, []int32{}},
	} {
		books, err := s.List(t.Context(), c.category, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, fmt.Sprintf("List(%d, %v, %d)", c.category, c.after, c.limit), idsOf(books), c.want)
	}
}

func testCategories(t *testing.T, s catalog.Store) {
	for i, category := range []catalog.Category{5, 2, 0, 5} {
		b := book(i)
		b.Category = category
		importBooks(t, s, b)
	}
	got, err := s.Categories(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n, err := s.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "books", n, 4)
	equal(t, "categories", got, []catalog.CategorySize{{Category: 2, Books: 1}, {Category: 5, Books: 2}})
}

func testSetPopularity(t *testing.T, s catalog.Store) {
	done := importBooks(t, s, book(1), book(2))
	err := s.SetPopularity(t.Context(), []catalog.Popularity{{Book: done.IDs[0], Readers: 3}, {Book: 99, Readers: 4}, {Book: done.IDs[1], Readers: 5}})
	if err != nil {
		t.Fatal(err)
	}
	books := get(t, s, done.IDs...)
	equal(t, "popularity", []int64{books[0].Popularity, books[1].Popularity}, []int64{3, 5})
	changes, err := s.Changes(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "head", changes.Head, done.Position)
}

func testChanges(t *testing.T, s catalog.Store) {
	empty, err := s.Changes(t.Context(), 0, 10)
	if err != nil || len(empty.Books) > 0 || empty.Position != 0 || empty.Head != 0 {
		t.Errorf("Changes of an empty store = %+v, %v", empty, err)
	}
	news := s.Changed()
	ids := importBooks(t, s, book(1), book(2), book(3)).IDs
	select {
	case <-news:
	case <-time.After(5 * time.Second):
		t.Error("the commit woke nobody")
	}
	changed := book(1)
	changed.Title = "Changed"
	importBooks(t, s, changed)
	for _, c := range []struct {
		after    int64
		limit    int
		want     []int32
		position int64
	}{
		{0, 10, []int32{ids[1], ids[2], ids[0]}, 4},
		{0, 1, []int32{ids[1]}, 2},
		{2, 1, []int32{ids[2]}, 3},
		{3, 5, []int32{ids[0]}, 4},
		{4, 5, []int32{}, 4},
	} {
		got, err := s.Changes(t.Context(), c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("Changes(%d, %d)", c.after, c.limit)
		equal(t, what, idsOf(got.Books), c.want)
		equal(t, what+" position", got.Position, c.position)
		equal(t, what+" head", got.Head, 4)
	}
	if _, err := s.Changes(t.Context(), 5, 1); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Changes beyond the end: %v, want Conflict", err)
	}
}

// A follower ends with the last state of every book, whoever writes meanwhile.
func testChangesAndWriters(t *testing.T, s catalog.Store) {
	const writers, writes = 4, 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for n := range writes {
				shared, own := book(0), book(1000*(w+1)+n)
				shared.Year = int32(1000*w + n)
				if _, err := s.Import(ctx, []catalog.Book{shared, own}); err != nil {
					t.Error(err)
					cancel()
				}
			}
		})
	}
	seen := map[int32]catalog.Book{}
	after := int64(0)
	all := func() bool { return len(seen) == writers*writes+1 && after >= 2*writers*writes }
	for !all() {
		changed := s.Changed()
		got, err := s.Changes(ctx, after, 7)
		if err != nil {
			t.Error(err)
			break
		}
		for _, b := range got.Books {
			seen[b.ID] = b
		}
		if got.Position < after {
			t.Fatalf("position %d follows %d", got.Position, after)
		}
		if after = got.Position; after == got.Head && !all() { // after the last nothing comes any more
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	wait.Wait()
	for id, b := range seen {
		equal(t, "followed book", []catalog.Book{b}, get(t, s, id))
	}
}

func testCanceled(t *testing.T, s catalog.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Import(ctx, []catalog.Book{book(1)}); fault.KindOf(err) != fault.Canceled {
		t.Errorf("Import: %v, want Canceled", err)
	}
	if _, err := s.Changes(ctx, 0, 1); fault.KindOf(err) != fault.Canceled {
		t.Errorf("Changes: %v, want Canceled", err)
	}
}

// Shared tests stores over one and the same database, as of several processes:
// who follows misses no change, whoever writes. Writes may take their time to
// commit.
func Shared(t *testing.T, stores ...catalog.Store) {
	const writers, each = 12, 12
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := followtest.Follow(ctx, followtest.Feed{
		Write: func(ctx context.Context, l followtest.Line) error {
			b := catalog.Book{Title: "A book", Category: catalog.Category(l.Writer), Year: int32(l.N), Source: "test", SourceID: fmt.Sprint(l)}
			_, err := stores[l.Writer%len(stores)].Import(ctx, []catalog.Book{b})
			return err
		},
		Next: func(ctx context.Context, after int64) (lines []followtest.Line, position int64, err error) {
			changes, err := stores[0].Changes(ctx, after, 50)
			for _, b := range changes.Books {
				lines = append(lines, followtest.Line{Writer: int(b.Category), N: int(b.Year)})
			}
			return lines, changes.Position, err
		},
	}, writers, each)
	if err != nil {
		t.Error(err)
	}
	if books, err := stores[0].List(ctx, 0, catalog.Place{Popularity: math.MaxInt64}, 1000); err != nil || len(books) != writers*each {
		t.Errorf("%d books with ids of their own, %v; want %d", len(books), err, writers*each)
	}
}
